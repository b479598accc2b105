//! Disputes of payments: a payer's bank asks for the money back. What is left of the credit that it bought is
//! taken at once, and given back if the dispute is won.
//!
//! A report of the provider is stored first (`reported`), whatever the status of the payment. Once the payment has
//! succeeded, `settle` posts what the report means and emits the event. Reports may come in any order and
//! repeatedly. The column `told` holds the status that the last event had.

pub mod event;
mod settle;

use pgrx::spi::SpiError;
use serde::Deserialize;
use uuid::Uuid;

use crate::payment::card::Card;
use crate::payment::currency;
use crate::payment::model::Payment;
use crate::pg::db::{self, DbResult, Row, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id;
use crate::value::reply::Failure;

pub use settle::{catch_up, claw_back_again};

const REASON_LENGTH_MAX: usize = 200;

/// How a dispute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The bank asks, and has taken no money.
    Inquiry,
    Open,
    Won,
    Lost,
}

impl Status {
    /// As the database and the clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Inquiry => "inquiry",
            Status::Open => "open",
            Status::Won => "won",
            Status::Lost => "lost",
        }
    }

    fn parse(text: &str) -> Option<Status> {
        [Status::Inquiry, Status::Open, Status::Won, Status::Lost]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A dispute as it is kept.
struct Dispute {
    id: Uuid,
    provider_dispute_id: String,
    /// What the payer wants back, in the payment's currency.
    amount: Amount,
    reason: Option<String>,
    status: Status,
    /// What of the credit was taken, and what of that was given back.
    taken: Amount,
    returned: Amount,
    /// The ledger's transactions that took it, newest first.
    taken_by: Vec<Uuid>,
}

/// Read by [`read`], of a dispute `d`.
macro_rules! select_dispute {
    ($rest:literal) => {
        concat!(
            "select d.dispute_id, d.provider_dispute_id, d.amount::text, d.reason, d.status, d.taken::text, d.returned::text,
                    array(select t.id from unnest(d.taken_by) with ordinality as t (id, n) order by t.n desc)
               from topup.payment_dispute d
              where d.tenant_id = $1 and d.environment = $2::topup.environment and d.payment_id = $3 ",
            $rest
        )
    };
}
use select_dispute;

fn read(row: &Row) -> DbResult<Dispute> {
    let taken_by: Vec<pgrx::Uuid> = row.get(8)?;
    Ok(Dispute {
        id: row.uuid(1)?,
        provider_dispute_id: row.get(2)?,
        amount: row.amount(3)?,
        reason: row.maybe(4)?,
        status: Status::parse(&row.get::<String>(5)?).ok_or(SpiError::InvalidPosition)?,
        taken: row.amount(6)?,
        returned: row.amount(7)?,
        taken_by: taken_by.into_iter().map(db::from_pg).collect(),
    })
}

/// A dispute as the provider reports it.
pub struct ReportedDispute<'a> {
    pub provider_dispute_id: &'a str,
    pub status: Status,
    pub amount_minor: Option<i64>,
    pub currency: Option<&'a str>,
    pub reason: Option<&'a str>,
}

/// A dispute that is won stays won, and one that is lost can only be won; an answer that was overtaken
/// changes nothing.
const KEEP: &str = "
    insert into topup.payment_dispute as d (tenant_id, environment, dispute_id, payment_id, provider_dispute_id, amount,
                                            reason, status, ended_at)
    values ($1, $2::topup.environment, $3, $4, $5, $6::numeric, $7, $8,
            case when $8 in ('won', 'lost') then clock_timestamp() end)
    on conflict (tenant_id, environment, payment_id, provider_dispute_id) do update
       set status = excluded.status, ended_at = excluded.ended_at, reason = coalesce(excluded.reason, d.reason)
     where d.status <> excluded.status and d.status <> 'won' and excluded.status <> 'inquiry'
       and (d.status <> 'lost' or excluded.status = 'won')";

/// Stores how a dispute stands at the provider, and settles it. The payment is locked. Returns whether anything changed.
pub fn reported(payment: &Payment, report: &ReportedDispute) -> Result<bool, Failure> {
    let same = report.currency.is_none_or(|currency| currency.eq_ignore_ascii_case(&payment.currency));
    let reported_amount = report.amount_minor.filter(|_| same);
    let reported_amount = reported_amount.and_then(|minor| currency::from_minor(minor, &payment.currency));
    let amount = reported_amount.filter(|amount| *amount > Amount::ZERO).unwrap_or(payment.amount);
    let reason = report.reason.map(|text| text.chars().take(REASON_LENGTH_MAX).collect::<String>());
    let arguments = args![
        payment.book.tenant_id,
        payment.book.environment.as_str(),
        id::new(),
        payment.id,
        report.provider_dispute_id,
        amount.min(payment.amount).to_string(),
        reason,
        report.status.as_str()
    ];
    db::execute(KEEP, arguments)?;
    catch_up(&payment.book, payment.id)
}

/// What disputes leave of a payment to be refunded.
pub struct DisputeSummary {
    pub is_open: bool,
    /// What the payers' banks keep, in the payment's currency.
    pub lost: Amount,
}

const SUMMARY: &str = "
    select coalesce(bool_or(status in ('inquiry', 'open')), false),
           coalesce(sum(amount) filter (where status = 'lost'), 0)::text
      from topup.payment_dispute
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3";

/// Sums up the disputes of a payment, which is locked.
pub fn summary(payment: &Payment) -> Result<DisputeSummary, Failure> {
    let (tenant_id, environment) = (payment.book.tenant_id, payment.book.environment.as_str());
    let read = |row: &Row| Ok(DisputeSummary { is_open: row.get(1)?, lost: row.amount(2)? });
    let found = db::write(SUMMARY, args![tenant_id, environment, payment.id], read)?;
    Ok(found.into_iter().next().ok_or(SpiError::InvalidPosition)?)
}

const AGAINST: &str = "
    select true
      from topup.payment_dispute d
      join topup.payment p
        on p.tenant_id = d.tenant_id and p.environment = d.environment and p.payment_id = d.payment_id
      join topup.payment_method m
        on m.tenant_id = d.tenant_id and m.environment = d.environment and m.method_id = $4
     where d.tenant_id = $1 and d.environment = $2::topup.environment and p.customer_id is not distinct from $3
       and d.status in ('open', 'lost') and d.created_at >= m.created_at
     limit 1";

/// Whether a payer has had money fetched back since saving the card: who disputes is not charged without
/// being there.
pub fn is_against(book: &Book, customer_id: Option<Uuid>, card: &Card) -> DbResult<bool> {
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, card.method_id];
    Ok(!db::write_range(AGAINST, arguments, |_| Ok(()))?.is_empty())
}
