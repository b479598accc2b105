//! What a top-up costs: list price less the tier's discount, rounded once to the cent, half to even.

use crate::value::amount::{Bps, Cents};

/// All of it, in basis points.
const WHOLE_BPS: i128 = 10_000;

/// The wholesale cost of an amount of credit at a discount.
pub fn cost(list: Cents, discount: Bps) -> Cents {
    let exact = i128::from(list.0) * (WHOLE_BPS - i128::from(discount.0));
    let (floor, rest) = (exact.div_euclid(WHOLE_BPS), exact.rem_euclid(WHOLE_BPS));
    let half = WHOLE_BPS / 2;
    let round_up = rest > half || (rest == half && floor % 2 != 0);
    // A discount never raises a price: what fitted 64 bits before fits them after.
    Cents(i64::try_from(floor + i128::from(round_up)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_dollars_cost_what_the_price_table_says() {
        for (bps, cents) in [(0, 1000), (1000, 900), (1700, 830), (2500, 750)] {
            assert_eq!(cost(Cents(1000), Bps(bps)), Cents(cents));
        }
    }

    #[test]
    fn a_half_cent_goes_to_the_even_cent() {
        // 150 × 0.83 = 124.5 and 250 × 0.83 = 207.5; 102 × 0.75 = 76.5; 106 × 0.75 = 79.5.
        assert_eq!(cost(Cents(150), Bps(1700)), Cents(124));
        assert_eq!(cost(Cents(250), Bps(1700)), Cents(208));
        assert_eq!(cost(Cents(102), Bps(2500)), Cents(76));
        assert_eq!(cost(Cents(106), Bps(2500)), Cents(80));
    }

    #[test]
    fn the_ends_of_the_discount_are_free_and_full_price() {
        assert_eq!(cost(Cents(12_345), Bps(10_000)), Cents(0));
        assert_eq!(cost(Cents(i64::MAX), Bps(0)), Cents(i64::MAX));
    }
}
