//! Refund: gives back what a charge took, whole or in part, to the credit it came from.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::account::{self, System};
use crate::ledger::credit::Taken;
use crate::ledger::grant::{self, View};
use crate::ledger::{self, Header, Meaning, Posting};
use crate::operation::handler::Handler;
use crate::operation::idempotency::Namespace;
use crate::operation::request;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::wallet::movement::{self, Moved};

/// What of a charge is given back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RefundRequest {
    /// Whom it was charged to: `cust_…`.
    pub customer_id: String,
    /// The charge's transaction_id.
    pub charge_id: String,
    /// Your own id of the refund, 1 to 255 visible ASCII characters; the charge's if not given. The same id
    /// is the same refund, for good.
    pub transaction_id: Option<String>,
    /// More than 0; all that is left of the charge if not given.
    pub amount: Option<Amount>,
    /// Why, at most 500 characters.
    pub description: Option<String>,
}

#[derive(Serialize)]
struct Detail<'a> {
    charge_id: &'a str,
    description: Option<&'a str>,
}

/// A charge as the journal has it.
struct Charged {
    transaction_id: Uuid,
    account_id: Uuid,
    name: String,
    asset: String,
}

pub struct Refund;

impl Handler for Refund {
    const NAME: &'static str = "refund";
    type Request = RefundRequest;
    type Data = Moved;

    fn own_id(request: &RefundRequest) -> Option<(Namespace, &str)> {
        Some((Namespace::Refund, own_id(request)))
    }

    fn handle(caller: &Caller, request: &RefundRequest) -> Outcome<Moved> {
        request::check_description(request.description.as_deref())?;
        let customer_id = customer::require(caller, &request.customer_id)?;
        let charge = find(caller, customer_id, &request.charge_id)?;
        let locked = ledger::lock(caller, &[charge.account_id])?;
        let taken = grant::taken(caller, View::Locked, charge.account_id, charge.transaction_id)?;
        let amount = refundable(caller, request, &charge, &taken)?;
        let revenue =
            account::system_id(caller.tenant_id, caller.environment, System::Revenue, &charge.asset);
        let postings = [Posting::new(charge.account_id, amount), Posting::new(revenue, -amount)];
        let gives_back = Meaning::GivesBack {
            of_transaction: charge.transaction_id,
            taken: &taken,
            was_held: Amount::ZERO,
        };
        let transaction_id = id::new();
        let header = Header {
            transaction_id,
            kind: "refund",
            top_up_id: None,
            reference: Some(own_id(request)),
            detail: Some(serde_json::to_string(&Detail {
                charge_id: &request.charge_id,
                description: request.description.as_deref(),
            })?),
        };
        let meanings = [(charge.account_id, gives_back)];
        let after = ledger::post_meaning(caller, header, &locked, &postings, &meanings)
            .map_err(movement::of_amount)?;
        let data = Moved {
            id: own_id(request).to_owned(),
            account_id: Some(format!("{}:{}", charge.name, charge.asset)),
            asset: charge.asset,
            amount,
            balance: after.first().copied().unwrap_or_default(),
            created_at: movement::created_at(caller, transaction_id)?,
        };
        Ok(Reply::of(Code::Success, transaction_id, None, data))
    }
}

fn own_id(request: &RefundRequest) -> &str {
    request.transaction_id.as_deref().unwrap_or(&request.charge_id)
}

const FIND: &str = "
    select t.transaction_id, a.account_id, a.name, a.asset
      from topup.transaction t
      join topup.entry e on e.tenant_id = t.tenant_id and e.transaction_id = t.transaction_id
      join topup.account a on a.tenant_id = e.tenant_id and a.account_id = e.account_id
     where t.tenant_id = $1 and t.environment = $2::topup.environment and t.kind = 'charge' and t.reference = $3
       and a.customer_id = $4";

/// The charge of that id to that customer; 404 where there is none.
fn find(book: &Book, customer_id: Uuid, charge_id: &str) -> Result<Charged, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str(), charge_id, customer_id];
    let found = db::read(FIND, arguments, |row| {
        Ok(Charged {
            transaction_id: row.uuid(1)?,
            account_id: row.uuid(2)?,
            name: row.get(3)?,
            asset: row.get(4)?,
        })
    })?;
    let missing = || Refusal::not_found("charge_id", "There is no such charge.");
    Ok(found.into_iter().next().ok_or_else(missing)?)
}

/// How much is to be given back. The account's lock, which the caller holds, keeps other refunds of the
/// charge away.
fn refundable(
    book: &Book,
    request: &RefundRequest,
    charge: &Charged,
    taken: &Taken,
) -> Result<Amount, Failure> {
    let left = taken.sum();
    if left <= Amount::ZERO {
        let message = "The charge was given back already.";
        return Err(Refusal::new(Code::DuplicateTransaction, message).into());
    }
    let amount = request.amount.unwrap_or(left);
    if amount <= Amount::ZERO || amount > left {
        let message =
            format!("The amount must be more than 0, and at most what is left of the charge, {left}.");
        return Err(Refusal::of_field(Code::AmountOutOfRange, "amount", message).into());
    }
    movement::check_amount(book, &charge.asset, amount)?;
    Ok(amount)
}
