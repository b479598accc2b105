//! What an account had at the end of each of the last days, for a chart.

use serde::Serialize;
use uuid::Uuid;

use crate::pg::db::{self, DbResult, args};
use crate::value::amount::Amount;
use crate::value::book::Book;

/// How many days a chart has, today among them.
const DAYS: i32 = 30;
/// Levels go from 0 to this.
const LEVEL_MAX: i128 = 1000;

/// A day, in UTC.
#[derive(Serialize)]
pub struct Day {
    /// `YYYY-MM-DD`
    pub day: String,
    /// What the account had when the day was over, or has now.
    pub balance: String,
    /// Where that lies between the chart's lowest and highest balance.
    pub level: i64,
}

/// The days of a chart, oldest first.
#[derive(Serialize)]
pub struct Chart {
    pub days: Vec<Day>,
    /// Where 0 lies.
    pub zero_level: i64,
    /// The least and the most that the account had on these days.
    pub lowest: String,
    pub highest: String,
}

/// The last entry of a day is searched from the end backwards: it takes the same however long the account's history is.
const CLOSING: &str = "
    select to_char(d.day::timestamp, 'YYYY-MM-DD'),
           topup.balance_at_version($1, $2, topup.version_before($1, $2, (d.day + 1)::timestamp at time zone 'UTC'))::text
      from (select (clock_timestamp() at time zone 'UTC')::date as today) now
     cross join lateral (select now.today - n as day from generate_series(0, $3 - 1) n) d
     order by d.day";

/// The chart of an account that has this balance now.
pub fn chart(book: &Book, account_id: Uuid, balance: Amount) -> DbResult<Chart> {
    let mut days = db::read(CLOSING, args![book.tenant_id, account_id, DAYS], |row| {
        Ok((row.get::<String>(1)?, row.amount(2)?))
    })?;
    if let Some(today) = days.last_mut() {
        today.1 = balance;
    }
    Ok(drawn(days))
}

/// The lowest line is 0, or what is below it, so that a chart does not make little look like much.
fn drawn(days: Vec<(String, Amount)>) -> Chart {
    let balances = || days.iter().map(|(_, balance)| balance.atto());
    let (low, high) = (balances().min().unwrap_or(0).min(0), balances().max().unwrap_or(0).max(0));
    // Divided first: the product would not fit. An account of less than this has a flat line.
    let step = ((high - low) / LEVEL_MAX).max(1);
    let level = |atto: i128| i64::try_from(((atto - low) / step).min(LEVEL_MAX)).unwrap_or(0);
    let zero_level = level(0);
    let text = |balance: Option<&Amount>| balance.copied().unwrap_or_default().to_string();
    let (lowest, highest) = {
        let balances = || days.iter().map(|(_, balance)| balance);
        (text(balances().min()), text(balances().max()))
    };
    let days = days
        .into_iter()
        .map(|(day, balance)| Day { day, balance: balance.to_string(), level: level(balance.atto()) })
        .collect();
    Chart { days, zero_level, lowest, highest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(balances: &[&str]) -> (Vec<i64>, i64) {
        let days = balances.iter().map(|text| (String::new(), text.parse().unwrap())).collect();
        let chart = drawn(days);
        (chart.days.iter().map(|day| day.level).collect(), chart.zero_level)
    }

    #[test]
    fn a_chart_begins_at_zero_or_below() {
        assert_eq!(levels(&["5", "10", "0"]), (vec![500, 1000, 0], 0));
        assert_eq!(levels(&["-10", "10"]), (vec![0, 1000], 500));
        assert_eq!(levels(&["-3", "-4"]), (vec![250, 0], 1000));
        assert_eq!(levels(&["0", "0"]), (vec![0, 0], 0));
        assert_eq!(levels(&["7"]), (vec![1000], 0));
        assert_eq!(levels(&[]), (vec![], 0));
    }

    #[test]
    fn the_most_that_an_account_holds_is_drawn_too() {
        assert_eq!(levels(&["1000000000000000000", "-1000000000000000000"]), (vec![1000, 0], 500));
        assert_eq!(levels(&["0.000000000000000001"]), (vec![1], 0));
    }
}
