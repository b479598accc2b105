//! Exact amounts: cents on the wire, major units with up to 18 decimals in the ledger. No binary float.

use std::fmt;
use std::str::FromStr;

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::ToPrimitive;
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

    /// The same value in units of its finest decimal, 10^-18.
    pub fn atto(self) -> i128 {
        self.0
    }

    /// The amount of so many units of 10^-18, unless it goes beyond what a balance may hold.
    pub fn from_atto(atto: i128) -> Option<Amount> {
        Some(Amount(atto)).filter(|amount| amount.0.checked_abs().is_some() && amount.fits())
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

    /// The same value as a fraction, for calculations that are rounded at their end.
    pub fn to_fraction(self) -> BigRational {
        BigRational::new(self.0.into(), UNIT.into())
    }

    /// The amount of this many decimals that is nearest to a fraction; of two that are equally near, the even
    /// one. Nothing where no account could hold it.
    pub fn rounded(fraction: &BigRational, decimals: u32) -> Option<Amount> {
        let scale = 10_i128.checked_pow(decimals).filter(|scale| UNIT % scale == 0)?;
        let scaled = fraction * BigRational::from_integer(scale.into());
        let (below, rest) = scaled.numer().div_mod_floor(scaled.denom());
        let up = match (rest * 2u8).cmp(scaled.denom()) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => below.is_odd(),
            std::cmp::Ordering::Greater => true,
        };
        let nearest = below + BigInt::from(u8::from(up));
        nearest.to_i128()?.checked_mul(UNIT / scale).map(Amount).filter(|amount| amount.fits())
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

/// Sums of what accounts hold stay far from the edge of the type; whether one fits an account is for [`Amount::fits`].
impl std::ops::Add for Amount {
    type Output = Amount;
    fn add(self, other: Amount) -> Amount {
        Amount(self.0.saturating_add(other.0))
    }
}

impl std::ops::Sub for Amount {
    type Output = Amount;
    fn sub(self, other: Amount) -> Amount {
        Amount(self.0.saturating_sub(other.0))
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
    fn a_fraction_is_rounded_half_even() {
        let rounded = |numer: i64, denom: i64, decimals| {
            let fraction = BigRational::new(numer.into(), denom.into());
            Amount::rounded(&fraction, decimals).unwrap().to_string()
        };
        assert_eq!(rounded(1, 3, 9), "0.333333333");
        assert_eq!(rounded(2, 3, 0), "1");
        for (numer, text) in [(5, "0"), (15, "2"), (25, "2"), (35, "4"), (-5, "0"), (-15, "-2"), (26, "3")] {
            assert_eq!(rounded(numer, 10, 0), text, "{numer}/10");
        }
        assert_eq!(rounded(1, 1_000_000_000_000_000_000, 18), "0.000000000000000001");
        let most = BigRational::from_integer(BigInt::from(UNITS_MAX));
        assert_eq!(Amount::rounded(&most, 2).unwrap().to_string(), "1000000000000000000");
        assert_eq!(Amount::rounded(&(most * BigInt::from(2)), 2), None);
        assert_eq!("-1.25".parse::<Amount>().unwrap().to_fraction(), BigRational::new((-5).into(), 4.into()));
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
