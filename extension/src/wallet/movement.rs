//! What adjustments, charges and refunds have in common: the account, the amount, and the answer.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::ledger::asset::{self, Asset};
use crate::pg::db::{self, args};
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::reply::{Failure, Refusal};

pub const NAME_DEFAULT: &str = "default";
const NAME_LENGTH_MAX: usize = 100;

/// What was booked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Moved {
    /// The request's transaction_id.
    pub id: String,
    /// `{name}:{asset}`; null for your own wallet.
    pub account_id: Option<String>,
    /// A currency, or an asset of yours.
    pub asset: String,
    /// What the account gained, or lost where it is negative.
    pub amount: Amount,
    /// The account after it.
    pub balance: Amount,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// The asset, where the amount is one that the ledger keeps of it: not zero, not too large, not too fine.
pub fn check_amount(book: &Book, code: &str, amount: Amount) -> Result<Asset, Failure> {
    let missing = || Refusal::of_field(Code::InvalidRequest, "asset", "There is no such asset.");
    let asset = asset::find(book, code)?.ok_or_else(missing)?;
    let precision = usize::try_from(asset.precision).unwrap_or(0);
    if amount == Amount::ZERO || !amount.fits() || amount.decimals() > precision {
        let message = format!(
            "The amount must not be zero, beyond what an account can hold, nor finer than {precision} decimals."
        );
        return Err(Refusal::of_field(Code::AmountOutOfRange, "amount", message).into());
    }
    Ok(asset)
}

/// The same for what an account is to give: more than 0.
pub fn check_debit(book: &Book, code: &str, amount: Amount) -> Result<Asset, Failure> {
    if amount < Amount::ZERO {
        let message = "The amount must be more than 0.";
        return Err(Refusal::of_field(Code::AmountOutOfRange, "amount", message).into());
    }
    check_amount(book, code, amount)
}

/// The name of the account, `default` if none is given.
pub fn account_name(name: Option<&str>) -> Result<&str, Refusal> {
    let name = name.unwrap_or(NAME_DEFAULT);
    if name.is_empty() || name.chars().count() > NAME_LENGTH_MAX || name.contains(':') {
        let message = "An account name has 1 to 100 characters and no colon.";
        return Err(Refusal::of_field(Code::InvalidRequest, "account_name", message));
    }
    Ok(name)
}

/// What the balance does not cover.
pub fn not_covered() -> Refusal {
    let message = "The available balance does not cover this amount.";
    Refusal::of_field(Code::InsufficientBalance, "amount", message)
}

/// The ledger's refusals are about the amount: here they name the field.
pub fn of_amount(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(refusal) if refusal.field.is_none() => Failure::Refused(refusal.at("amount")),
        other => other,
    }
}

const CREATED_AT: &str =
    "select topup.rfc3339(created_at) from topup.transaction where tenant_id = $1 and transaction_id = $2";

/// When a transaction was booked, as the journal has it.
pub fn created_at(book: &Book, transaction_id: Uuid) -> Result<String, Failure> {
    let found = db::write(CREATED_AT, args![book.tenant_id, transaction_id], |row| row.get(1))?;
    found.into_iter().next().ok_or_else(|| Failure::Fault("a transaction without a row".to_owned()))
}
