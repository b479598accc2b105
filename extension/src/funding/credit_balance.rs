//! The wallet at a glance: balance, saved card, auto top-up.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::Serialize;

use super::config::{self, ConfigData};
use super::{AccountRequest, check_account};
use crate::operation::handler::Handler;
use crate::payment::card;
use crate::payment::provider::Provider;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::top_up::balance;
use crate::value::amount::Cents;
use crate::value::book::Book;
use crate::value::reply::{Failure, Outcome, Reply};

/// The tenant's wallet.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreditBalanceData {
    /// US cents, rounded down.
    pub balance: Cents,
    /// Whether a card is saved.
    pub has_default_payment_method: bool,
    /// The saved card; null where there is none.
    pub payment_method: Option<CardData>,
    /// The auto top-up; all null where none is set.
    pub topup_config: ConfigData,
    /// Whether any top-up was paid.
    pub first_topup_success: bool,
}

/// A saved card.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CardData {
    /// Such as `visa`; null where the provider does not say.
    pub brand: Option<String>,
    /// The last four digits of its number.
    pub last4: Option<String>,
}

pub struct CreditBalance;

impl Handler for CreditBalance {
    const NAME: &'static str = "credit_balance";
    type Request = AccountRequest;
    type Data = CreditBalanceData;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<CreditBalanceData> {
        check_account(caller, request.account_id.as_deref())?;
        let card = match Provider::of(caller.environment) {
            Some(provider) => card::current(caller, None, provider)?,
            None => None,
        };
        let data = CreditBalanceData {
            balance: balance::wallet(caller)?.balance.floor_cents(),
            has_default_payment_method: card.is_some(),
            payment_method: card.map(|card| CardData { brand: card.brand, last4: card.last4 }),
            topup_config: config::read(caller)?,
            first_topup_success: has_paid(caller)?,
        };
        Ok(Reply::new(Code::Success, data))
    }
}

const HAS_PAID: &str = "
    select exists (select from topup.payment
                    where tenant_id = $1 and environment = $2::topup.environment and customer_id is null
                      and status = 'succeeded')";

fn has_paid(book: &Book) -> Result<bool, Failure> {
    let arguments = args![book.tenant_id, book.environment.as_str()];
    Ok(db::read(HAS_PAID, arguments, |row| row.get(1))?.contains(&true))
}
