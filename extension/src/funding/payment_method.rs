//! The tenant's saved card: shown, replaced by paying with another one, and removed.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::top_up::{self, TopUpStarted};
use super::{AccountRequest, check_account};
use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::payment::card::{self, Card};
use crate::payment::provider::{self, Provider};
use crate::pg::db::{self, DbResult, args};
use crate::tenant::caller::Caller;
use crate::value::amount::Cents;
use crate::value::reply::{Outcome, Refusal, Reply};

/// The saved cards of the tenant.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListData {
    /// None or one: a card that is saved takes the place of the one before.
    pub payment_methods: Vec<PaymentMethod>,
}

/// A saved card.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PaymentMethod {
    /// The payment provider's id of it, as `payment_method_id` of a top-up names it.
    pub id: String,
    /// `card`
    pub r#type: &'static str,
    /// Such as `visa`; null where the provider does not say.
    pub brand: Option<String>,
    /// The last four digits of its number.
    pub last4: Option<String>,
    /// The last month in which it is good, 1 to 12.
    pub exp_month: Option<i32>,
    /// The year of that month, four digits.
    pub exp_year: Option<i32>,
    /// Top-ups and the auto top-up charge it.
    pub is_default: bool,
    /// Whether the next top-up opens a checkout rather than charging it: its last charges were refused in a way that only
    /// its holder can mend.
    pub needs_attention: bool,
}

impl PaymentMethod {
    fn of(caller: &Caller, card: Card) -> DbResult<PaymentMethod> {
        Ok(PaymentMethod {
            needs_attention: card::needs_holder(caller, &card)?,
            id: card.provider_method_id,
            r#type: "card",
            brand: card.brand,
            last4: card.last4,
            exp_month: card.exp_month,
            exp_year: card.exp_year,
            is_default: true,
        })
    }
}

pub struct List;

impl Handler for List {
    const NAME: &'static str = "payment_methods";
    type Request = AccountRequest;
    type Data = ListData;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<ListData> {
        check_account(caller, request.account_id.as_deref())?;
        let provider = Provider::of(caller.environment);
        let card = provider.map(|provider| card::current(caller, None, provider)).transpose()?.flatten();
        let method = card.map(|card| PaymentMethod::of(caller, card)).transpose()?;
        Ok(Reply::new(Code::Success, ListData { payment_methods: method.into_iter().collect() }))
    }
}

/// How much to pay with the new card.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReplaceRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
    /// US cents, 1,000 to 99,999,999; credited to the wallet as with any top-up.
    pub amount: Cents,
}

pub struct Replace;

impl Handler for Replace {
    const NAME: &'static str = "payment_method_replace";
    type Request = ReplaceRequest;
    type Data = TopUpStarted;

    fn handle(caller: &Caller, request: &ReplaceRequest) -> Outcome<TopUpStarted> {
        check_account(caller, request.account_id.as_deref())?;
        top_up::check_amount(request.amount)?;
        let provider = provider::require(caller)?;
        let card = card::current(caller, None, provider)?;
        let started = top_up::begin(caller, request.amount, None, card.as_ref())?;
        Ok(Reply::new(Code::Success, started))
    }
}

/// Which card.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
    /// As the list shows it.
    pub payment_method_id: String,
}

pub struct Remove;

const KNOWN: &str = "
    select true from topup.payment_method
     where tenant_id = $1 and environment = $2::topup.environment and customer_id is null and provider_method_id = $3
     limit 1";

impl Handler for Remove {
    const NAME: &'static str = "payment_method_remove";
    type Request = RemoveRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &RemoveRequest) -> Outcome<Nothing> {
        check_account(caller, request.account_id.as_deref())?;
        let id = request.payment_method_id.as_str();
        let known = args![caller.tenant_id, caller.environment.as_str(), id];
        if db::read(KNOWN, known, |_| Ok(()))?.is_empty() {
            let message = "There is no such saved payment method.";
            return Err(Refusal::not_found("payment_method_id", message).into());
        }
        card::remove(caller, None, Some(id))?;
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}
