//! Exchange: what one unit of an asset costs in another, and what an amount buys. Exact, rounded once.

use num_bigint::BigInt;
use num_integer::Integer;

use crate::value::amount::Amount;

const DECIMALS: u32 = 18;
const ONE: i128 = 10_i128.pow(DECIMALS);

/// A rate, kept the way round in which it was told, since the other way round is seldom a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Units of the source for one unit of the asset.
    Price(Amount),
    /// Units of the asset for one unit of the source.
    Inverse(Amount),
}

impl Rate {
    /// Units of the source for one unit of the asset: exact, or rounded half-even to 18 decimals.
    pub fn price(self) -> Option<Amount> {
        match self {
            Rate::Price(price) => Some(price),
            Rate::Inverse(units) => reciprocal(units),
        }
    }

    /// Units of the asset for one unit of the source: exact, or rounded half-even to 18 decimals.
    pub fn inverse(self) -> Option<Amount> {
        match self {
            Rate::Price(price) => reciprocal(price),
            Rate::Inverse(units) => Some(units),
        }
    }

    /// What an amount of the source buys, rounded half-even to the asset's precision. Nothing where that
    /// is more than an account can hold.
    pub fn convert(self, amount: Amount, precision: u32) -> Option<Amount> {
        let finest = 10_i128.pow(DECIMALS.checked_sub(precision)?);
        let amount = BigInt::from(amount.atto());
        let units = match self {
            Rate::Price(price) => divide(amount * ONE, BigInt::from(price.atto()) * finest)?,
            Rate::Inverse(units) => divide(amount * units.atto(), BigInt::from(ONE) * finest)?,
        };
        Amount::from_atto(i128::try_from(units * finest).ok()?)
    }
}

fn reciprocal(amount: Amount) -> Option<Amount> {
    let whole = BigInt::from(ONE) * ONE;
    Amount::from_atto(i128::try_from(divide(whole, BigInt::from(amount.atto()))?).ok()?)
}

/// The quotient, rounded half-even to a whole number; nothing where the divisor is not positive.
fn divide(dividend: BigInt, divisor: BigInt) -> Option<BigInt> {
    let zero = BigInt::from(0);
    if divisor <= zero {
        return None;
    }
    let (quotient, rest) = dividend.div_mod_floor(&divisor);
    let twice: BigInt = rest * 2;
    let up = match twice.cmp(&divisor) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient.is_odd(),
        std::cmp::Ordering::Greater => true,
    };
    Some(if up { quotient + 1 } else { quotient })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    fn bought(rate: Rate, source: &str, precision: u32) -> String {
        rate.convert(amount(source), precision).unwrap().to_string()
    }

    #[test]
    fn a_price_and_its_inverse_buy_the_same() {
        assert_eq!(bought(Rate::Price(amount("0.1")), "1", 2), "10");
        assert_eq!(bought(Rate::Inverse(amount("10")), "1", 2), "10");
        assert_eq!(bought(Rate::Inverse(amount("1000000")), "50", 0), "50000000");
        assert_eq!(bought(Rate::Price(amount("0.000000000000000001")), "1", 18), "1000000000000000000");
    }

    #[test]
    fn the_result_is_rounded_once_half_even() {
        for (source, precision, told) in [
            ("0.5", 0, "0"),
            ("1.5", 0, "2"),
            ("2.5", 0, "2"),
            ("2.50001", 0, "3"),
            ("-2.5", 0, "-2"),
            ("-1.5", 0, "-2"),
        ] {
            assert_eq!(bought(Rate::Inverse(amount("1")), source, precision), told, "{source}");
        }
        assert_eq!(bought(Rate::Price(amount("3")), "1", 4), "0.3333");
        assert_eq!(bought(Rate::Price(amount("3")), "2", 4), "0.6667");
        // Rounding the price first would give 299999999999.9999.
        assert_eq!(bought(Rate::Inverse(amount("3")), "100000000000", 4), "300000000000");
    }

    #[test]
    fn the_other_way_round_has_18_decimals() {
        assert_eq!(Rate::Price(amount("3")).inverse(), Some(amount("0.333333333333333333")));
        assert_eq!(Rate::Inverse(amount("3")).price(), Some(amount("0.333333333333333333")));
        assert_eq!(Rate::Price(amount("0.1")).price(), Some(amount("0.1")));
        assert_eq!(
            Rate::Price(amount("0.000000000000000001")).inverse(),
            Some(amount("1000000000000000000"))
        );
    }

    #[test]
    fn what_no_account_can_hold_is_nothing() {
        assert_eq!(Rate::Inverse(amount("1000000000000000000")).convert(amount("2"), 0), None);
        assert_eq!(Rate::Price(Amount::ZERO).convert(amount("2"), 0), None);
    }
}
