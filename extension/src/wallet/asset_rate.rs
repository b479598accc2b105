//! What assets cost over time: rates added, and quotes made from them.

use pg_topup_contract::Code;
use pgrx::spi::SpiError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ledger::asset;
use crate::operation::handler::Handler;
use crate::operation::nothing::Nothing;
use crate::pg::db::{self, DbResult, Row, args};
use crate::tenant::caller::Caller;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::id;
use crate::value::reply::{Failure, Outcome, Refusal, Reply};
use crate::value::wire_time::WireTime;
use crate::wallet::exchange::Rate;

/// A look at an asset shows no more rates than this, the latest.
const SHOWN_MAX: i64 = 1000;

/// A rate that is to be kept.
pub struct NewRate {
    pub source: String,
    pub rate: Rate,
    pub valid_from: WireTime,
    pub valid_to: Option<WireTime>,
}

const INSERT: &str = "
    insert into topup.asset_rate
           (tenant_id, environment, code, source, rate_id, valid_from, valid_to, rate, inverse_rate)
    values ($1, $2::topup.environment, $3, $4, $5, $6, $7, $8::numeric, $9::numeric)";

/// Keeps a rate of an asset.
pub fn insert(book: &Book, code: &str, new: &NewRate) -> DbResult<()> {
    let (price, inverse) = match new.rate {
        Rate::Price(price) => (Some(price.to_string()), None),
        Rate::Inverse(units) => (None, Some(units.to_string())),
    };
    let (from, to) = (new.valid_from, new.valid_to);
    let (environment, source) = (book.environment.as_str(), new.source.as_str());
    let arguments = args![book.tenant_id, environment, code, source, id::new(), from, to, price, inverse];
    db::execute(INSERT, arguments)
}

/// Refuses a rate that is not a positive number of a size that the ledger knows.
pub fn check_rate(rate: Rate, field: &str) -> Result<(), Refusal> {
    let (Rate::Price(amount) | Rate::Inverse(amount)) = rate;
    if amount > Amount::ZERO && amount.fits() {
        return Ok(());
    }
    Err(Refusal::of_field(Code::InvalidRequest, field, "A rate must be more than 0, and at most 10^18."))
}

/// Refuses to price an asset in itself, or in what is no asset.
pub fn check_source(book: &Book, code: &str, source: &str, field: &str) -> Result<(), Failure> {
    let refuse = |message| Err(Refusal::of_field(Code::InvalidRequest, field, message).into());
    if source == code {
        return refuse("An asset has no rate in itself.");
    }
    if asset::find(book, source)?.is_none() {
        return refuse("There is no such asset.");
    }
    Ok(())
}

/// A new rate for an asset.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddRequest {
    /// The asset that gets the rate.
    pub code: String,
    /// The asset to pay with.
    pub source: String,
    /// Now if not given. Of rates that overlap, the one that begins last counts.
    pub valid_from: Option<WireTime>,
    /// Until another begins if not given.
    pub valid_to: Option<WireTime>,
    /// Units of the source for one unit of the asset.
    pub rate: Amount,
}

pub struct Add;

impl Handler for Add {
    const NAME: &'static str = "asset_add_rate";
    type Request = AddRequest;
    type Data = Nothing;

    fn handle(caller: &Caller, request: &AddRequest) -> Outcome<Nothing> {
        let code = asset::require(caller, &request.code)?.code;
        let rate = Rate::Price(request.rate);
        check_rate(rate, "rate")?;
        check_source(caller, &code, &request.source, "source")?;
        let valid_from = request.valid_from.unwrap_or_else(WireTime::now);
        if request.valid_to.is_some_and(|valid_to| valid_to <= valid_from) {
            let message = "A rate must end after it begins.";
            return Err(Refusal::of_field(Code::InvalidRequest, "valid_to", message).into());
        }
        let new = NewRate { source: request.source.clone(), rate, valid_from, valid_to: request.valid_to };
        insert(caller, &code, &new)?;
        Ok(Reply::new(Code::Success, Nothing {}))
    }
}

/// The rates of an asset in another, in the order in which they begin.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rates {
    /// The asset to pay with.
    pub source: String,
    /// The rates, each with its time.
    pub schedule: Vec<ScheduledRate>,
}

/// A rate and its time.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ScheduledRate {
    /// From then on. RFC 3339, UTC.
    pub valid_from: String,
    /// Null: until another begins.
    pub valid_to: Option<String>,
    /// Units of the source for one unit of the asset.
    pub rate: Amount,
    /// Units of the asset for one unit of the source. The one that was not told is rounded to 18 decimals.
    pub inverse_rate: Amount,
}

/// A later rate without an end ends those before it, and is shown to.
const ALL: &str = "
    select source, topup.rfc3339(valid_from),
           topup.rfc3339(least(valid_to, min(valid_from) filter (where valid_to is null) over later)),
           rate::text, inverse_rate::text
      from (select * from topup.asset_rate
             where tenant_id = $1 and environment = $2::topup.environment and code = $3
             order by valid_from desc, rate_id desc limit $4) latest
    window later as (partition by source order by valid_from, rate_id
                     rows between 1 following and unbounded following)
     order by source, valid_from, rate_id";

/// Every rate of an asset, by source.
pub fn all(book: &Book, code: &str) -> DbResult<Vec<Rates>> {
    let arguments = args![book.tenant_id, book.environment.as_str(), code, SHOWN_MAX];
    let rows = db::read(ALL, arguments, |row| {
        let rate = read_rate(row, 4)?;
        let scheduled = ScheduledRate {
            valid_from: row.get(2)?,
            valid_to: row.maybe(3)?,
            rate: rate.price().ok_or(SpiError::InvalidPosition)?,
            inverse_rate: rate.inverse().ok_or(SpiError::InvalidPosition)?,
        };
        Ok((row.get::<String>(1)?, scheduled))
    })?;
    let mut rates: Vec<Rates> = Vec::new();
    for (source, scheduled) in rows {
        match rates.last_mut().filter(|last| last.source == source) {
            Some(last) => last.schedule.push(scheduled),
            None => rates.push(Rates { source, schedule: vec![scheduled] }),
        }
    }
    Ok(rates)
}

/// Reads a rate from its two columns, of which one is null.
fn read_rate(row: &Row, column: usize) -> DbResult<Rate> {
    let amount = |column| -> DbResult<Option<Amount>> { row.maybe_amount(column) };
    match (amount(column)?, amount(column + 1)?) {
        (Some(price), _) => Ok(Rate::Price(price)),
        (None, Some(units)) => Ok(Rate::Inverse(units)),
        (None, None) => Err(SpiError::InvalidPosition),
    }
}

const AT: &str = "
    select rate::text, inverse_rate::text from topup.asset_rate
     where tenant_id = $1 and environment = $2::topup.environment and code = $3 and source = $4
       and valid_from <= $5 and (valid_to is null or valid_to > $5)
     order by valid_from desc, rate_id desc limit 1";

/// The rate of an asset in another at a time; nothing where none is valid then.
pub fn at(book: &Book, code: &str, source: &str, at: WireTime) -> DbResult<Option<Rate>> {
    let arguments = args![book.tenant_id, book.environment.as_str(), code, source, at];
    Ok(db::read(AT, arguments, |row| read_rate(row, 1))?.pop())
}

/// What an amount would buy.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct QuoteRequest {
    /// The asset to buy.
    pub code: String,
    /// The asset to pay with.
    pub source: String,
    /// How much of the source; 0 or more.
    pub amount: Amount,
    /// At the rate of this time; now if not given.
    pub exchange_at: Option<WireTime>,
}

/// What the amount would buy.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QuoteData {
    /// The asset to pay with.
    pub source: String,
    /// How much of it is paid.
    pub source_amount: Amount,
    /// The asset to buy.
    pub destination: String,
    /// Rounded half-even to the asset's precision.
    pub destination_amount: Amount,
    /// Units of the source for one unit of the asset.
    pub rate: Amount,
    /// Units of the asset for one unit of the source.
    pub inverse_rate: Amount,
}

pub struct Quote;

impl Handler for Quote {
    const NAME: &'static str = "asset_quote";
    type Request = QuoteRequest;
    type Data = QuoteData;

    fn handle(caller: &Caller, request: &QuoteRequest) -> Outcome<QuoteData> {
        let asset = asset::require(caller, &request.code)?;
        let amount = request.amount;
        let beyond = || {
            let message = "The amount must be 0 or more, and what it buys no more than an account can hold.";
            Refusal::of_field(Code::AmountOutOfRange, "amount", message)
        };
        if amount < Amount::ZERO || !amount.fits() {
            return Err(beyond().into());
        }
        check_source(caller, &asset.code, &request.source, "source")?;
        let exchange_at = request.exchange_at.unwrap_or_else(WireTime::now);
        let no_rate = || {
            let message = format!("There is no rate of {} in {} at that time.", asset.code, request.source);
            Refusal::of_field(Code::InvalidRequest, "source", message)
        };
        let rate = at(caller, &asset.code, &request.source, exchange_at)?.ok_or_else(no_rate)?;
        let data = QuoteData {
            source: request.source.clone(),
            source_amount: amount,
            destination: asset.code.clone(),
            destination_amount: rate.convert(amount, asset.precision).ok_or_else(beyond)?,
            rate: rate.price().ok_or_else(beyond)?,
            inverse_rate: rate.inverse().ok_or_else(beyond)?,
        };
        Ok(Reply::new(Code::Success, data))
    }
}
