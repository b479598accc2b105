//! What time alone changes, booked: grants that begin or expire, and holds that end.

use pg_topup_contract::{Code, Envelope};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::entry::{self, Header, Posting, Running};
use crate::event;
use crate::ledger::account::{self, Facts, System};
use crate::ledger::credit::{Cause, Change};
use crate::ledger::grant;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id::{self, Kind};
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;

/// Books changes of an account that is locked, each as a transaction of its own at the instant at which it came.
pub fn write(
    book: &Book,
    account: &mut Running,
    changes: &[Change],
    next_due_at: Option<PgTimestamp>,
) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(());
    }
    let facts = account::facts(book, account.account_id)?;
    for change in changes {
        account.version += 1;
        account.balance = account.balance + change.amount;
        write_one(book, account, &facts, change, next_due_at)?;
    }
    Ok(())
}

fn write_one(
    book: &Book,
    account: &Running,
    facts: &Facts,
    change: &Change,
    next_due_at: Option<PgTimestamp>,
) -> Result<(), Failure> {
    let (kind, id_of_cause) = change.cause.kind_and_id();
    let (contra, field) = match change.cause {
        Cause::Expired(_) => (System::Breakage, "grant_id"),
        Cause::Activated(_) => (System::Held, "grant_id"),
        Cause::HoldExpired(..) => (System::Held, "hold_id"),
    };
    let contra = account::system_id(book.tenant_id, book.environment, contra, &facts.asset);
    let postings = [Posting::new(account.account_id, change.amount), Posting::new(contra, -change.amount)];
    let detail = Some(serde_json::to_string(&serde_json::json!({ field: id_of_cause }))?);
    let transaction_id = id::new();
    let header = Header { transaction_id, kind, top_up_id: None, reference: None, detail };
    entry::write(book, header, change.at, std::slice::from_ref(account), &postings)?;
    match &change.cause {
        Cause::Activated(grant_id) => {
            grant::activate(book, account.account_id, *grant_id, transaction_id)?;
        }
        Cause::HoldExpired(hold_id, of_transaction) => {
            grant::expire_hold(book, *hold_id, transaction_id, change.at)?;
            grant::note_return(book, account.account_id, transaction_id, *of_transaction, change.amount)?;
        }
        Cause::Expired(grant_id) => emit(book, facts, transaction_id, *grant_id, change)?,
    }
    Ok(grant::save(book, account.account_id, transaction_id, &change.uses, next_due_at)?)
}

/// What expired, as `credit.expired` tells it.
#[derive(Serialize, JsonSchema)]
pub struct CreditExpired<'a> {
    /// `grant_…`
    grant_id: String,
    /// Whose credit it was: `cust_…`.
    customer_id: Option<String>,
    /// `{name}:{asset}`
    account_id: String,
    /// The asset of the account.
    asset: &'a str,
    /// What was left of it, in major units of the asset.
    amount: Amount,
    /// RFC 3339, UTC.
    expired_at: String,
}

fn emit(
    book: &Book,
    facts: &Facts,
    transaction_id: Uuid,
    grant_id: Uuid,
    change: &Change,
) -> Result<(), Failure> {
    let data = CreditExpired {
        grant_id: Kind::Grant.text(grant_id),
        customer_id: facts.customer_id.map(|id| Kind::Customer.text(id)),
        account_id: format!("{}:{}", facts.name, facts.asset),
        asset: &facts.asset,
        amount: -change.amount,
        expired_at: change.at.rfc3339(),
    };
    let envelope = Envelope::new(Code::Success, Some(Kind::Transaction.text(transaction_id)), None, data);
    event::emit(book, "credit.expired", transaction_id, &envelope)
}
