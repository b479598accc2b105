//! Money, times and cards as people read them. No digit of an amount is lost or made up.

/// Every digit, at least so many decimals, and what it is an amount of, such as `1,025.50 USD`.
pub fn money(amount: &str, decimals: usize, asset: &str) -> String {
    format!("{} {asset}", number(amount, decimals))
}

/// Every digit, at least so many decimals, the whole part in groups of three.
pub fn number(amount: &str, decimals: usize) -> String {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if decimals.max(fraction.len()) == 0 { text } else { format!("{text}.{fraction:0<decimals$}") }
}

/// With a capital letter.
pub fn titled(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A time to the minute, such as `2026-11-21 08:16 UTC`.
pub fn minute(at: &str) -> String {
    match (at.get(..10), at.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => at.to_owned(),
    }
}

/// Such as `Visa ending in 4242, expires 12/34`, as far as it is known.
pub fn card(brand: Option<&str>, last4: Option<&str>, expiry: Option<(u8, u16)>) -> String {
    let brand = brand.filter(|brand| *brand != "unknown").map_or("Card".to_owned(), titled);
    let last4 = last4.unwrap_or("····");
    match expiry {
        Some((month, year)) => format!("{brand} ending in {last4}, expires {month:02}/{:02}", year % 100),
        None => format!("{brand} ending in {last4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_and_has_the_decimals_of_its_coins() {
        for (amount, decimals, shown) in [
            ("10", 2, "10.00 USD"),
            ("25.5", 2, "25.50 USD"),
            ("1234567.89", 2, "1,234,567.89 USD"),
            ("9.90008875", 2, "9.90008875 USD"),
            ("-0.5", 2, "-0.50 USD"),
            ("-123456", 0, "-123,456 USD"),
            ("500", 0, "500 USD"),
            ("0.000000000000000001", 0, "0.000000000000000001 USD"),
            ("123456789012345678901", 0, "123,456,789,012,345,678,901 USD"),
        ] {
            assert_eq!(money(amount, decimals, "USD"), shown);
        }
    }

    #[test]
    fn times_are_shown_to_the_minute() {
        assert_eq!(minute("2026-11-21T08:16:44.000Z"), "2026-11-21 08:16 UTC");
    }

    #[test]
    fn a_card_says_what_is_known_of_it() {
        assert_eq!(card(Some("visa"), Some("4242"), Some((1, 2034))), "Visa ending in 4242, expires 01/34");
        assert_eq!(card(Some("unknown"), None, None), "Card ending in ····");
    }
}
