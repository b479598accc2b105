//! A balance over the last days as a line: inline SVG, with the figures beside it as text.

use serde::Deserialize;

const WIDTH: i64 = 600;
const HEIGHT: i64 = 120;
/// Room for the line's own breadth.
const MARGIN: i64 = 4;
const LEVEL_MAX: i64 = 1000;

/// The closing balances of the last days.
#[derive(Deserialize)]
pub struct Chart {
    pub days: Vec<Day>,
    zero_level: i64,
    pub lowest: String,
    pub highest: String,
}

#[derive(Deserialize)]
pub struct Day {
    pub day: String,
    pub balance: String,
    /// From 0 to 1000, of the chart's height.
    level: i64,
}

impl Chart {
    pub fn first_day(&self) -> &str {
        self.days.first().map_or("", |day| &day.day)
    }

    pub fn last_day(&self) -> &str {
        self.days.last().map_or("", |day| &day.day)
    }

    pub fn size(&self) -> String {
        format!("0 0 {WIDTH} {HEIGHT}")
    }

    /// Where 0 lies.
    pub fn zero(&self) -> i64 {
        height(self.zero_level)
    }

    /// The line: a day's balance is there until the next day's.
    pub fn line(&self) -> String {
        let mut path = String::new();
        for (n, day) in self.days.iter().enumerate() {
            let (x, y) = (self.place(n), height(day.level));
            path.push_str(&if n == 0 { format!("M{x} {y}") } else { format!("H{x}V{y}") });
        }
        path.push_str(&format!("H{WIDTH}"));
        path
    }

    /// What lies between the line and 0.
    pub fn area(&self) -> String {
        format!("{}V{}H0Z", self.line(), self.zero())
    }

    fn place(&self, n: usize) -> i64 {
        let count = i64::try_from(self.days.len()).unwrap_or(1).max(1);
        i64::try_from(n).unwrap_or(0) * WIDTH / count
    }
}

fn height(level: i64) -> i64 {
    HEIGHT - MARGIN - level.clamp(0, LEVEL_MAX) * (HEIGHT - 2 * MARGIN) / LEVEL_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_steps_from_day_to_day() {
        let day = |level| Day { day: "2026-11-21".into(), balance: "1".into(), level };
        let days = vec![day(0), day(1000), day(500)];
        let chart = Chart { days, zero_level: 0, lowest: "0".into(), highest: "2".into() };
        assert_eq!(chart.line(), "M0 116H200V4H400V60H600");
        assert_eq!(chart.area(), "M0 116H200V4H400V60H600V116H0Z");
    }
}
