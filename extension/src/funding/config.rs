//! Auto top-up of the tenant's own wallet: with how much, and below which balance.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::top_up;
use super::{AccountRequest, check_account, check_least};
use crate::ledger::account::USD;
use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::payment::auto::change::{self, Config};
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::value::amount::{Amount, Cents};
use crate::value::book::Book;
use crate::value::reply::{Failure, Outcome, Reply};

const LEAST_THRESHOLD: Cents = Cents(500);

/// When the wallet is filled, and with how much.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
    /// US cents, 1,000 to 99,999,999.
    pub amount: Cents,
    /// US cents, at least 500.
    pub threshold: Cents,
}

/// The auto top-up, all null where none is set.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigData {
    /// US cents.
    pub amount: Option<Cents>,
    /// US cents.
    pub threshold: Option<Cents>,
    /// `three_declines`: it is off until a new card or a new configuration.
    pub disabled_reason: Option<String>,
    /// What the last decline said.
    pub error: Option<String>,
    /// Milliseconds since 1970.
    pub last_failed_at: Option<i64>,
}

const READ: &str = "
    select amount::text, threshold::text, disabled_reason, error, (extract(epoch from last_failed_at) * 1000)::bigint
      from topup.auto_top_up where tenant_id = $1 and account_id = $2";

/// The auto top-up of the tenant's wallet.
pub fn read(book: &Book) -> Result<ConfigData, Failure> {
    let found = db::read(READ, args![book.tenant_id, book.wallet_id], |row| {
        Ok(ConfigData {
            amount: row.maybe_amount(1)?.map(Amount::floor_cents),
            threshold: row.maybe_amount(2)?.map(Amount::floor_cents),
            disabled_reason: row.maybe(3)?,
            error: row.maybe(4)?,
            last_failed_at: row.maybe(5)?,
        })
    })?;
    Ok(found.into_iter().next().unwrap_or_default())
}

pub struct Get;

impl Handler for Get {
    const NAME: &'static str = "funding_config_get";
    type Request = AccountRequest;
    type Data = ConfigData;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<ConfigData> {
        check_account(caller, request.account_id.as_deref())?;
        Ok(Reply::new(Code::Success, read(caller)?))
    }
}

pub struct Set;

impl Handler for Set {
    const NAME: &'static str = "funding_config_set";
    type Request = SetRequest;
    type Data = ConfigData;

    fn handle(caller: &Caller, request: &SetRequest) -> Outcome<ConfigData> {
        check_account(caller, request.account_id.as_deref())?;
        check_least(request.amount, top_up::LEAST, "amount")?;
        check_least(request.threshold, LEAST_THRESHOLD, "threshold")?;
        top_up::check_most(request.amount)?;
        let config = Config {
            customer_id: None,
            account_id: caller.wallet_id,
            currency: USD,
            amount: Amount::from_cents(request.amount),
            threshold: Amount::from_cents(request.threshold),
            limit: change::limit_of(caller, caller.wallet_id)?,
        };
        change::set(caller, &config)?;
        let (amount, threshold) = (Some(request.amount), Some(request.threshold));
        Ok(Reply::new(Code::Success, ConfigData { amount, threshold, ..ConfigData::default() }))
    }
}

pub struct Delete;

impl Handler for Delete {
    const NAME: &'static str = "funding_config_delete";
    type Request = AccountRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &AccountRequest) -> Outcome<Nothing> {
        check_account(caller, request.account_id.as_deref())?;
        change::remove(caller, caller.wallet_id)?;
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}
