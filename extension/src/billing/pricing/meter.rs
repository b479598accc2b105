//! Meters: how much a customer has used of a price with tiers, in the period that counts.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::price::{Price, TierCadence};
use crate::value::amount::Amount;

/// What is counted apart: a price, the dimensions matched, and the period's first day (UTC).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeterKey {
    pub price_id: String,
    /// The dimensions as the price writes them, as JSON; empty where it has none.
    pub dimensions: String,
    /// 1970-01-01 where the count never begins anew.
    pub period_start: Day,
}

impl MeterKey {
    pub fn new(price: &Price, dimensions: Option<&BTreeMap<String, String>>, at: Timestamp) -> MeterKey {
        let dimensions = dimensions.and_then(|them| serde_json::to_string(them).ok()).unwrap_or_default();
        let period_start = Day(period_start(price.cadence(), at));
        MeterKey { price_id: price.id().to_owned(), dimensions, period_start }
    }
}

/// A day (UTC). Statements take and give it as the days since 2000: how a session writes dates does not matter to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

const DAY_0: Date = date(2000, 1, 1);

impl Day {
    pub fn since_2000(self) -> i32 {
        DAY_0.until(self.0).map_or(0, |span| span.get_days())
    }

    /// None beyond what a calendar here can hold.
    pub fn from_days_since_2000(days: i32) -> Option<Day> {
        DAY_0.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok().map(Day)
    }
}

fn period_start(cadence: TierCadence, at: Timestamp) -> Date {
    let day = at.to_zoned(TimeZone::UTC).date();
    let first = |month: i8| Date::new(day.year(), month, 1).unwrap_or(day);
    match cadence {
        TierCadence::Lifetime | TierCadence::Custom => date(1970, 1, 1),
        TierCadence::Monthly => first(day.month()),
        TierCadence::Quarterly => first((day.month() - 1) / 3 * 3 + 1),
        TierCadence::Yearly => first(1),
    }
}

/// What was used so far, to be moved on by each event that is priced.
#[derive(Debug, Default)]
pub struct Meters(BTreeMap<MeterKey, Amount>);

impl Meters {
    pub fn new(readings: impl IntoIterator<Item = (MeterKey, Amount)>) -> Meters {
        Meters(readings.into_iter().collect())
    }

    pub fn reading(&self, key: &MeterKey) -> Amount {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// Counts a quantity; false where the meter cannot count that far.
    pub fn advance(&mut self, key: &MeterKey, quantity: Amount) -> bool {
        let Some(reading) = self.reading(key).plus(quantity) else { return false };
        self.0.insert(key.clone(), reading);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_with_the_calendar_in_utc() {
        let at: Timestamp = "2026-08-31T23:59:59-02:00".parse().unwrap();
        for (cadence, start) in [
            (TierCadence::Lifetime, "1970-01-01"),
            (TierCadence::Monthly, "2026-09-01"),
            (TierCadence::Quarterly, "2026-07-01"),
            (TierCadence::Yearly, "2026-01-01"),
        ] {
            assert_eq!(period_start(cadence, at).to_string(), start);
        }
    }

    #[test]
    fn a_day_is_its_number_since_2000() {
        for (day, number) in [(date(2000, 1, 1), 0), (date(1970, 1, 1), -10_957), (date(2026, 12, 1), 9_831)]
        {
            assert_eq!(Day(day).since_2000(), number);
            assert_eq!(Day::from_days_since_2000(number), Some(Day(day)));
        }
        assert_eq!(Day::from_days_since_2000(i32::MAX), None);
    }
}
