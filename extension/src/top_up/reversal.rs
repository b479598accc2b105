//! The reversal of a pending top-up, for cancel and for fail: its cost returns to the wallet.

use crate::event;
use crate::ledger::account::{self, System, USD};
use crate::ledger::{self, Header, Locked, Posting};
use crate::pg::db::{self, args};
use crate::tenant::key_usage;
use crate::top_up::model::{self, Status, TopUp};
use crate::value::amount::{Amount, Cents};
use crate::value::book::Book;
use crate::value::id;
use crate::value::reply::Failure;

const END: &str = "
    update topup.top_up set status = $4, failure_reason = $5, ended_at = clock_timestamp()
     where tenant_id = $1 and environment = $2::topup.environment and transaction_id = $3 and status = 'pending'
    returning true";

/// Ends a pending top-up, which is locked, without delivery: returns its cost to the wallet, takes the cost out of the
/// key's usage, and emits the event. Returns the wallet's balance after it.
pub fn reverse(
    book: &Book,
    top_up: &TopUp,
    wallet: Locked,
    status: Status,
    reason: Option<&str>,
) -> Result<Cents, Failure> {
    let system = |system| account::system_id(book.tenant_id, book.environment, system, USD);
    let list = Amount::from_cents(top_up.data.amount_cents);
    let cost = Amount::from_cents(top_up.data.cost_cents);
    let discount = list.plus(-cost).ok_or_else(|| Failure::Fault("a discount that cannot be".to_owned()))?;
    let postings = [
        Posting::new(system(System::Pending), -list),
        Posting::new(book.wallet_id, cost),
        Posting::new(system(System::Discount), discount),
    ];
    let header = Header {
        transaction_id: id::new(),
        kind: if status == Status::Failed { "fail" } else { "cancel" },
        top_up_id: Some(top_up.transaction_id),
        reference: None,
        detail: None,
    };
    let after = ledger::post(book, header, &[wallet], &postings)?;
    let (tenant_id, environment, transaction_id) =
        (book.tenant_id, book.environment.as_str(), top_up.transaction_id);
    let arguments = args![tenant_id, environment, transaction_id, status.as_str(), reason];
    model::must_change(db::write(END, arguments, |_| Ok(()))?)?;
    let (cost, list) = (Cents(-top_up.data.cost_cents.0), Cents(-top_up.data.amount_cents.0));
    key_usage::add(book, top_up.key_id, top_up.created_at, cost, list)?;
    let mut ended = TopUp { status, ..top_up.clone() };
    ended.data.failure_reason = reason.map(str::to_owned);
    event::emit(book, status.event_type(), transaction_id, &ended.reply().envelope)?;
    Ok(after.first().map_or(Cents(0), |balance| balance.floor_cents()))
}
