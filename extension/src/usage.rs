//! What a key has spent: its cap, its month's volume, its margin. A row for each key and UTC day.

use pg_topup_contract::Code;
use pgrx::datum::TimestampWithTimeZone;
use uuid::Uuid;

use crate::amount::Cents;
use crate::book::Book;
use crate::caller::Caller;
use crate::db::{self, DbResult, args};
use crate::reply::{Failure, Refusal};

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
               when 'day' then today when 'month' then date_trunc('month', today)::date else '-infinity' end), 0)::bigint,
           coalesce(sum(list_cents) filter (where day >= date_trunc('month', today)::date), 0)::bigint,
           coalesce(sum(list_cents - cost_cents), 0)::bigint
      from topup.key_usage, (select (clock_timestamp() at time zone 'UTC')::date as today) t
     where tenant_id = $1 and key_id = $2";

/// Reads the key's figures as they stand.
pub fn of_key(caller: &Caller) -> DbResult<Usage> {
    let arguments = args![caller.tenant_id, caller.key.id, caller.key.cap_period.as_str()];
    let rows = db::read(USAGE, arguments, |row| {
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
       and day >= case $3 when 'day' then today when 'month' then date_trunc('month', today)::date else '-infinity' end";

/// Refuses a cost that would take the key beyond its cap.
pub fn check_cap(caller: &Caller, cost: Cents) -> Result<(), Failure> {
    let Some(cap) = caller.key.cap else { return Ok(()) };
    let arguments = args![caller.tenant_id, caller.key.id, caller.key.cap_period.as_str()];
    let used: i64 = db::read(CAP_USED, arguments, |row| row.get::<i64>(1))?.into_iter().sum();
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
    Err(Refusal::of_field(Code::KeyCapExceeded, "amount_cents", message).into())
}

const ADD: &str = "
    insert into topup.key_usage as u (tenant_id, key_id, day, cost_cents, list_cents)
    values ($1, $2, ($3::timestamptz at time zone 'UTC')::date, $4, $5)
    on conflict (tenant_id, key_id, day) do update
       set cost_cents = u.cost_cents + excluded.cost_cents, list_cents = u.list_cents + excluded.list_cents";

/// Counts a top-up towards the day it was sent on; negative figures take it out again.
pub fn add(
    book: &Book,
    key_id: Uuid,
    sent_at: TimestampWithTimeZone,
    cost: Cents,
    list: Cents,
) -> DbResult<()> {
    db::execute(ADD, args![book.tenant_id, key_id, sent_at, cost.0, list.0])
}
