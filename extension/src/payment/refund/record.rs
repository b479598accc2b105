//! Books a refund: how much of the payment is refunded by now, and what that takes back.

use num_rational::BigRational;
use uuid::Uuid;

use super::clawback;
use crate::event::wake;
use crate::ledger::asset;
use crate::payment::model::Payment;
use crate::pg::db::{self, DbResult, Row, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id::{self, Kind};
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// Who wanted a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was asked for here, and the provider is to send the money back.
    Api,
    /// It was made at the provider.
    Provider,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Origin::Api => "api",
            Origin::Provider => "provider",
        }
    }
}

/// What is refunded of a payment, and what of its credit that stands for.
#[derive(Clone, Copy, Default)]
pub struct Refunded {
    pub amount: Amount,
    credit: Amount,
}

const REFUNDED: &str = "
    select coalesce(sum(amount), 0)::text, coalesce(sum(credit), 0)::text from topup.payment_refund
     where tenant_id = $1 and environment = $2::topup.environment and payment_id = $3 and status <> 'failed'";

/// How to look: as the calling statement sees it, or as it is once the payment is locked.
type Query = fn(&'static str, &[db::Arg], fn(&Row) -> DbResult<Refunded>) -> DbResult<Vec<Refunded>>;

/// What of a payment is refunded, or about to be.
pub fn refunded(book: &Book, payment_id: Uuid, is_locked: bool) -> DbResult<Refunded> {
    let query: Query = if is_locked { db::write } else { db::read };
    let arguments = args![book.tenant_id, book.environment.as_str(), payment_id];
    let read = |row: &Row| Ok(Refunded { amount: row.amount(1)?, credit: row.amount(2)? });
    Ok(query(REFUNDED, arguments, read)?.pop().unwrap_or_default())
}

/// A refund that is booked.
pub struct RecordedRefund {
    pub refund_id: Uuid,
    /// What the refunded amount had bought.
    pub credit: Amount,
    /// What of that is taken back.
    pub recovered: Amount,
    pub created_at: PgTimestamp,
}

const INSERT: &str = "
    insert into topup.payment_refund (tenant_id, environment, refund_id, payment_id, amount, credit, recovered, origin,
                                      status, description, transaction_id, ended_at, due_at)
    values ($1, $2::topup.environment, $3, $4, $5::numeric, $6::numeric, $7::numeric, $8,
            case $8 when 'api' then 'pending' else 'succeeded' end, $9, $10,
            case $8 when 'api' then null else clock_timestamp() end,
            case $8 when 'api' then clock_timestamp() end)
    returning created_at";

/// Refunds an amount of a payment that is locked and has so much left to refund.
pub fn insert(
    payment: &Payment,
    amount: Amount,
    origin: Origin,
    description: Option<&str>,
) -> Result<RecordedRefund, Failure> {
    let (book, refund_id) = (&payment.book, id::new());
    let before = refunded(book, payment.id, true)?;
    let credit = share(payment, before, amount)?;
    let reference = Kind::PaymentRefund.text(refund_id);
    let (recovered, transaction_id) = clawback::claw_back(payment, clawback::REFUND, &reference, credit)?;
    let arguments = args![
        book.tenant_id,
        book.environment.as_str(),
        refund_id,
        payment.id,
        amount.to_string(),
        credit.to_string(),
        recovered.to_string(),
        origin.as_str(),
        description,
        transaction_id
    ];
    let created = db::write(INSERT, arguments, |row| row.timestamp(1))?;
    let not_written = || Failure::Fault("the refund was not written".to_owned());
    let created_at = created.into_iter().next().ok_or_else(not_written)?;
    if origin == Origin::Api {
        wake::workers();
    }
    Ok(RecordedRefund { refund_id, credit, recovered, created_at })
}

/// What an amount had bought, as far as it is not refunded. The payment is locked.
pub fn share_left(payment: &Payment, amount: Amount) -> Result<Amount, Failure> {
    let before = refunded(&payment.book, payment.id, true)?;
    let amount = amount.min(payment.amount - before.amount).max(Amount::ZERO);
    share(payment, before, amount)
}

/// What an amount had bought. All parts together come to what the whole had.
fn share(payment: &Payment, before: Refunded, amount: Amount) -> Result<Amount, Failure> {
    let precision = asset::find(&payment.book, &payment.asset)?.map_or(0, |asset| asset.precision);
    let part: BigRational = (before.amount + amount).to_fraction() / payment.amount.to_fraction();
    let beyond = || Failure::Fault("a refund is larger than what an account holds".to_owned());
    let target = Amount::rounded(&(payment.credit.to_fraction() * part), precision).ok_or_else(beyond)?;
    Ok((target - before.credit).max(Amount::ZERO))
}
