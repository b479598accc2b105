//! Invoices: what the tenant paid for its wallet, and what this month's sends have cost.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccountRequest, check_account};
use crate::operation::handler::Handler;
use crate::payment::model;
use crate::pg::db::{self, DbResult, Row, args};
use crate::tenant::caller::Caller;
use crate::value::amount::{Amount, Cents};
use crate::value::reply::{Outcome, Refusal, Reply};

const PER_PAGE_DEFAULT: i64 = 20;
const PER_PAGE_MAX: i64 = 100;

/// Which invoices.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct HistoryRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
    /// All if not given.
    pub r#type: Option<InvoiceType>,
    /// From 1; 1 if not given.
    pub page: Option<i64>,
    /// 1 to 100; 20 if not given.
    pub per_page: Option<i64>,
}

/// Auto top-ups, those that somebody asked for, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvoiceType {
    Auto,
    All,
    Manual,
}

/// Invoices, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HistoryData {
    /// The invoices of this page.
    pub invoices: Vec<Invoice>,
    /// Which page this is.
    pub pagination: Pagination,
}

/// A top-up of the wallet. Amounts in US cents.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Invoice {
    /// `in_…`
    pub id: String,
    /// What is to be paid, in US cents.
    pub amount_due: Cents,
    /// What is paid of it, in US cents.
    pub amount_paid: Cents,
    /// What is not paid of it, in US cents.
    pub amount_remaining: Cents,
    /// ISO 4217 in lower case: `usd`.
    pub currency: String,
    /// Whether a payment was tried.
    pub attempted: bool,
    /// How often a payment was tried.
    pub attempt_count: i64,
    /// Seconds since 1970.
    pub created: i64,
    /// For people.
    pub description: Option<String>,
    /// `manual` or `auto`.
    pub invoice_origin: String,
    /// `open`, `paid`, `uncollectible` (declined) or `void` (never paid).
    pub status: String,
}

/// Which page of how much.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pagination {
    /// From 1.
    pub page: i64,
    /// How many a page has at most.
    pub per_page: i64,
    /// How many there are in all.
    pub total_count: i64,
    /// Whether another page follows.
    pub has_more: bool,
}

pub struct InvoiceHistory;

const HISTORY: &str = "
    select payment_id, amount::text, lower(currency collate \"C\"), description, origin, attempts::bigint,
           case status when 'succeeded' then 'paid' when 'failed' then 'uncollectible' when 'expired' then 'void'
                       else 'open' end,
           extract(epoch from created_at)::bigint
      from topup.payment
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is null
       and ($3::text is null or origin = $3)
     order by tenant_id desc, environment desc, customer_id desc, payment_id desc limit $4 offset $5";

const COUNT: &str = "
    select count(*) from topup.payment
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is null
       and ($3::text is null or origin = $3)";

impl Handler for InvoiceHistory {
    const NAME: &'static str = "invoice_history";
    type Request = HistoryRequest;
    type Data = HistoryData;

    fn handle(caller: &Caller, request: &HistoryRequest) -> Outcome<HistoryData> {
        check_account(caller, request.account_id.as_deref())?;
        let (page, per_page) = (request.page.unwrap_or(1), request.per_page.unwrap_or(PER_PAGE_DEFAULT));
        if page < 1 {
            return Err(Refusal::of_field(Code::InvalidRequest, "page", "Pages count from 1.").into());
        }
        if !(1..=PER_PAGE_MAX).contains(&per_page) {
            let message = format!("This must be from 1 to {PER_PAGE_MAX}.");
            return Err(Refusal::of_field(Code::InvalidRequest, "per_page", message).into());
        }
        let origin = match request.r#type {
            Some(InvoiceType::Auto) => Some("auto"),
            Some(InvoiceType::Manual) => Some("manual"),
            Some(InvoiceType::All) | None => None,
        };
        let before = (page - 1).saturating_mul(per_page);
        let filters = args![caller.tenant_id, caller.environment.as_str(), origin, per_page, before];
        let invoices = db::read_page(HISTORY, filters, read_invoice)?;
        let total_count: i64 =
            db::read_page(COUNT, &filters[..3], |row| row.get::<i64>(1))?.into_iter().sum();
        let has_more = before.saturating_add(per_page) < total_count;
        let pagination = Pagination { page, per_page, total_count, has_more };
        Ok(Reply::new(Code::Success, HistoryData { invoices, pagination }))
    }
}

fn read_invoice(row: &Row) -> DbResult<Invoice> {
    let (amount, status) = (row.amount(2)?.floor_cents(), row.get::<String>(7)?);
    let attempts: i64 = row.get(6)?;
    let paid = if status == "paid" { amount } else { Cents(0) };
    Ok(Invoice {
        id: model::text_id(None, row.uuid(1)?),
        amount_due: amount,
        amount_paid: paid,
        amount_remaining: if status == "open" { amount } else { Cents(0) },
        currency: row.get(3)?,
        attempted: attempts > 0 || status != "open",
        attempt_count: attempts,
        created: row.get(8)?,
        description: row.maybe(4)?,
        invoice_origin: row.get(5)?,
        status,
    })
}

/// What the sends of this month (UTC) have cost. Amounts in US cents; all of it is paid from the balance.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PreviewData {
    /// The month, as an id.
    pub id: String,
    /// What all lines cost, in US cents.
    pub amount_due: Cents,
    /// What the balance paid, in US cents: all of it.
    pub amount_paid: Cents,
    /// Always 0.
    pub amount_remaining: Cents,
    /// ISO 4217 in lower case: `usd`.
    pub currency: &'static str,
    /// A line for each platform.
    pub invoice_lines: Vec<InvoiceLine>,
    /// Seconds since 1970.
    pub period_start: i64,
    /// Seconds since 1970; that second is not part of it.
    pub period_end: i64,
    /// `draft` until the month is over.
    pub status: &'static str,
}

/// What the sends to one platform cost.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InvoiceLine {
    /// US cents.
    pub amount: Cents,
    /// ISO 4217 in lower case: `usd`.
    pub currency: &'static str,
    /// The platform.
    pub description: String,
    /// The month.
    pub period: Period,
    /// The price of a unit, if there were one.
    pub pricing: Pricing,
    /// Top-ups.
    pub quantity: i64,
    /// From where the line was paid.
    pub pretax_credit_amounts: Vec<CreditAmount>,
}

/// From when to when.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Period {
    /// Seconds since 1970.
    pub start: i64,
    /// Seconds since 1970; that second is not part of it.
    pub end: i64,
}

/// Top-ups have many prices: there is none for a unit.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pricing {
    /// Always null.
    pub unit_amount_decimal: Option<String>,
}

/// What of a line the balance paid.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreditAmount {
    /// US cents.
    pub amount: Cents,
    /// `credit_balance_transaction`
    pub r#type: &'static str,
}

pub struct InvoicePreview;

const MONTH: &str = "
    select extract(epoch from m.start)::bigint, extract(epoch from m.start + interval '1 month')::bigint,
           to_char(m.start, 'YYYY-MM')
      from (select date_trunc('month', clock_timestamp() at time zone 'UTC') as start) m";

/// Ids of top-ups carry their time: those of the month are one range of the primary key.
const LINES: &str = "
    select platform, sum(cost_cents)::bigint, count(*)
      from topup.top_up
     where tenant_id = $1 and environment = $2::topup.environment and transaction_id >= $3
       and status in ('delivered', 'pending')
     group by platform order by platform";

impl Handler for InvoicePreview {
    const NAME: &'static str = "invoice_preview";
    type Request = AccountRequest;
    type Data = PreviewData;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<PreviewData> {
        check_account(caller, request.account_id.as_deref())?;
        let month = db::read(MONTH, args![], |row| {
            Ok((Period { start: row.get(1)?, end: row.get(2)? }, row.get::<String>(3)?))
        })?;
        let (period, name) = month.into_iter().next().unwrap_or((Period { start: 0, end: 0 }, String::new()));
        let first_id = crate::value::id::first_since(period.start.saturating_mul(1000));
        let arguments = args![caller.tenant_id, caller.environment.as_str(), first_id];
        let invoice_lines = db::read(LINES, arguments, |row| {
            let amount = Cents(row.get(2)?);
            let paid = CreditAmount { amount, r#type: "credit_balance_transaction" };
            Ok(InvoiceLine {
                amount,
                currency: "usd",
                description: row.get(1)?,
                period,
                pricing: Pricing { unit_amount_decimal: None },
                quantity: row.get(3)?,
                pretax_credit_amounts: vec![paid],
            })
        })?;
        let total = Cents(invoice_lines.iter().map(|line| line.amount.0).sum());
        let data = PreviewData {
            id: format!("preview_{name}"),
            amount_due: total,
            amount_paid: total,
            amount_remaining: Amount::ZERO.floor_cents(),
            currency: "usd",
            invoice_lines,
            period_start: period.start,
            period_end: period.end,
            status: "draft",
        };
        Ok(Reply::new(Code::Success, data))
    }
}
