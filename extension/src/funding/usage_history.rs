//! What sends have cost over time, in windows of a day or an hour (UTC).

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check_account;
use crate::operation::handler::Handler;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::value::amount::Cents;
use crate::value::reply::{Outcome, Refusal, Reply};

const WINDOWS_MAX: i64 = 1000;
const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// Beyond every time that a request can mean: the end of the year 9999.
const TIME_MS_MAX: f64 = 253_402_300_799_999.0;

/// Which time, in which windows.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct UsageRequest {
    /// Your own tenant, `acct_…`; the key's if not given.
    pub account_id: Option<String>,
    /// How long a window is, in UTC.
    pub value_grouping_window: Window,
    /// Milliseconds since 1970; 30 days or 24 hours before the end if not given.
    pub start_time: Option<f64>,
    /// Milliseconds since 1970; now if not given.
    pub end_time: Option<f64>,
}

/// A day or an hour, in UTC.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    Day,
    Hour,
}

/// Windows in order, those without sends too.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UsageData {
    /// At most 1,000 windows.
    pub history: Vec<UsageWindow>,
}

/// What was spent in a window.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UsageWindow {
    /// An id of the window.
    pub id: String,
    /// US cents: what sends took from the wallet, less what cancelled and failed ones gave back in it.
    pub aggregated_value: Cents,
    /// Milliseconds since 1970.
    pub start_time: i64,
    /// Milliseconds since 1970; that millisecond is not part of it.
    pub end_time: i64,
}

pub struct UsageHistory;

const NOW_MS: &str = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";

/// The wallet's entries are numbered in the order of time: a period is one range of numbers.
const SPENT: &str = "
    select (extract(epoch from date_trunc($5, t.created_at at time zone 'UTC')) * 1000)::bigint, (sum(-e.amount) * 100)::bigint
      from (select topup.version_before($1, $2, to_timestamp($3::double precision / 1000)) as first,
                   topup.version_before($1, $2, to_timestamp($4::double precision / 1000)) as last) v
      join topup.entry e on e.tenant_id = $1 and e.account_id = $2
                        and e.account_version > v.first and e.account_version <= v.last
      join topup.transaction t on t.tenant_id = e.tenant_id and t.transaction_id = e.transaction_id
     where t.kind in ('send', 'cancel', 'fail')
     group by 1";

impl Handler for UsageHistory {
    const NAME: &'static str = "usage_history";
    type Request = UsageRequest;
    type Data = UsageData;

    fn handle(caller: &Caller, request: &UsageRequest) -> Outcome<UsageData> {
        check_account(caller, request.account_id.as_deref())?;
        let (window_ms, name, windows_default) = match request.value_grouping_window {
            Window::Day => (DAY_MS, "day", 30),
            Window::Hour => (HOUR_MS, "hour", 24),
        };
        let now: i64 = db::read(NOW_MS, args![], |row| row.get::<i64>(1))?.into_iter().sum();
        let end = time_ms(request.end_time, "end_time")?.unwrap_or(now);
        let start = time_ms(request.start_time, "start_time")?
            .unwrap_or_else(|| end.saturating_sub(windows_default * window_ms));
        let first = start.div_euclid(window_ms) * window_ms;
        if end < start || (end - first) / window_ms >= WINDOWS_MAX {
            let message =
                format!("This must not be after end_time, nor more than {WINDOWS_MAX} windows before it.");
            return Err(Refusal::of_field(Code::InvalidRequest, "start_time", message).into());
        }
        let arguments = args![caller.tenant_id, caller.wallet_id, start, end, name];
        let spent: Vec<(i64, i64)> = db::read(SPENT, arguments, |row| Ok((row.get(1)?, row.get(2)?)))?;
        let window = |start_time: i64| {
            let cents = spent.iter().find(|(start, _)| *start == start_time).map_or(0, |(_, cents)| *cents);
            UsageWindow {
                id: format!("{name}_{start_time}"),
                aggregated_value: Cents(cents),
                start_time,
                end_time: start_time + window_ms,
            }
        };
        let starts = std::iter::successors(Some(first), |start| Some(start + window_ms));
        let history = starts.take_while(|start| *start < end).map(window).collect();
        Ok(Reply::new(Code::Success, UsageData { history }))
    }
}

fn time_ms(time: Option<f64>, field: &str) -> Result<Option<i64>, Refusal> {
    match time {
        None => Ok(None),
        Some(time) if (0.0..=TIME_MS_MAX).contains(&time) => Ok(Some(time as i64)),
        Some(_) => {
            let message = "This must be a time in milliseconds since 1970.";
            Err(Refusal::of_field(Code::InvalidRequest, field, message))
        }
    }
}
