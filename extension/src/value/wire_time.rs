//! Points in time, as RFC 3339 writes them.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

use crate::value::reply::Refusal;

/// A point in time, from the year 1 to 9999: what both RFC 3339 and Postgres can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireTime(Timestamp);

const YEARS: std::ops::RangeInclusive<i16> = 1..=9999;

impl WireTime {
    /// This moment by the database's clock.
    pub fn now() -> WireTime {
        WireTime(Timestamp::now())
    }

    /// With every digit: for the database, and for comparing requests.
    pub fn text(self) -> String {
        self.0.to_string()
    }

    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// The same day and time of the next year, UTC; the last day of February for the 29th.
    pub fn plus_a_year(self) -> Result<WireTime, Refusal> {
        let later = self.0.to_zoned(TimeZone::UTC).checked_add(1.year());
        later.ok().and_then(|later| WireTime::within_years(later.timestamp())).ok_or_else(|| {
            Refusal::new(Code::InvalidRequest, "The time lies beyond what a calendar here can hold.")
        })
    }

    fn within_years(at: Timestamp) -> Option<WireTime> {
        // Postgres knows microseconds: what is less than one apart is one time.
        let at = Timestamp::from_microsecond(at.as_microsecond()).ok()?;
        YEARS.contains(&at.to_zoned(TimeZone::UTC).year()).then_some(WireTime(at))
    }
}

impl FromStr for WireTime {
    type Err = ();
    fn from_str(text: &str) -> Result<WireTime, ()> {
        Timestamp::from_str(text).ok().and_then(WireTime::within_years).ok_or(())
    }
}

/// In UTC with milliseconds and `Z`, as every time on the wire is written.
impl fmt::Display for WireTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for WireTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for WireTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let message = "expected an RFC 3339 time such as 2026-01-01T00:00:00Z";
        text.parse().map_err(|()| D::Error::custom(message))
    }
}

/// A time that a client computes anew each time it asks, such as ten minutes from now. When the same request comes again it
/// is another one, and so is no part of what tells requests apart: whether it is given is.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub struct ComputedTime(pub WireTime);

/// For the fingerprint of a request alone.
impl Serialize for ComputedTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("computed")
    }
}

impl JsonSchema for ComputedTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        WireTime::schema_name()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        WireTime::json_schema(generator)
    }
}

impl JsonSchema for WireTime {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time", "description": "RFC 3339, with a time zone." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> WireTime {
        text.parse().unwrap()
    }

    #[test]
    fn one_instant_has_one_text() {
        assert_eq!(time("2026-01-01T02:00:00+02:00"), time("2026-01-01T00:00:00Z"));
        assert_eq!(time("2026-01-01T00:00:00.123456Z").to_string(), "2026-01-01T00:00:00.123Z");
        assert_eq!(time("2026-01-01T00:00:00Z").to_string(), "2026-01-01T00:00:00.000Z");
    }

    #[test]
    fn what_postgres_cannot_hold_is_no_time() {
        assert_eq!(time("2026-01-01T00:00:00.0000019Z"), time("2026-01-01T00:00:00.000001Z"));
        for text in
            ["", "2026-01-01", "2026-13-01T00:00:00Z", "-000001-01-01T00:00:00Z", "0000-01-01T00:00:00Z"]
        {
            assert!(text.parse::<WireTime>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_year_later_is_the_same_day() {
        assert_eq!(time("2026-03-01T12:00:00Z").plus_a_year().unwrap(), time("2027-03-01T12:00:00Z"));
        assert_eq!(time("2028-02-29T12:00:00Z").plus_a_year().unwrap(), time("2029-02-28T12:00:00Z"));
        assert!(time("9999-03-01T00:00:00Z").plus_a_year().is_err());
    }
}
