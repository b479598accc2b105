//! Funding: how a tenant fills its own wallet and limits what it spends, in the shapes of Cloudflare's clients.

pub mod config;
pub mod credit_balance;
pub mod invoice;
pub mod payment_method;
pub mod spending_limit;
pub mod top_up;
pub mod usage_history;

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tenant::caller::Caller;
use crate::value::amount::Cents;
use crate::value::id::Kind;
use crate::value::reply::Refusal;

/// Whose affairs are meant.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AccountRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
}

/// Refuses another's account as one that is not there.
fn check_account(caller: &Caller, account_id: Option<&str>) -> Result<(), Refusal> {
    if account_id.is_none_or(|account_id| Kind::Tenant.parse(account_id) == Some(caller.tenant_id)) {
        return Ok(());
    }
    Err(Refusal::not_found("account_id", "There is no such account."))
}

/// Refuses what is less than a least amount.
fn check_least(amount: Cents, least: Cents, field: &str) -> Result<(), Refusal> {
    if amount >= least {
        return Ok(());
    }
    let message = format!("This must be at least {} cents.", least.0);
    Err(Refusal::of_field(Code::AmountOutOfRange, field, message))
}
