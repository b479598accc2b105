//! Spending limits: what all keys of an environment together may spend in a time.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccountRequest, check_account, check_least};
use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::spending_limit::{Duration, Strategy};
use crate::value::amount::Cents;
use crate::value::reply::{Outcome, Reply};

const LEAST: Cents = Cents(100);

/// How much may be spent in which time.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
    /// US cents, at least 100.
    pub amount: Cents,
    /// A day, a week (from Monday) or a month, in UTC; sliding: the last 24 hours, 7 or 30 days.
    pub duration: Duration,
    /// Whether the time begins with the calendar's (`fixed`) or reaches back from now (`sliding`).
    pub strategy: Strategy,
}

/// The limit, all null where none is set.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LimitData {
    /// The limit; all null where none is set.
    pub config: Config,
    /// Whether a limit is set.
    pub enabled: bool,
}

/// How much may be spent in which time.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Config {
    /// US cents.
    pub amount: Option<Cents>,
    /// How long the time is.
    pub duration: Option<Duration>,
    /// Whether the time begins with the calendar's or reaches back from now.
    pub strategy: Option<Strategy>,
}

pub struct Get;

impl Handler for Get {
    const NAME: &'static str = "spending_limit_get";
    type Request = AccountRequest;
    type Data = LimitData;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<LimitData> {
        check_account(caller, request.account_id.as_deref())?;
        let config = caller.spending_limit.as_ref().map_or_else(Config::default, |limit| Config {
            amount: Some(limit.amount),
            duration: Some(limit.duration),
            strategy: Some(limit.strategy),
        });
        Ok(Reply::new(Code::Success, LimitData { enabled: config.amount.is_some(), config }))
    }
}

const SET: &str = "
    update topup.tenant_environment
       set spending_limit_cents = $3, spending_limit_duration = $4, spending_limit_strategy = $5
     where tenant_id = $1 and environment = $2::topup.environment";

pub struct Set;

impl Handler for Set {
    const NAME: &'static str = "spending_limit_set";
    type Request = SetRequest;
    type Data = LimitData;

    fn handle(caller: &Caller, request: &SetRequest) -> Outcome<LimitData> {
        check_account(caller, request.account_id.as_deref())?;
        check_least(request.amount, LEAST, "amount")?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let (duration, strategy) = (request.duration.as_str(), request.strategy.as_str());
        db::execute(SET, args![tenant_id, environment, request.amount.0, duration, strategy])?;
        let config = Config {
            amount: Some(request.amount),
            duration: Some(request.duration),
            strategy: Some(request.strategy),
        };
        Ok(Reply::new(Code::Success, LimitData { config, enabled: true }))
    }
}

pub struct Delete;

impl Handler for Delete {
    const NAME: &'static str = "spending_limit_delete";
    type Request = AccountRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<Nothing> {
        check_account(caller, request.account_id.as_deref())?;
        let (tenant_id, environment, none) = (caller.tenant_id, caller.environment.as_str(), None::<&str>);
        db::execute(SET, args![tenant_id, environment, None::<i64>, none, none])?;
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}
