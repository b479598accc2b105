//! A customer's wallet: its accounts, and what each has.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::account;
use crate::operation::handler::Handler;
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::wallet::customer::GetRequest;
use crate::wallet::position::{self, Position};

/// A wallet's accounts, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WalletData {
    /// All accounts of the customer.
    pub accounts: Vec<Summary>,
}

/// An account and what it has to give.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// `{name}:{asset}`.
    pub id: String,
    /// The account's name, such as `default`.
    pub name: String,
    /// A currency, or an asset of yours.
    pub asset: String,
    /// Below 0 where usage went beyond the balance.
    pub available: Amount,
}

impl Summary {
    fn of(position: Position) -> Summary {
        let id = position.id();
        Summary { id, name: position.name, asset: position.asset, available: position.available }
    }
}

pub struct Wallet;

impl Handler for Wallet {
    const NAME: &'static str = "wallet";
    type Request = GetRequest;
    type Data = WalletData;

    fn handle(caller: &Caller, request: &GetRequest) -> Outcome<WalletData> {
        let customer_id = customer::require(caller, &request.customer_id)?;
        let accounts = position::of_customer(caller, customer_id, None)?;
        let accounts = accounts.into_iter().map(Summary::of).collect();
        Ok(Reply::new(Code::Success, WalletData { accounts }))
    }
}

/// Which account.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountRequest {
    /// `cust_…`.
    pub customer_id: String,
    /// `{name}:{asset}`.
    pub account_id: String,
}

/// An account with all its parts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AccountData {
    #[serde(flatten)]
    pub summary: Summary,
    /// Credit that is given and not yet effective.
    pub pending_in: Amount,
    /// Credit that is held.
    pub pending_out: Amount,
}

pub struct Account;

impl Handler for Account {
    const NAME: &'static str = "wallet_account";
    type Request = AccountRequest;
    type Data = AccountData;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<AccountData> {
        let customer_id = customer::require(caller, &request.customer_id)?;
        let position = find_position(caller, customer_id, &request.account_id)?;
        let (pending_in, pending_out) = (position.pending_in, position.pending_out);
        let data = AccountData { summary: Summary::of(position), pending_in, pending_out };
        Ok(Reply::new(Code::Success, data))
    }
}

/// How the account of a customer that a request names by its id stands now; 404 where there is none.
pub fn find_position(book: &Book, customer_id: Uuid, account_id: &str) -> Result<Position, Failure> {
    let (name, asset) = account_id.rsplit_once(':').ok_or_else(missing)?;
    let only = account::customer_account_id(customer_id, name, asset);
    Ok(position::of_customer(book, customer_id, Some(only))?.pop().ok_or_else(missing)?)
}

/// The account of a customer that a request names by its id, to be locked; 404 where there is none.
pub fn require(book: &Book, customer_id: Uuid, account_id: &str) -> Result<Uuid, Failure> {
    let (name, asset) = account_id.rsplit_once(':').ok_or_else(missing)?;
    if !account::customer_has(book, customer_id, name, asset)? {
        return Err(missing().into());
    }
    Ok(account::customer_account_id(customer_id, name, asset))
}

fn missing() -> Refusal {
    Refusal::not_found("account_id", "The customer has no such account.")
}
