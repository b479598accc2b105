//! Sets, removes and shows the auto top-up of an account.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::state::{self, AutoTopUp};
use super::watch::watch;
use crate::ledger;
use crate::ledger::account::{self, USD};
use crate::ledger::asset;
use crate::operation::handler::Handler;
use crate::payment::{provider, rate};
use crate::pg::db::{self, DbResult, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::wallet::movement;

const WINDOW_S_MAX: i32 = 366 * 86_400;

/// When, and with how much, an account is filled by itself.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRequest {
    /// What is charged each time, in major units of the currency.
    pub amount: Amount,
    /// Below which balance, in major units of the asset; 0 or more.
    pub threshold: Amount,
    /// A customer of yours; without it, your own wallet.
    pub customer_id: Option<String>,
    /// Which of the customer's accounts of the asset; `default` if not given.
    pub account_name: Option<String>,
    /// USD if not given.
    pub asset: Option<String>,
    /// USD if not given.
    pub currency: Option<String>,
    /// At most so many purchases in any `window_s` seconds; no limit if neither is given.
    pub max_purchases: Option<i32>,
    /// Seconds: 1 to 31,622,400. Goes with `max_purchases`.
    pub window_s: Option<i32>,
}

/// Which account.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountRequest {
    /// A customer of yours; without it, your own wallet.
    pub customer_id: Option<String>,
    /// Which of the customer's accounts of the asset; `default` if not given.
    pub account_name: Option<String>,
    /// USD if not given.
    pub asset: Option<String>,
}

/// Whose account it is, and which.
struct Target {
    customer_id: Option<Uuid>,
    account_id: Uuid,
    account_name: String,
    asset: String,
}

fn invalid(field: &str, message: impl Into<String>) -> Failure {
    Refusal::of_field(Code::InvalidRequest, field, message).into()
}

fn target(
    caller: &Caller,
    customer_id: Option<&str>,
    account_name: Option<&str>,
    code: Option<&str>,
) -> Result<Target, Failure> {
    let asset = code.unwrap_or(USD).to_owned();
    let account_name = movement::account_name(account_name)?.to_owned();
    let Some(customer_id) = customer_id else {
        if asset != USD {
            return Err(invalid("asset", "Your own wallet holds US dollars."));
        }
        return Ok(Target { customer_id: None, account_id: caller.wallet_id, account_name, asset });
    };
    if asset::find(caller, &asset)?.is_none() {
        return Err(invalid("asset", "There is no such asset."));
    }
    let customer_id = customer::require(caller, customer_id)?;
    let account_id = account::customer_account_id(customer_id, &account_name, &asset);
    Ok(Target { customer_id: Some(customer_id), account_id, account_name, asset })
}

/// What an auto top-up is to be; who makes it has judged the amounts.
pub struct Config<'a> {
    /// None: the tenant, for its own wallet.
    pub customer_id: Option<Uuid>,
    pub account_id: Uuid,
    pub currency: &'a str,
    pub amount: Amount,
    pub threshold: Amount,
    /// How many purchases in how many seconds, at most.
    pub limit: Option<(i32, i32)>,
}

/// Where nobody said how many: 10 purchases in a day.
const LIMIT: (i32, i32) = (10, 86_400);

/// The limit of an auto top-up that is set again by somebody who says nothing of it: the one that it has.
pub fn limit_of(book: &Book, account_id: Uuid) -> DbResult<Option<(i32, i32)>> {
    let before = state::read(book, account_id, false)?;
    Ok(match before.amount {
        Some(_) => before.max_purchases.zip(before.window_s),
        None => Some(LIMIT),
    })
}

const SET: &str = "
    insert into topup.auto_top_up as a (tenant_id, environment, account_id, customer_id, currency, amount, threshold,
                                        max_purchases, window_s)
    values ($1, $2::topup.environment, $3, $4, $5, $6::numeric, $7::numeric, $8, $9)
    on conflict (tenant_id, account_id) do update
       set currency = excluded.currency, amount = excluded.amount, threshold = excluded.threshold,
           max_purchases = excluded.max_purchases, window_s = excluded.window_s, failures = 0, not_before = null,
           disabled_reason = null, error = null, last_failed_at = null, due_at = null";

/// Sets the auto top-up of an account that exists, and arms it. Refused where no provider takes money in this environment. If the balance is below its threshold already, it
/// fires when the transaction ends.
pub fn set(book: &Book, config: &Config) -> Result<(), Failure> {
    provider::require(book)?;
    ledger::lock(book, &[config.account_id])?;
    let arguments = args![
        book.tenant_id,
        book.environment.as_str(),
        config.account_id,
        config.customer_id,
        config.currency,
        config.amount.to_string(),
        config.threshold.to_string(),
        config.limit.map(|(purchases, _)| purchases),
        config.limit.map(|(_, window_s)| window_s)
    ];
    db::execute(SET, arguments)?;
    watch(book, config.account_id)
}

const REMOVE: &str = "delete from topup.auto_top_up where tenant_id = $1 and account_id = $2";
const UNWATCH: &str = "
    update topup.balance set auto_top_up_below = null
     where tenant_id = $1 and account_id = $2 and auto_top_up_below is not null";

/// Ends the auto top-up of an account, if there is one.
pub fn remove(book: &Book, account_id: Uuid) -> Result<(), Failure> {
    if state::read(book, account_id, true)?.amount.is_none() {
        return Ok(());
    }
    ledger::lock(book, &[account_id])?;
    db::execute(REMOVE, args![book.tenant_id, account_id])?;
    Ok(db::execute(UNWATCH, args![book.tenant_id, account_id])?)
}

pub struct Set;

impl Handler for Set {
    const NAME: &'static str = "set_auto_top_up";
    type Request = SetRequest;
    type Data = AutoTopUp;

    fn handle(caller: &Caller, request: &SetRequest) -> Outcome<AutoTopUp> {
        let currency = request.currency.as_deref().unwrap_or(USD);
        rate::check_amount(currency, request.amount)?;
        let limit = limit(request)?;
        let (name, asset) = (request.account_name.as_deref(), request.asset.as_deref());
        let target = target(caller, request.customer_id.as_deref(), name, asset)?;
        check_threshold(caller, &target.asset, request.threshold)?;
        rate::buy(caller, &target.asset, currency, request.amount, None).map_err(of_asset)?;
        if let Some(customer_id) = target.customer_id {
            account::open_for_customer(caller, customer_id, &target.account_name, &target.asset)?;
        }
        let config = Config {
            customer_id: target.customer_id,
            account_id: target.account_id,
            currency,
            amount: request.amount,
            threshold: request.threshold,
            limit,
        };
        set(caller, &config)?;
        Ok(Reply::new(Code::Success, state::read(caller, target.account_id, true)?))
    }
}

/// Here the rate is the asset's own.
fn of_asset(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(refusal) if refusal.field.as_deref() != Some("amount") => refusal.at("asset").into(),
        other => other,
    }
}

fn limit(request: &SetRequest) -> Result<Option<(i32, i32)>, Failure> {
    let positive = |field: &str, value: i32, most: i32| {
        let message = format!("This must be from 1 to {most}.");
        if (1..=most).contains(&value) { Ok(value) } else { Err(invalid(field, message)) }
    };
    match (request.max_purchases, request.window_s) {
        (None, None) => Ok(None),
        (Some(purchases), Some(window_s)) => {
            let purchases = positive("max_purchases", purchases, i32::MAX)?;
            Ok(Some((purchases, positive("window_s", window_s, WINDOW_S_MAX)?)))
        }
        (None, Some(_)) => Err(invalid("max_purchases", "A window has a number of purchases.")),
        (Some(_), None) => Err(invalid("window_s", "A number of purchases has a window.")),
    }
}

fn check_threshold(book: &Book, code: &str, threshold: Amount) -> Result<(), Failure> {
    let precision = asset::find(book, code)?.map_or(0, |asset| asset.precision);
    let is_fine = u32::try_from(threshold.decimals()).is_ok_and(|decimals| decimals <= precision);
    if threshold >= Amount::ZERO && threshold.fits() && is_fine {
        return Ok(());
    }
    let message = format!("The threshold must be 0 or more, with at most {precision} decimals.");
    Err(Refusal::of_field(Code::AmountOutOfRange, "threshold", message).into())
}

pub struct Remove;

impl Handler for Remove {
    const NAME: &'static str = "remove_auto_top_up";
    type Request = AccountRequest;
    type Data = AutoTopUp;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<AutoTopUp> {
        let (name, asset) = (request.account_name.as_deref(), request.asset.as_deref());
        let target = target(caller, request.customer_id.as_deref(), name, asset)?;
        remove(caller, target.account_id)?;
        Ok(Reply::new(Code::Success, AutoTopUp::default()))
    }
}

pub struct Show;

impl Handler for Show {
    const NAME: &'static str = "auto_top_up";
    type Request = AccountRequest;
    type Data = AutoTopUp;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<AutoTopUp> {
        let (name, asset) = (request.account_name.as_deref(), request.asset.as_deref());
        let target = target(caller, request.customer_id.as_deref(), name, asset)?;
        Ok(Reply::new(Code::Success, state::read(caller, target.account_id, false)?))
    }
}
