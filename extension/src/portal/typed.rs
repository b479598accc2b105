//! Amounts as people type them: with a currency, with points or commas. What could mean two amounts is refused.

use pg_topup_contract::Code;

use crate::value::amount::Amount;
use crate::value::reply::Refusal;

const LENGTH_MAX: usize = 60;

/// What stands for currencies beside their codes.
const SIGNS: &[(&str, &[&str])] = &[
    ("$", &["USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN", "TWD", "BRL", "ARS", "CLP", "COP"]),
    ("US$", &["USD"]),
    ("R$", &["BRL"]),
    ("€", &["EUR"]),
    ("£", &["GBP"]),
    ("¥", &["JPY", "CNY"]),
    ("₩", &["KRW"]),
    ("₹", &["INR"]),
    ("zł", &["PLN"]),
    ("Kč", &["CZK"]),
    ("Ft", &["HUF"]),
    ("kr", &["SEK", "NOK", "DKK", "ISK"]),
    ("Fr", &["CHF"]),
];

/// Reads an amount of a currency or an asset.
pub fn amount(text: &str, field: &str, code: &str) -> Result<Amount, Refusal> {
    let refused = |message: String| Refusal::of_field(Code::InvalidRequest, field, message);
    let malformed = || refused("Write the amount in digits, such as 25 or 25.50.".to_owned());
    if text.len() > LENGTH_MAX {
        return Err(malformed());
    }
    let text: String = text.trim().chars().map(narrow).collect();
    let digits = match without_currency(&text, code) {
        Ok(digits) => digits,
        Err(other) => return Err(refused(format!("This is paid in {code}, not in {other}."))),
    };
    match plain(digits) {
        Plain::Amount(plain) => plain.parse().map_err(|_| malformed()),
        Plain::Ambiguous(small, large) => {
            Err(refused(format!("Does {digits} mean {small} or {large}? Write it without a comma or point.")))
        }
        Plain::Malformed => Err(malformed()),
    }
}

/// The ASCII character that a full-width one stands for.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    }
}

/// What stands without the currency before or behind it; the currency, if it is another.
fn without_currency<'a>(text: &'a str, code: &str) -> Result<&'a str, &'a str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let (Some(start), Some(end)) = (text.find(is_digit), text.rfind(is_digit)) else { return Ok(text) };
    let is_mark = |c: char| matches!(c, '.' | ',' | '-' | '+');
    let (before, behind) = (text[..start].trim(), text[end + 1..].trim());
    let is_bare = |around: &str| around.chars().all(is_mark);
    for named in [before, behind].into_iter().filter(|around| !is_bare(around)) {
        let name = named.trim_end_matches('.');
        let is_sign = SIGNS
            .iter()
            .any(|(sign, codes)| name.to_lowercase() == sign.to_lowercase() && codes.contains(&code));
        match () {
            _ if name.eq_ignore_ascii_case(code) || is_sign => {}
            _ if name.contains(is_mark) => return Ok(text),
            _ => return Err(named),
        }
    }
    let start = if is_bare(before) { 0 } else { start };
    let end = if is_bare(behind) { text.len() } else { end + 1 };
    Ok(text[start..end].trim())
}

#[derive(Debug, PartialEq, Eq)]
enum Plain {
    /// Digits, and a point before decimals.
    Amount(String),
    /// It could be either.
    Ambiguous(String, String),
    Malformed,
}

fn plain(text: &str) -> Plain {
    let is_group = |c: char| c.is_whitespace() || matches!(c, '\'' | '’');
    let marks: Vec<(usize, char)> = text.char_indices().filter(|(_, c)| !c.is_ascii_digit()).collect();
    if marks.iter().any(|(_, c)| !is_group(*c) && !matches!(c, '.' | ',')) {
        return Plain::Malformed;
    }
    let count = |mark: char| marks.iter().filter(|(_, c)| *c == mark).count();
    let last = marks.iter().rev().find(|(_, c)| matches!(c, '.' | ','));
    let Some((at, mark)) = last.copied() else { return grouped(text, "") };
    let (whole, decimals) = (&text[..at], &text[at + 1..]);
    let other = if mark == '.' { ',' } else { '.' };
    if count(mark) > 1 {
        // Thousands and millions; after decimals there is nothing to group.
        return if count(other) == 0 { grouped(text, "") } else { Plain::Malformed };
    }
    if decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return Plain::Malformed;
    }
    let is_alone = marks.len() == 1;
    if is_alone && decimals.len() == 3 && (1..=3).contains(&whole.len()) && !whole.starts_with('0') {
        let short = decimals.trim_end_matches('0');
        let small = if short.is_empty() { whole.to_owned() } else { format!("{whole}.{short}") };
        return Plain::Ambiguous(small, format!("{whole}{decimals}"));
    }
    if whole.is_empty() { Plain::Amount(format!("0.{decimals}")) } else { grouped(whole, decimals) }
}

/// Whole digits, alone or in groups of three behind one kind of mark.
fn grouped(whole: &str, decimals: &str) -> Plain {
    let marks: Vec<char> = whole.chars().filter(|c| !c.is_ascii_digit()).collect();
    let groups: Vec<&str> = whole.split(|c: char| !c.is_ascii_digit()).collect();
    let is_even = marks.windows(2).all(|pair| pair[0] == pair[1]);
    let (first, rest) = groups.split_first().unwrap_or((&"", &[]));
    let are_thousands = rest.iter().all(|group| group.len() == 3);
    if first.is_empty() || !is_even || !are_thousands || (!rest.is_empty() && first.len() > 3) {
        return Plain::Malformed;
    }
    let point = if decimals.is_empty() { "" } else { "." };
    Plain::Amount(format!("{}{point}{decimals}", groups.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, code: &str) -> Result<String, String> {
        amount(text, "amount", code).map(|amount| amount.to_string()).map_err(|refusal| refusal.message)
    }

    #[test]
    fn people_write_amounts_in_their_own_ways() {
        for (text, wanted) in [
            ("25", "25"),
            (" 25.50 ", "25.5"),
            ("12,50", "12.5"),
            ("$25.50", "25.5"),
            ("25,50 $", "25.5"),
            ("USD 25", "25"),
            ("25usd", "25"),
            ("1.000,50", "1000.5"),
            ("1,000.50", "1000.5"),
            ("1 000,50", "1000.5"),
            ("1\u{202f}000", "1000"),
            ("1'000.50", "1000.5"),
            ("1,000,000", "1000000"),
            ("1.000.000,5", "1000000.5"),
            (".5", "0.5"),
            ("0.125", "0.125"),
            ("1,2345", "1.2345"),
            ("２５．５０", "25.5"),
        ] {
            assert_eq!(read(text, "USD").as_deref(), Ok(wanted), "{text}");
        }
        assert_eq!(read("€12,50", "EUR").as_deref(), Ok("12.5"));
        assert_eq!(read("100 kr.", "SEK").as_deref(), Ok("100"));
        assert_eq!(read("1000 TOK", "TOK").as_deref(), Ok("1000"));
    }

    #[test]
    fn what_could_be_two_amounts_is_asked_for_again() {
        for (text, small, large) in [("1.000", "1", "1000"), ("25,505", "25.505", "25505")] {
            let said = read(text, "USD").unwrap_err();
            assert!(said.contains(&format!("{text} mean {small} or {large}?")), "{said}");
        }
        assert!(read("€25", "USD").unwrap_err().contains("paid in USD, not in €"));
        assert!(read("25 EUR", "USD").unwrap_err().contains("not in EUR"));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            " ",
            "x",
            "$",
            "-5",
            "+5",
            "1e3",
            "25.",
            "25,",
            "1,00,000",
            "1.00.000",
            "12 34",
            "1,000.50.2",
            "1.000,50,2",
            "1 000'000",
            "1'00",
            "25.5O",
            "--",
            "٢٥",
            "1..5",
            "0x10",
            "Infinity",
            "NaN",
            "25 . 50",
            ",",
        ] {
            assert!(read(text, "USD").is_err(), "{text}: {:?}", read(text, "USD"));
        }
        assert!(read(&"9".repeat(61), "USD").is_err());
    }
}
