//! A tenant's own assets: made, listed, looked up.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ledger::account;
use crate::ledger::asset::{self, Asset};
use crate::operation::handler::Handler;
use crate::operation::offset_page::{Page, Range};
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::value::amount::Amount;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::value::wire_time::WireTime;
use crate::wallet::asset_rate::{self, NewRate, Rates};
use crate::wallet::exchange::Rate;

const PRECISION_DEFAULT: u32 = 2;
const PRECISION_MAX: u32 = 18;
const CODE_LENGTH: std::ops::RangeInclusive<usize> = 2..=30;
const NAME_LENGTH_MAX: usize = 200;
const LABEL_LENGTH_MAX: usize = 50;
/// Rates that a new asset may bring.
const RATES_MAX: usize = 100;

/// A new asset.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateRequest {
    /// 2 to 30 of A–Z, 0–9 and _, a letter first; not that of a currency.
    pub code: String,
    /// What people call it: 1 to 200 characters.
    pub name: String,
    /// Decimals that are kept of it: 0 to 18; 2 if not given.
    pub precision: Option<u32>,
    /// What a user interface calls an amount of it.
    pub label: Option<String>,
    /// What stands beside an amount of it, at most 50 characters.
    pub symbol: Option<String>,
    /// What it costs from now on.
    pub rates: Option<Vec<StartingRate>>,
}

/// A rate, told one of the two ways round.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StartingRate {
    /// The asset to pay with.
    pub source: String,
    /// Units of the source for one unit of the asset.
    pub rate: Option<Amount>,
    /// Units of the asset for one unit of the source.
    pub inverse_rate: Option<Amount>,
}

/// The new asset.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CreateData {
    /// The asset's code.
    pub code: String,
    /// RFC 3339, UTC.
    pub created_at: String,
}

pub struct Create;

const INSERT: &str = "
    insert into topup.asset (tenant_id, environment, code, name, precision, label, symbol)
    values ($1, $2::topup.environment, $3, $4, $5, $6, $7)
    on conflict do nothing returning topup.rfc3339(created_at)";

impl Handler for Create {
    const NAME: &'static str = "asset_create";
    type Request = CreateRequest;
    type Data = CreateData;

    fn handle(caller: &Caller, request: &CreateRequest) -> Outcome<CreateData> {
        check(request)?;
        let precision = i32::try_from(request.precision.unwrap_or(PRECISION_DEFAULT)).unwrap_or(i32::MAX);
        let rates = starting_rates(caller, request)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let (label, symbol) = (request.label.as_deref(), request.symbol.as_deref());
        let (code, name) = (request.code.as_str(), request.name.as_str());
        let arguments = args![tenant_id, environment, code, name, precision, label, symbol];
        let made = db::write(INSERT, arguments, |row| row.get::<String>(1))?.pop();
        let created_at = made.ok_or_else(|| exists(code))?;
        for rate in &rates {
            asset_rate::insert(caller, code, rate)?;
        }
        account::open_systems(caller, code)?;
        Ok(Reply::new(Code::Success, CreateData { code: code.to_owned(), created_at }))
    }
}

fn exists(code: &str) -> Refusal {
    Refusal::of_field(Code::DuplicateTransaction, "code", format!("There is an asset {code} already."))
}

fn check(request: &CreateRequest) -> Result<(), Refusal> {
    let invalid = |field: &str, message: &str| Err(Refusal::of_field(Code::InvalidRequest, field, message));
    let code = &request.code;
    let is_code = CODE_LENGTH.contains(&code.len())
        && code.starts_with(|first: char| first.is_ascii_uppercase())
        && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if !is_code {
        return invalid("code", "A code has 2 to 30 of A–Z, 0–9 and _, a letter first.");
    }
    if asset::is_fiat(code) {
        return Err(exists(code));
    }
    if !(1..=NAME_LENGTH_MAX).contains(&request.name.trim().chars().count()) {
        return invalid("name", "A name has 1 to 200 characters.");
    }
    if request.precision.is_some_and(|precision| precision > PRECISION_MAX) {
        return invalid("precision", "The precision must be from 0 to 18.");
    }
    for (field, text) in [("label", &request.label), ("symbol", &request.symbol)] {
        if text.as_ref().is_some_and(|text| text.chars().count() > LABEL_LENGTH_MAX) {
            return invalid(field, "This has at most 50 characters.");
        }
    }
    Ok(())
}

fn starting_rates(caller: &Caller, request: &CreateRequest) -> Result<Vec<NewRate>, Failure> {
    let rates = request.rates.as_deref().unwrap_or_default();
    let invalid = |field: String, message: &str| Refusal::of_field(Code::InvalidRequest, field, message);
    if rates.len() > RATES_MAX {
        return Err(invalid("rates".to_owned(), "At most 100 rates at once.").into());
    }
    let valid_from = WireTime::now();
    rates
        .iter()
        .enumerate()
        .map(|(n, given)| {
            let (field, rate) = match (given.rate, given.inverse_rate) {
                (Some(price), None) => ("rate", Rate::Price(price)),
                (None, Some(units)) => ("inverse_rate", Rate::Inverse(units)),
                _ => {
                    let message = "A rate is told by rate or by inverse_rate, one of the two.";
                    return Err(invalid(format!("rates[{n}].rate"), message).into());
                }
            };
            asset_rate::check_rate(rate, &format!("rates[{n}].{field}"))?;
            asset_rate::check_source(caller, &request.code, &given.source, &format!("rates[{n}].source"))?;
            Ok(NewRate { source: given.source.clone(), rate, valid_from, valid_to: None })
        })
        .collect()
}

/// Which part of the list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListRequest {
    /// 1 to 100; 20 if not given.
    pub limit: Option<i64>,
    /// How many to leave out; 0 if not given.
    pub offset: Option<i64>,
}

/// An asset in a list.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListItem {
    /// The asset's code.
    pub code: String,
    /// What people call it.
    pub name: String,
}

pub struct List;

const COUNT: &str =
    "select count(*) from topup.asset where tenant_id = $1 and environment = $2::topup.environment";

const PAGE: &str = "
    select code, name from topup.asset where tenant_id = $1 and environment = $2::topup.environment
     order by code limit $3 offset $4";

impl Handler for List {
    const NAME: &'static str = "asset_list";
    type Request = ListRequest;
    type Data = Page<ListItem>;

    fn handle(caller: &Caller, request: &ListRequest) -> Outcome<Page<ListItem>> {
        let range = Range::of(request.limit, request.offset)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let count = db::read_page(COUNT, args![tenant_id, environment], |row| row.get::<i64>(1))?;
        let arguments = args![tenant_id, environment, range.limit, range.offset];
        let items =
            db::read_page(PAGE, arguments, |row| Ok(ListItem { code: row.get(1)?, name: row.get(2)? }))?;
        Ok(Reply::new(Code::Success, range.page(items, count.into_iter().sum())))
    }
}

/// Which asset.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetRequest {
    /// A currency's code (ISO 4217), or that of an asset of yours.
    pub code: String,
}

/// An asset and what it costs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GetData {
    /// The asset's code.
    pub code: String,
    /// Of a currency: its code.
    pub name: String,
    /// Decimals that are kept of it.
    pub precision: u32,
    /// What a user interface calls an amount of it.
    pub label: Option<String>,
    /// What stands beside an amount of it.
    pub symbol: Option<String>,
    /// What it costs, in each asset that it can be bought with.
    pub rates: Vec<Rates>,
    /// Of a currency: when the tenant was made.
    pub created_at: String,
}

pub struct Get;

const DETAILS: &str = "
    select coalesce(a.name, $3), a.label, a.symbol, topup.rfc3339(coalesce(a.created_at, t.created_at))
      from topup.tenant t
      left join topup.asset a
        on a.tenant_id = t.tenant_id and a.environment = $2::topup.environment and a.code = $3
     where t.tenant_id = $1";

impl Handler for Get {
    const NAME: &'static str = "asset_get";
    type Request = GetRequest;
    type Data = GetData;

    fn handle(caller: &Caller, request: &GetRequest) -> Outcome<GetData> {
        let Asset { code, precision } = asset::require(caller, &request.code)?;
        let arguments = args![caller.tenant_id, caller.environment.as_str(), code.as_str()];
        let rates = asset_rate::all(caller, &code)?;
        let details =
            db::read(DETAILS, arguments, |row| Ok((row.get(1)?, row.maybe(2)?, row.maybe(3)?, row.get(4)?)))?;
        let (name, label, symbol, created_at) =
            details.into_iter().next().ok_or_else(|| Failure::Fault("a tenant without a row".to_owned()))?;
        Ok(Reply::new(Code::Success, GetData { code, name, precision, label, symbol, rates, created_at }))
    }
}
