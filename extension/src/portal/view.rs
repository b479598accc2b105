//! All that the portal's page shows. Amounts are texts of exact digits, in major units.

use pgrx::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::day::{self, Chart};
use super::offer::{self, Offer};
use super::session::{self, Session};
use crate::ledger::account::customer_account_id;
use crate::ledger::asset::is_fiat;
use crate::ledger::credit::Purpose;
use crate::payment::auto::state::{self, AutoTopUp};
use crate::payment::card;
use crate::payment::currency;
use crate::payment::model;
use crate::payment::provider::Provider;
use crate::pg::db::{self, DbResult, Row, args};
use crate::pg::jsonb::JsonbText;
use crate::value::book::Book;
use crate::value::reply::{Failure, or_error};
use crate::wallet::position::{self, Position};

/// So many accounts have a chart; all have their balance.
const CHARTS_MAX: usize = 8;
/// So many grants of an account are told one by one, the first to expire before the others.
const EXPIRING_MAX: usize = 10;
const PAYMENTS_MAX: i64 = 5;

#[derive(Serialize)]
struct View {
    names: Names,
    return_url: String,
    /// Whether a provider takes money.
    can_pay: bool,
    card: Option<CardView>,
    accounts: Vec<AccountView>,
    offers: Vec<Offer>,
    /// The latest first.
    payments: Vec<PaymentView>,
}

/// Who is here, and at whose.
#[derive(Serialize)]
pub struct Names {
    pub merchant: String,
    pub customer: String,
    pub environment: &'static str,
}

#[derive(Serialize)]
struct CardView {
    brand: Option<String>,
    last4: Option<String>,
    exp_month: Option<i32>,
    exp_year: Option<i32>,
}

#[derive(Serialize)]
struct AccountView {
    id: String,
    name: String,
    asset: String,
    /// How many decimals an amount of it is shown with, at least.
    decimals: u32,
    available: String,
    /// What comes later, and what is set aside.
    pending_in: String,
    pending_out: String,
    expiring: Vec<Expiring>,
    /// How many more expire.
    expiring_more: usize,
    chart: Option<Chart>,
    /// Null where none is set.
    auto_top_up: Option<AutoView>,
}

/// When the account is filled by itself.
#[derive(Serialize)]
struct AutoView {
    amount: String,
    currency: String,
    /// How many decimals the currency has.
    decimals: u32,
    threshold: String,
    is_disabled: bool,
    /// What the last decline said.
    error: Option<String>,
    not_before: Option<String>,
}

#[derive(Serialize)]
struct Expiring {
    amount: String,
    expires_at: String,
    purpose: Purpose,
}

#[derive(Serialize)]
struct PaymentView {
    /// `top_…`
    id: String,
    amount: String,
    currency: String,
    /// How many decimals the currency has.
    decimals: u32,
    credit: String,
    asset: String,
    status: model::Status,
    origin: String,
    /// What went back, or is about to.
    refunded: String,
    failure: Option<String>,
    created_at: String,
}

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn portal_view(session: &str) -> Option<JsonbText> {
    or_error(session::answer(session, view))
}

fn view(session: &Session) -> Result<JsonbText, Failure> {
    let (book, customer_id): (&Book, Uuid) = (&session.caller, session.customer_id);
    let standings = position::of_customer(book, customer_id, None)?;
    let ids: Vec<_> =
        standings.iter().map(|position| (position.name.clone(), position.asset.clone())).collect();
    let provider = Provider::of(book.environment);
    let card = provider.map(|provider| card::current(book, Some(customer_id), provider)).transpose()?;
    let accounts = standings.into_iter().enumerate().map(|(n, position)| {
        let account_id = customer_account_id(customer_id, &position.name, &position.asset);
        let has_chart = n < CHARTS_MAX;
        let chart = has_chart.then(|| day::chart(book, account_id, position.available)).transpose()?;
        let auto_top_up = auto_top_up(state::read(book, account_id, false)?);
        Ok(AccountView { auto_top_up, ..account(position, chart) })
    });
    let view = View {
        names: names(session)?,
        return_url: session.return_url.clone(),
        can_pay: provider.is_some(),
        card: card.flatten().map(|card| CardView {
            brand: card.brand,
            last4: card.last4,
            exp_month: card.exp_month,
            exp_year: card.exp_year,
        }),
        accounts: accounts.collect::<DbResult<_>>()?,
        offers: if provider.is_some() { offer::offers(book, &ids)? } else { Vec::new() },
        payments: payments(session)?,
    };
    Ok(JsonbText(serde_json::to_string(&view)?))
}

const NAMES: &str = "
    select t.name, c.name
      from topup.customer c join topup.tenant t on t.tenant_id = c.tenant_id
     where c.tenant_id = $1 and c.environment = $2::topup.environment and c.customer_id = $3";

/// Who the session's customer is, and whose.
pub fn names(session: &Session) -> Result<Names, Failure> {
    let book: &Book = &session.caller;
    let environment = book.environment.as_str();
    let found = db::read(NAMES, args![book.tenant_id, environment, session.customer_id], |row| {
        Ok(Names { merchant: row.get(1)?, customer: row.get(2)?, environment })
    })?;
    let missing = || Failure::Fault("a session without a customer".to_owned());
    found.into_iter().next().ok_or_else(missing)
}

/// How many decimals amounts of an asset are shown with, at least: those of its coins.
pub fn decimals(asset: &str) -> u32 {
    if is_fiat(asset) { currency::decimals(asset) } else { 0 }
}

fn account(position: Position, chart: Option<Chart>) -> AccountView {
    let ends = |grant: &crate::ledger::credit::Grant| grant.expires_at.filter(|_| !grant.pending);
    let mut grants: Vec<_> =
        position.credit.grants.iter().filter_map(|grant| Some((ends(grant)?, grant))).collect();
    grants.sort_by_key(|(expires_at, _)| *expires_at);
    let expiring = grants.iter().take(EXPIRING_MAX).map(|(expires_at, grant)| Expiring {
        amount: grant.remaining.to_string(),
        expires_at: expires_at.rfc3339(),
        purpose: grant.purpose,
    });
    AccountView {
        id: position.id(),
        decimals: decimals(&position.asset),
        available: position.available.to_string(),
        pending_in: position.pending_in.to_string(),
        pending_out: position.pending_out.to_string(),
        expiring: expiring.collect(),
        expiring_more: grants.len().saturating_sub(EXPIRING_MAX),
        chart,
        name: position.name,
        asset: position.asset,
        auto_top_up: None,
    }
}

fn auto_top_up(auto: AutoTopUp) -> Option<AutoView> {
    let currency = auto.currency?;
    Some(AutoView {
        amount: auto.amount?.to_string(),
        decimals: currency::decimals(&currency),
        currency,
        threshold: auto.threshold?.to_string(),
        is_disabled: auto.disabled_reason.is_some(),
        error: auto.error,
        not_before: auto.not_before,
    })
}

/// A checkout that nobody went to is none.
const PAYMENTS: &str = "
    select payment_id, amount::text, currency, credit::text, asset, status, origin, failure_message, created_at,
           (select coalesce(sum(r.amount), 0)::text from topup.payment_refund r
             where r.tenant_id = p.tenant_id and r.environment = p.environment and r.payment_id = p.payment_id
               and r.status <> 'failed')
      from topup.payment p
     where tenant_id = $1 and environment = $2::topup.environment and customer_id = $3
       and not (status = 'expired' or status = 'initiated' or status = 'pending' and expires_at <= clock_timestamp())
     order by tenant_id desc, environment desc, customer_id desc, payment_id desc limit $4";

fn payments(session: &Session) -> DbResult<Vec<PaymentView>> {
    let book: &Book = &session.caller;
    let customer_id = session.customer_id;
    let arguments = args![book.tenant_id, book.environment.as_str(), customer_id, PAYMENTS_MAX];
    db::read_by_key(PAYMENTS, arguments, |found: &Row| {
        let currency: String = found.get(3)?;
        let status: String = found.get(6)?;
        Ok(PaymentView {
            id: model::text_id(Some(customer_id), found.uuid(1)?),
            amount: found.amount(2)?.to_string(),
            decimals: currency::decimals(&currency),
            currency,
            credit: found.amount(4)?.to_string(),
            asset: found.get(5)?,
            status: model::Status::parse(&status).ok_or(pgrx::spi::SpiError::InvalidPosition)?,
            origin: found.get(7)?,
            failure: found.maybe(8)?,
            created_at: found.timestamp(9)?.rfc3339(),
            refunded: found.amount(10)?.to_string(),
        })
    })
}
