//! The spending limit of an environment, and what has been spent of it.

use pg_topup_contract::Code;
use pgrx::spi::SpiError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pg::db::{self, DbResult, Row, args};
use crate::value::amount::Cents;
use crate::value::book::Book;
use crate::value::id;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Refusal;

const DAY_MS: i64 = 86_400_000;

/// How long a limit's time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Duration {
    Daily,
    Weekly,
    Monthly,
}

/// Whether the time begins with the calendar's, or reaches back from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    Fixed,
    Sliding,
}

impl Duration {
    /// As the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Duration::Daily => "daily",
            Duration::Weekly => "weekly",
            Duration::Monthly => "monthly",
        }
    }

    fn unit(self) -> (&'static str, i64) {
        match self {
            Duration::Daily => ("day", 1),
            Duration::Weekly => ("week", 7),
            Duration::Monthly => ("month", 30),
        }
    }
}

impl Strategy {
    /// As the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Fixed => "fixed",
            Strategy::Sliding => "sliding",
        }
    }
}

/// What all keys of an environment together may spend in a time.
#[derive(Clone, Copy, Debug)]
pub struct SpendingLimit {
    pub amount: Cents,
    pub duration: Duration,
    pub strategy: Strategy,
}

impl SpendingLimit {
    /// Reads a limit from three columns, all null where there is none.
    pub fn read(row: &Row, first: usize) -> DbResult<Option<SpendingLimit>> {
        let Some(amount) = row.maybe::<i64>(first)? else { return Ok(None) };
        let (duration, strategy): (String, String) = (row.get(first + 1)?, row.get(first + 2)?);
        let duration = [Duration::Daily, Duration::Weekly, Duration::Monthly]
            .into_iter()
            .find(|known| known.as_str() == duration);
        let strategy =
            [Strategy::Fixed, Strategy::Sliding].into_iter().find(|known| known.as_str() == strategy);
        let (Some(duration), Some(strategy)) = (duration, strategy) else {
            return Err(SpiError::InvalidPosition);
        };
        Ok(Some(SpendingLimit { amount: Cents(amount), duration, strategy }))
    }
}

const SPENT_IN_CALENDAR: &str = "
    select coalesce(sum(u.cost_cents), 0)::bigint
      from topup.key k join topup.key_usage u on u.tenant_id = k.tenant_id and u.key_id = k.key_id
     where k.tenant_id = $1 and k.environment = $2::topup.environment
       and u.day >= date_trunc($3, clock_timestamp() at time zone 'UTC')::date";

/// Ids carry their time: the top-ups since then are one range of the primary key.
const SPENT_SINCE: &str = "
    select coalesce(sum(cost_cents), 0)::bigint
      from topup.top_up
     where tenant_id = $1 and environment = $2::topup.environment and transaction_id >= $3
       and status in ('delivered', 'pending')";

/// What has been spent of the environment's limit; zero where it has none. The wallet's lock makes sends come one
/// after the other.
pub fn spent(book: &Book, limit: Option<&SpendingLimit>) -> DbResult<Cents> {
    let Some(limit) = limit else { return Ok(Cents(0)) };
    let (tenant_id, environment) = (book.tenant_id, book.environment.as_str());
    let (unit, days) = limit.duration.unit();
    let spent: i64 = match limit.strategy {
        Strategy::Fixed => {
            db::read(SPENT_IN_CALENDAR, args![tenant_id, environment, unit], |row| row.get::<i64>(1))
        }
        Strategy::Sliding => {
            let since = id::first_since(PgTimestamp::now().unix_ms() - days * DAY_MS);
            db::read(SPENT_SINCE, args![tenant_id, environment, since], |row| row.get::<i64>(1))
        }
    }?
    .into_iter()
    .sum();
    Ok(Cents(spent))
}

/// Refuses a cost that would take the environment beyond its limit, of which so much is spent.
pub fn check(limit: Option<&SpendingLimit>, Cents(spent): Cents, cost: Cents) -> Result<(), Refusal> {
    let Some(limit) = limit else { return Ok(()) };
    if spent.saturating_add(cost.0) <= limit.amount.0 {
        return Ok(());
    }
    let message = format!(
        "This account has a {} spending limit of {} cents and {} left; this costs {}.",
        limit.duration.as_str(),
        limit.amount.0,
        (limit.amount.0 - spent).max(0),
        cost.0
    );
    Err(Refusal::of_field(Code::KeyCapExceeded, "amount_cents", message))
}
