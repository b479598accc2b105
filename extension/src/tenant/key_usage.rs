//! What a key has spent: its cap, its month's volume, its margin. A row for each key and UTC day.

use std::collections::BTreeMap;

use pg_topup_contract::Code;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::spi::SpiError;
use uuid::Uuid;

use crate::pg::db::{self, DbResult, args, rows};
use crate::pg::table::{self, Found, Table, Value, row};
use crate::tenant::caller::Caller;
use crate::value::amount::Cents;
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Refusal;

/// The key's figures of today's periods.
pub struct Usage {
    /// Cost in the current period of the cap.
    pub cap_used: Cents,
    /// List price sold in the current month.
    pub month_volume: Cents,
    /// List price less cost, ever.
    pub margin: Cents,
}

const USAGE: &str = "
    select coalesce(sum(cost_cents) filter (where day >= case $3
               when 'day' then today when 'month' then date_trunc('month', today::timestamp)::date else '-infinity' end), 0)::bigint,
           coalesce(sum(list_cents) filter (where day >= date_trunc('month', today::timestamp)::date), 0)::bigint,
           coalesce(sum(list_cents - cost_cents), 0)::bigint
      from topup.key_usage, (select (clock_timestamp() at time zone 'UTC')::date as today) t
     where tenant_id = $1 and key_id = $2";

/// Reads the key's figures as they stand.
pub fn of_key(caller: &Caller) -> DbResult<Usage> {
    let arguments = args![caller.tenant_id, caller.key.id, caller.key.cap_period.as_str()];
    let rows = db::read_by_key(USAGE, arguments, |row| {
        Ok(Usage {
            cap_used: Cents(row.get(1)?),
            month_volume: Cents(row.get(2)?),
            margin: Cents(row.get(3)?),
        })
    })?;
    rows.into_iter().next().ok_or(pgrx::spi::SpiError::InvalidPosition)
}

const CAP_USED: &str = "
    select coalesce(sum(cost_cents), 0)::bigint
      from topup.key_usage, (select (clock_timestamp() at time zone 'UTC')::date as today) t
     where tenant_id = $1 and key_id = $2
       and day >= case $3 when 'day' then today when 'month' then date_trunc('month', today::timestamp)::date else '-infinity' end";

/// What the key has spent of its cap; zero where it has none.
pub fn cap_used(caller: &Caller) -> DbResult<Cents> {
    if caller.key.cap.is_none() {
        return Ok(Cents(0));
    }
    let arguments = args![caller.tenant_id, caller.key.id, caller.key.cap_period.as_str()];
    Ok(Cents(db::read(CAP_USED, arguments, |row| row.get::<i64>(1))?.into_iter().sum()))
}

/// Refuses a cost that would take the key beyond its cap, of which so much is used.
pub fn check_cap(caller: &Caller, Cents(used): Cents, cost: Cents) -> Result<(), Refusal> {
    let Some(cap) = caller.key.cap else { return Ok(()) };
    if used.saturating_add(cost.0) <= cap.0 {
        return Ok(());
    }
    let period = match caller.key.cap_period.as_str() {
        "day" => "today",
        "month" => "this month",
        _ => "in total",
    };
    let message = format!(
        "This key may spend {} cents {period} and has {} left; this costs {}.",
        cap.0,
        (cap.0 - used).max(0),
        cost.0
    );
    Err(Refusal::of_field(Code::KeyCapExceeded, "amount_cents", message))
}

/// Counts a top-up towards the day it was sent on; negative figures take it out again.
pub fn add(
    book: &Book,
    key_id: Uuid,
    sent_at: TimestampWithTimeZone,
    cost: Cents,
    list: Cents,
) -> DbResult<()> {
    let mut days = Days::default();
    days.add(sent_at.into(), cost, list);
    days.write(book, key_id)
}

const DAYS: Table<5> =
    Table { name: c"key_usage", columns: ["tenant_id", "key_id", "day", "cost_cents", "list_cents"] };

const ADD_DAYS: &str = concat!(
    "insert into topup.key_usage as u (tenant_id, key_id, day, cost_cents, list_cents)
     select $1, $2, date '2000-01-01' + day, cost, list from ",
    rows!((3, "integer", "day"), (4, "bigint", "cost"), (5, "bigint", "list")),
    " on conflict (tenant_id, key_id, day) do update
         set cost_cents = u.cost_cents + excluded.cost_cents, list_cents = u.list_cents + excluded.list_cents"
);

/// Cost and list price of top-ups, by the UTC day they were sent on.
#[derive(Default)]
pub struct Days(BTreeMap<i32, (Cents, Cents)>);

impl Days {
    pub fn add(&mut self, sent_at: PgTimestamp, cost: Cents, list: Cents) {
        let day = self.0.entry(sent_at.utc_day()).or_default();
        *day = (Cents(day.0.0.saturating_add(cost.0)), Cents(day.1.0.saturating_add(list.0)));
    }

    /// Counts them towards a key's days.
    pub fn write(&self, book: &Book, key_id: Uuid) -> DbResult<()> {
        let only = self.0.first_key_value().filter(|_| self.0.len() == 1);
        let is_added = only.map(|(day, sent)| add_to_row(book, key_id, *day, *sent)).transpose()?;
        if self.0.is_empty() || is_added == Some(true) {
            return Ok(());
        }
        let days: Vec<i32> = self.0.keys().copied().collect();
        let costs: Vec<i64> = self.0.values().map(|(cost, _)| cost.0).collect();
        let lists: Vec<i64> = self.0.values().map(|(_, list)| list.0).collect();
        db::execute(ADD_DAYS, args![book.tenant_id, key_id, days, costs, lists])
    }
}

/// Adds to a day, unless the table expects statements; tells whether it did. Whoever counts holds the wallet's lock.
fn add_to_row(book: &Book, key_id: Uuid, day: i32, (cost, list): (Cents, Cents)) -> DbResult<bool> {
    let key = row![book.tenant_id, key_id, Value::Day(day)];
    let row = match table::lock_along(DAYS.name, &key) {
        Found::Row(row) => row,
        Found::NoRow => {
            DAYS.insert(&[row![book.tenant_id, key_id, Value::Day(day), cost.0, list.0]])?;
            return Ok(true);
        }
        Found::ByStatement => return Ok(false),
    };
    let sum = |column, Cents(more): Cents| -> DbResult<Value> {
        let before: i64 = row.get(column)?;
        before.checked_add(more).map(Value::from).ok_or(SpiError::InvalidPosition)
    };
    let changes = [("cost_cents", sum("cost_cents", cost)?), ("list_cents", sum("list_cents", list)?)];
    row.update(&changes);
    Ok(true)
}
