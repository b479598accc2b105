//! Currencies as payment providers count them: in whole units of the smallest coin.

use crate::value::amount::Amount;

/// Currencies without a smaller coin.
const WHOLE: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
];
/// Currencies that are counted in thousandths, of which providers charge whole tens.
const THOUSANDTHS: &[&str] = &["BHD", "JOD", "KWD", "OMR", "TND"];
/// Currencies that are counted in hundredths, of which providers charge whole hundreds.
const HUNDREDTHS_OF_WHOLE: &[&str] = &["ISK", "UGX"];

/// The least that providers charge where it is not the usual 50 of the smallest coin (0.50 dollars), as Stripe publishes it.
/// An account that is paid out in another currency may have to charge more than that.
const MINOR_LEAST: &[(&str, i128)] = &[
    ("AED", 200),
    ("BGN", 100),
    ("CZK", 1500),
    ("DKK", 250),
    ("GBP", 30),
    ("HKD", 400),
    ("HUF", 17_500),
    ("MXN", 1000),
    ("MYR", 200),
    ("NOK", 300),
    ("PLN", 200),
    ("RON", 200),
    ("SEK", 300),
    ("THB", 1000),
];
const MINOR_LEAST_USUAL: i128 = 50;
/// The most: eight digits, and twelve in rupiah.
const MINOR_MOST: i128 = 99_999_999;
const MINOR_MOST_IDR: i128 = 999_999_999_999;

/// What a charge may be, in the smallest coin: providers refuse less and more.
fn minor_limits(currency: &str) -> (i128, i128) {
    let least = MINOR_LEAST.iter().find(|(code, _)| *code == currency).map(|(_, least)| *least);
    let most = if currency == "IDR" { MINOR_MOST_IDR } else { MINOR_MOST };
    (least.unwrap_or(MINOR_LEAST_USUAL), most)
}

/// How many decimals a charge in a currency has at most.
pub fn decimals(currency: &str) -> u32 {
    match currency {
        whole if WHOLE.contains(&whole) || HUNDREDTHS_OF_WHOLE.contains(&whole) => 0,
        _ => 2,
    }
}

/// An amount in units of the smallest coin; nothing where providers do not charge it.
pub fn minor(amount: Amount, currency: &str) -> Option<i64> {
    let (least, most) = minor_limits(currency);
    whole_minor(amount, currency).filter(|minor| (least..=most).contains(&i128::from(*minor)))
}

/// The same of whatever amount: refunds may be small.
pub fn whole_minor(amount: Amount, currency: &str) -> Option<i64> {
    let is_charged = amount.atto() % one_step(currency) == 0;
    i64::try_from(amount.atto() / one_minor(currency)).ok().filter(|_| is_charged)
}

/// The amount of so many units of the smallest coin.
pub fn from_minor(minor: i64, currency: &str) -> Option<Amount> {
    Amount::from_atto(i128::from(minor).checked_mul(one_minor(currency))?)
}

/// The least and the most that is charged at once.
pub fn limits(currency: &str) -> (Amount, Amount) {
    let (unit, step) = (one_minor(currency), one_step(currency));
    let (least, most) = minor_limits(currency);
    let amount = |steps: i128| Amount::from_atto(steps * step).unwrap_or_default();
    (amount((least * unit + step - 1) / step), amount(most * unit / step))
}

/// The smallest amount that is charged, in units of 10^-18.
fn one_step(currency: &str) -> i128 {
    10_i128.pow(18 - decimals(currency))
}

/// The smallest coin in units of 10^-18.
fn one_minor(currency: &str) -> i128 {
    10_i128.pow(match currency {
        fine if THOUSANDTHS.contains(&fine) => 15,
        whole if WHOLE.contains(&whole) => 18,
        _ => 16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor_of(text: &str, currency: &str) -> Option<i64> {
        minor(text.parse().unwrap(), currency)
    }

    #[test]
    fn an_amount_is_whole_coins_or_nothing() {
        assert_eq!(minor_of("25.5", "USD"), Some(2550));
        assert_eq!(minor_of("25.505", "USD"), None);
        assert_eq!((minor_of("25.5", "KWD"), minor_of("25.505", "KWD")), (Some(25_500), None));
        assert_eq!((minor_of("100", "ISK"), minor_of("100.5", "ISK")), (Some(10_000), None));
        assert_eq!(minor_of("500", "JPY"), Some(500));
        assert_eq!(minor_of("500.5", "JPY"), None);
        for beyond in ["0.49", "0", "-5", "1000000"] {
            assert_eq!(minor_of(beyond, "EUR"), None, "{beyond}");
        }
        assert_eq!((minor_of("0.5", "EUR"), minor_of("999999.99", "EUR")), (Some(50), Some(99_999_999)));
    }

    #[test]
    fn coins_are_an_amount_again() {
        assert_eq!(from_minor(2550, "USD"), Some("25.5".parse().unwrap()));
        assert_eq!(from_minor(1, "JPY"), Some("1".parse().unwrap()));
        assert_eq!(whole_minor("0.01".parse().unwrap(), "USD"), Some(1));
        assert_eq!(whole_minor("0.001".parse().unwrap(), "USD"), None);
    }

    #[test]
    fn limits_are_amounts_of_the_currency() {
        assert_eq!(limits("JPY"), ("50".parse().unwrap(), "99999999".parse().unwrap()));
        assert_eq!(limits("KWD"), ("0.05".parse().unwrap(), "99999.99".parse().unwrap()));
        assert_eq!(limits("ISK"), ("1".parse().unwrap(), "999999".parse().unwrap()));
        assert_eq!(limits("USD"), ("0.5".parse().unwrap(), "999999.99".parse().unwrap()));
        assert_eq!(limits("GBP"), ("0.3".parse().unwrap(), "999999.99".parse().unwrap()));
        assert_eq!(limits("HUF"), ("175".parse().unwrap(), "999999.99".parse().unwrap()));
        assert_eq!(limits("IDR"), ("0.5".parse().unwrap(), "9999999999.99".parse().unwrap()));
        for (currency, least, less) in
            [("GBP", "0.3", "0.29"), ("CZK", "15", "14.99"), ("MXN", "10", "9.99"), ("PLN", "2", "1.99")]
        {
            assert!(minor_of(least, currency).is_some() && minor_of(less, currency).is_none(), "{currency}");
        }
    }
}
