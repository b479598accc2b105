//! Exact amounts: cents on the wire, major units with up to 18 decimals in the ledger. No binary float.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// Whole US cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Cents(pub i64);

/// Basis points: hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Bps(pub i32);

/// A signed amount in major units of an asset, exact to 18 decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

const DECIMALS: usize = 18;
const UNIT: i128 = 10_i128.pow(DECIMALS as u32);
const CENT: i128 = UNIT / 100;
/// No single amount and no balance goes beyond this many major units, so that sums cannot overflow.
const UNITS_MAX: i128 = 10_i128.pow(18);

impl Amount {
    pub const ZERO: Amount = Amount(0);

    /// The same value in major units.
    pub fn from_cents(cents: Cents) -> Amount {
        Amount(i128::from(cents.0) * CENT)
    }

    /// Whole cents, rounded down.
    pub fn floor_cents(self) -> Cents {
        Cents(i64::try_from(self.0.div_euclid(CENT)).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The sum, unless it goes beyond what a balance may hold.
    pub fn plus(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).map(Amount).filter(|sum| sum.fits())
    }

    /// Whether an account could hold it.
    pub fn fits(self) -> bool {
        self.0.abs() <= UNITS_MAX * UNIT
    }

    /// How many decimals the amount really uses.
    pub fn decimals(self) -> usize {
        let mut rest = self.0;
        let mut decimals = DECIMALS;
        while decimals > 0 && rest % 10 == 0 {
            rest /= 10;
            decimals -= 1;
        }
        decimals
    }
}

impl std::ops::Neg for Amount {
    type Output = Amount;
    fn neg(self) -> Amount {
        Amount(-self.0)
    }
}

/// Why a text is not an amount.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAnAmount;

impl FromStr for Amount {
    type Err = NotAnAmount;

    /// Reads a JSON number, or what Postgres writes for a `numeric`: digits, a point, an optional minus
    /// and exponent.
    fn from_str(text: &str) -> Result<Amount, NotAnAmount> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().map_err(|_| NotAnAmount)?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAnAmount);
        }
        let significant = digits.trim_end_matches('0');
        let dropped = i64::try_from(digits.len() - significant.len()).unwrap_or(i64::MAX);
        if significant.is_empty() {
            return Ok(Amount::ZERO);
        }
        // The value is `significant` × 10^power, in units of the finest decimal.
        let fraction_length = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let power = exponent.saturating_add(DECIMALS as i64).saturating_add(dropped - fraction_length);
        let power = u32::try_from(power).map_err(|_| NotAnAmount)?;
        // More than any account can hold, however much, is one amount that no account takes.
        let value: Option<i128> = significant.trim_start_matches('0').parse().ok();
        let value = value.zip(10_i128.checked_pow(power)).and_then(|(value, scale)| value.checked_mul(scale));
        let value = value.unwrap_or(i128::MAX).min(UNITS_MAX * UNIT + 1);
        Ok(Amount(if negative { -value } else { value }))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.abs() / UNIT, self.0.abs() % UNIT);
        let fraction = format!("{fraction:018}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

impl Serialize for Amount {
    /// A JSON number with all its digits.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    /// A JSON number, read digit by digit.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let message = "expected a number with at most 18 decimals";
        raw.get().parse().map_err(|_| D::Error::custom(message))
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "description": "Exact, in major units of the asset." })
    }
}

impl<'de> Deserialize<'de> for Cents {
    /// Takes whole numbers only. One that no 64 bits can hold becomes the largest that they can, so
    /// that it is refused as out of range rather than as malformed.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cents, D::Error> {
        struct WholeCents;
        impl Visitor<'_> for WholeCents {
            type Value = Cents;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of cents")
            }
            fn visit_i64<E: Error>(self, cents: i64) -> Result<Cents, E> {
                Ok(Cents(cents))
            }
            fn visit_u64<E: Error>(self, cents: u64) -> Result<Cents, E> {
                Ok(Cents(i64::try_from(cents).unwrap_or(i64::MAX)))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Cents, E> {
                match value {
                    value if value >= i64::MAX as f64 => Ok(Cents(i64::MAX)),
                    value if value <= i64::MIN as f64 => Ok(Cents(i64::MIN)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Float(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(WholeCents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_back_exactly() {
        for text in ["0", "1", "-1", "0.01", "-0.000000000000000001", "993450234", "0.34991125"] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
        for (text, same) in [
            ("12.3400", "12.34"),
            ("5e-05", "0.00005"),
            ("1.5E+3", "1500"),
            ("120e-1", "12"),
            ("-0.0e9", "0"),
        ] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), same);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-", ".5", "1e", "e5", "1e-19", "NaN", "Infinity", "1.2.3", "0.0000000000000000001"]
        {
            assert_eq!(text.parse::<Amount>(), Err(NotAnAmount), "{text}");
        }
    }

    #[test]
    fn cents_are_rounded_down_also_below_zero() {
        assert_eq!("12.349".parse::<Amount>().unwrap().floor_cents(), Cents(1234));
        assert_eq!("-0.001".parse::<Amount>().unwrap().floor_cents(), Cents(-1));
        assert_eq!(Amount::from_cents(Cents(-5)).to_string(), "-0.05");
    }

    #[test]
    fn a_sum_beyond_the_limit_is_none() {
        let most = "1000000000000000000".parse::<Amount>().unwrap();
        assert_eq!(most.plus("0.01".parse().unwrap()), None);
        assert_eq!(most.plus(-most), Some(Amount::ZERO));
        let digits = "9".repeat(100);
        for beyond in ["1000000000000000000.1", "10000000000000000000", digits.as_str()] {
            assert!(!beyond.parse::<Amount>().unwrap().fits(), "{beyond}");
        }
    }

    #[test]
    fn cents_are_whole_numbers() {
        let parse = |text: &str| serde_json::from_str::<Cents>(text);
        assert_eq!(parse("1000").unwrap(), Cents(1000));
        assert_eq!(parse("99999999999999999999").unwrap(), Cents(i64::MAX));
        assert_eq!(parse("-1e30").unwrap(), Cents(i64::MIN));
        for wrong in ["1.5", "\"1000\"", "null", "true", "[]", "1000.0"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
