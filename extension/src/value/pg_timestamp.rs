//! Points in time as the ledger compares them: microseconds, on the server's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pg_topup_contract::timestamp;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;

use crate::value::wire_time::WireTime;

/// Microseconds from 1970 to 2000, where Postgres begins to count.
const EPOCH_US: i64 = 946_684_800_000_000;

const DAY_US: i64 = 86_400_000_000;

/// A time as `timestamptz` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PgTimestamp(i64);

impl PgTimestamp {
    /// Before every other.
    pub const BEGINNING: PgTimestamp = PgTimestamp(i64::MIN);
    /// `infinity`.
    pub const NEVER: PgTimestamp = PgTimestamp(i64::MAX);

    /// The server's clock, not the start of the transaction.
    pub fn now() -> PgTimestamp {
        // SAFETY: reads the clock.
        PgTimestamp(unsafe { pg_sys::GetCurrentTimestamp() })
    }

    /// The start of the transaction: SQL's `now()`.
    pub fn of_transaction() -> PgTimestamp {
        // SAFETY: reads a variable that only this backend has.
        PgTimestamp(unsafe { pg_sys::GetCurrentTransactionStartTimestamp() })
    }

    /// So much later.
    pub fn plus(self, duration: Duration) -> PgTimestamp {
        PgTimestamp(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How much later than another time this is; nothing where it is not.
    pub fn since(self, earlier: PgTimestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        self.unix_us().div_euclid(1000)
    }

    /// Microseconds since 1970.
    pub fn unix_us(self) -> i64 {
        self.0.saturating_add(EPOCH_US)
    }

    /// The days since 2000 that have passed in UTC.
    pub fn utc_day(self) -> i32 {
        i32::try_from(self.0.div_euclid(DAY_US)).unwrap_or(i32::MAX)
    }

    /// The last instant before this one.
    pub fn just_before(self) -> PgTimestamp {
        PgTimestamp(self.0.saturating_sub(1))
    }

    /// The first instant after this one.
    pub fn just_after(self) -> PgTimestamp {
        PgTimestamp(self.0.saturating_add(1))
    }

    /// As replies show it: RFC 3339, UTC, milliseconds.
    pub fn rfc3339(self) -> String {
        let since = u64::try_from(self.0.saturating_add(EPOCH_US)).unwrap_or(0);
        timestamp(UNIX_EPOCH.checked_add(Duration::from_micros(since)).unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// As requests write it, to the microsecond; infinities have no such form and stay words.
    pub fn request_text(self) -> String {
        jiff::Timestamp::from_microsecond(self.0.saturating_add(EPOCH_US))
            .map_or_else(|_| "infinity".to_owned(), |at| at.to_string())
    }
}

impl From<TimestampWithTimeZone> for PgTimestamp {
    fn from(at: TimestampWithTimeZone) -> PgTimestamp {
        PgTimestamp(at.into())
    }
}

impl From<jiff::Timestamp> for PgTimestamp {
    fn from(at: jiff::Timestamp) -> PgTimestamp {
        PgTimestamp(at.as_microsecond().saturating_sub(EPOCH_US))
    }
}

impl From<WireTime> for PgTimestamp {
    fn from(at: WireTime) -> PgTimestamp {
        at.timestamp().into()
    }
}

impl PgTimestamp {
    /// For a statement. What Postgres cannot hold is as good as never.
    pub fn datum(self) -> TimestampWithTimeZone {
        TimestampWithTimeZone::try_from(self.0).unwrap_or_else(|_| {
            if self.0 < 0 {
                TimestampWithTimeZone::negative_infinity()
            } else {
                TimestampWithTimeZone::positive_infinity()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_it_was_read() {
        for (text, shown) in [
            ("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.678Z"),
            ("1999-12-31T23:59:59Z", "1999-12-31T23:59:59.000Z"),
        ] {
            let instant = PgTimestamp::from(text.parse::<jiff::Timestamp>().unwrap());
            assert_eq!(instant.request_text(), text);
            assert_eq!(instant.rfc3339(), shown);
        }
        assert_eq!(PgTimestamp::NEVER.request_text(), "infinity");
    }
}
