//! Points in time as the ledger compares them: microseconds, on the server's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pg_topup_contract::timestamp;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::spi::SpiError;

use crate::pg::db::{Arg, DbResult, IntoArg, Row};
use crate::value::wire_time::Time;

/// Microseconds from 1970 to 2000, where Postgres begins to count.
const EPOCH_US: i64 = 946_684_800_000_000;

const DAY_US: i64 = 86_400_000_000;

/// A time as `timestamptz` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(i64);

impl Instant {
    /// Before every other.
    pub const BEGINNING: Instant = Instant(i64::MIN);
    /// `infinity`.
    pub const NEVER: Instant = Instant(i64::MAX);

    /// The server's clock, not the start of the transaction.
    pub fn now() -> Instant {
        // SAFETY: reads the clock.
        Instant(unsafe { pg_sys::GetCurrentTimestamp() })
    }

    /// The start of the transaction: SQL's `now()`.
    pub fn of_transaction() -> Instant {
        // SAFETY: reads a variable that only this backend has.
        Instant(unsafe { pg_sys::GetCurrentTransactionStartTimestamp() })
    }

    /// So much later.
    pub fn plus(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How much later than another time this is; nothing where it is not.
    pub fn since(self, earlier: Instant) -> Duration {
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
    pub fn just_before(self) -> Instant {
        Instant(self.0.saturating_sub(1))
    }

    /// The first instant after this one.
    pub fn just_after(self) -> Instant {
        Instant(self.0.saturating_add(1))
    }

    /// Reads a column that may be null.
    pub fn maybe(row: &Row, column: usize) -> DbResult<Option<Instant>> {
        Ok(row.maybe::<TimestampWithTimeZone>(column)?.map(Instant::from))
    }

    /// Reads a column that is never null.
    pub fn get(row: &Row, column: usize) -> DbResult<Instant> {
        Instant::maybe(row, column)?.ok_or(SpiError::InvalidPosition)
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

impl From<TimestampWithTimeZone> for Instant {
    fn from(at: TimestampWithTimeZone) -> Instant {
        Instant(at.into())
    }
}

impl From<jiff::Timestamp> for Instant {
    fn from(at: jiff::Timestamp) -> Instant {
        Instant(at.as_microsecond().saturating_sub(EPOCH_US))
    }
}

impl From<Time> for Instant {
    fn from(at: Time) -> Instant {
        at.timestamp().into()
    }
}

impl Instant {
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

impl<'a> IntoArg<'a> for Instant {
    fn into_arg(self) -> Arg<'a> {
        self.datum().into()
    }
}

impl<'a> IntoArg<'a> for Time {
    fn into_arg(self) -> Arg<'a> {
        Instant::from(self).into_arg()
    }
}

impl<'a> IntoArg<'a> for Option<Time> {
    fn into_arg(self) -> Arg<'a> {
        self.map(Instant::from).into_arg()
    }
}

impl<'a> IntoArg<'a> for Option<Instant> {
    fn into_arg(self) -> Arg<'a> {
        self.map(Instant::datum).into()
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
            let instant = Instant::from(text.parse::<jiff::Timestamp>().unwrap());
            assert_eq!(instant.request_text(), text);
            assert_eq!(instant.rfc3339(), shown);
        }
        assert_eq!(Instant::NEVER.request_text(), "infinity");
    }
}
