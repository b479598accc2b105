//! Fund: money from outside for a tenant's own wallet, by an administrator, once for each transaction_id.

use pg_topup_contract::Code;
use pgrx::prelude::*;
use serde::Serialize;

use crate::ledger::account::{self, System, USD};
use crate::ledger::{self, Header, Posting};
use crate::operation::idempotency::{self, Keeps, Namespace, Queue, Requester};
use crate::operation::replayed;
use crate::pg::db::{self, args};
use crate::pg::jsonb::JsonbText;
use crate::value::amount::{Amount, Cents};
use crate::value::book::{Book, Environment};
use crate::value::id::{self, Kind};
use crate::value::reply::{self, Failure, Refusal, Rendered, Reply};

/// What `fund` may add at once: a billion dollars.
const FUND_CENTS_MAX: i64 = 100_000_000_000;

/// Money that an administrator puts into a tenant's wallet.
#[derive(Debug, Serialize)]
struct FundRequest<'a> {
    amount_cents: Cents,
    transaction_id: &'a str,
    description: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct FundData<'a> {
    id: &'a str,
    amount_cents: Cents,
    new_balance_cents: Cents,
}

const BOOK: &str = "
    select tenant_id, environment::text, wallet_id from topup.tenant_environment
     where tenant_id = $1 and environment::text = $2";

#[pg_extern(schema = "topup", volatile, parallel_unsafe, security_definer)]
#[search_path(pg_catalog, pg_temp)]
fn fund(
    tenant_id: Option<&str>,
    environment: Option<&str>,
    amount_cents: Option<i64>,
    transaction_id: Option<&str>,
    description: default!(Option<&str>, "NULL"),
) -> JsonbText {
    let attempt = || {
        let missing =
            |field| Refusal::of_field(Code::InvalidRequest, field, format!("Missing field `{field}`."));
        let tenant =
            tenant_id.and_then(|text| Kind::Tenant.parse(text)).ok_or_else(|| missing("tenant_id"))?;
        let environment = environment.ok_or_else(|| missing("environment"))?;
        let no_environment =
            || Refusal::of_field(Code::InvalidRequest, "environment", "This must be staging or live.");
        let environment = Environment::parse(environment).ok_or_else(no_environment)?.as_str();
        let request = FundRequest {
            amount_cents: Cents(amount_cents.ok_or_else(|| missing("amount_cents"))?),
            transaction_id: transaction_id.ok_or_else(|| missing("transaction_id"))?,
            description,
        };
        let no_tenant = || Refusal::of_field(Code::InvalidRequest, "tenant_id", "There is no such tenant.");
        let book =
            db::read(BOOK, args![tenant, environment], |row| row.book())?.pop().ok_or_else(no_tenant)?;
        fund_book(&book, &request)
    };
    let reply = reply::finish(attempt());
    replayed::report(std::slice::from_ref(&reply));
    JsonbText(reply.body)
}

fn fund_book(book: &Book, request: &FundRequest) -> Result<Rendered, Failure> {
    idempotency::check_key(request.transaction_id, "transaction_id")?;
    crate::operation::request::check_description(request.description)?;
    if !(1..=FUND_CENTS_MAX).contains(&request.amount_cents.0) {
        let message = format!("The amount must be from 1 to {FUND_CENTS_MAX} cents.");
        return Err(Refusal::of_field(Code::AmountOutOfRange, "amount_cents", message).into());
    }
    let own_id = (Namespace::Fund, request.transaction_id);
    let requester = Requester::ADMINISTRATOR;
    idempotency::once(book, requester, own_id, Queue::Wallet, Keeps::ForGood, ("fund", request), || {
        let amount = Amount::from_cents(request.amount_cents);
        let cash = account::system_id(book.tenant_id, book.environment, System::Cash, USD);
        let postings = [Posting::new(cash, -amount), Posting::new(book.wallet_id, amount)];
        let transaction_id = id::new();
        let header = Header {
            transaction_id,
            kind: "fund",
            top_up_id: None,
            reference: Some(request.transaction_id),
            detail: Some(serde_json::to_string(&serde_json::json!({ "description": request.description }))?),
        };
        let after = ledger::post(book, header, &[ledger::lock_wallet(book)?], &postings)?;
        let data = FundData {
            id: request.transaction_id,
            amount_cents: request.amount_cents,
            new_balance_cents: after.first().map_or(Cents(0), |balance| balance.floor_cents()),
        };
        Reply::of(Code::Success, transaction_id, None, data).render()
    })
}
