//! A card as somebody typed it: what is wrong with it, before a provider is asked.

use std::time::SystemTime;

use pg_topup_contract::timestamp;

const NUMBER_DIGITS_MIN: usize = 12;
const NUMBER_DIGITS_MAX: usize = 19;
const YEARS_AHEAD_MAX: u16 = 50;

/// A card that can exist. Its security code has been looked at, and is not kept.
#[derive(PartialEq, Eq)]
pub struct Card {
    /// Digits only.
    pub number: String,
    pub exp: Expiry,
}

/// The last month in which a card is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    pub year: u16,
    pub month: u8,
}

/// What is wrong with which field, in words for whoever typed it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    pub number: Option<&'static str>,
    pub exp: Option<&'static str>,
    pub cvc: Option<&'static str>,
}

impl Mistakes {
    pub fn is_none(&self) -> bool {
        self.number.is_none() && self.exp.is_none() && self.cvc.is_none()
    }
}

impl Card {
    /// Reads what was typed in this month.
    pub fn parse(number: &str, exp: &str, cvc: &str, now: Expiry) -> Result<Self, Mistakes> {
        let number = number_of(number);
        let exp = Expiry::parse(exp).and_then(|exp| exp.judged(now));
        let is_amex = number.as_ref().is_ok_and(|number| brand(number) == "amex");
        let cvc = cvc_of(cvc, is_amex);
        match (number, exp, cvc) {
            (Ok(number), Ok(exp), Ok(())) => Ok(Card { number, exp }),
            (number, exp, cvc) => Err(Mistakes { number: number.err(), exp: exp.err(), cvc: cvc.err() }),
        }
    }
}

impl Expiry {
    /// The month that it is now, in UTC.
    pub fn now() -> Self {
        let now = timestamp(SystemTime::now());
        let number = |range: std::ops::Range<usize>| now.get(range).and_then(|digits| digits.parse().ok());
        Expiry { year: number(0..4).unwrap_or(0), month: number(5..7).unwrap_or(0) as u8 }
    }

    /// `MM/YY` or `MM/YYYY`, with or without spaces and slash.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const MISTAKE: &str = "Enter the expiry date as MM/YY.";
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (month, year) = match text.split_once(['/', '-']) {
            Some(parts) => parts,
            None if text.is_ascii() && text.len() > 2 => text.split_at(2),
            None => return Err(MISTAKE),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let year: u16 = match year.len() {
            2 if is_digits(year) => year.parse().map(|year: u16| 2000 + year).map_err(|_| MISTAKE)?,
            4 if is_digits(year) => year.parse().map_err(|_| MISTAKE)?,
            _ => return Err(MISTAKE),
        };
        match month.parse() {
            Ok(month @ 1..=12) if is_digits(month_text(&text)) => Ok(Expiry { year, month }),
            _ => Err(MISTAKE),
        }
    }

    fn judged(self, now: Expiry) -> Result<Self, &'static str> {
        if self < now {
            return Err("This card has expired.");
        }
        if self.year > now.year + YEARS_AHEAD_MAX {
            return Err("Check the year of expiry.");
        }
        Ok(self)
    }
}

/// Who issued a number of this kind.
pub fn brand(number: &str) -> &'static str {
    let lead = |digits: usize| number.get(..digits).and_then(|lead| lead.parse::<u32>().ok()).unwrap_or(0);
    match () {
        _ if lead(1) == 4 => "visa",
        _ if matches!(lead(2), 51..=55) || matches!(lead(4), 2221..=2720) => "mastercard",
        _ if matches!(lead(2), 34 | 37) => "amex",
        _ if lead(4) == 6011 || lead(2) == 65 || matches!(lead(3), 644..=649) => "discover",
        _ if lead(2) == 62 => "unionpay",
        _ if matches!(lead(2), 30 | 36 | 38) => "diners",
        _ if matches!(lead(4), 3528..=3589) => "jcb",
        _ => "unknown",
    }
}

fn month_text(text: &str) -> &str {
    text.split(['/', '-']).next().and_then(|month| month.get(..month.len().min(2))).unwrap_or("x")
}

fn number_of(typed: &str) -> Result<String, &'static str> {
    let digits: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    if digits.is_empty() {
        return Err("Enter the card number.");
    }
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || !(NUMBER_DIGITS_MIN..=NUMBER_DIGITS_MAX).contains(&digits.len()) || !luhn(&digits) {
        return Err("Check the card number: it is not one that exists.");
    }
    Ok(digits)
}

fn cvc_of(typed: &str, is_amex: bool) -> Result<(), &'static str> {
    let typed = typed.trim();
    let wanted = if is_amex { 4 } else { 3 };
    match typed.len() == wanted && typed.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(()),
        false if is_amex => Err("Enter the 4 digits on the front of the card."),
        false => Err("Enter the 3 digits on the back of the card."),
    }
}

/// The check digit that catches a mistyped one.
fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, byte)| {
            let digit = u32::from(byte - b'0') * if index % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Expiry = Expiry { year: 2026, month: 11 };

    fn mistakes(number: &str, exp: &str, cvc: &str) -> Option<Mistakes> {
        Card::parse(number, exp, cvc, NOW).err()
    }

    #[test]
    fn a_card_may_be_typed_with_spaces() {
        let card = Card::parse(" 4242 4242-4242 4242", "1 2/34", "123", NOW).ok().unwrap();
        assert_eq!(card.number, "4242424242424242");
        assert_eq!(card.exp, Expiry { year: 2034, month: 12 });
    }

    #[test]
    fn each_mistake_is_told_at_its_field() {
        let all = mistakes("4242424242424241", "13/34", "12").unwrap();
        assert!(all.number.is_some() && all.exp.is_some() && all.cvc.is_some());
        for (number, exp, cvc) in [("", "12/34", "123"), ("4242x", "12/34", "123"), ("٤242", "12/34", "123")]
        {
            let found = mistakes(number, exp, cvc).unwrap();
            assert!(found.number.is_some() && found.exp.is_none() && found.cvc.is_none(), "{number}");
        }
    }

    #[test]
    fn a_card_is_good_until_its_month_is_over() {
        assert!(mistakes("4242424242424242", "11/26", "123").is_none());
        assert_eq!(mistakes("4242424242424242", "10/26", "123").unwrap().exp, Some("This card has expired."));
        for bad in ["", "1", "00/30", "+1/30", "1/+30", "12/3", "12/345", "ab/cd", "1é/30", "12/2099"] {
            assert!(mistakes("4242424242424242", bad, "123").unwrap().exp.is_some(), "{bad}");
        }
        for good in ["1230", "12/2030", "1/30", "12 / 30"] {
            assert!(mistakes("4242424242424242", good, "123").is_none(), "{good}");
        }
    }

    #[test]
    fn american_express_has_four_digits() {
        assert!(mistakes("378282246310005", "12/34", "1234").is_none());
        assert!(mistakes("378282246310005", "12/34", "123").unwrap().cvc.is_some());
    }
}
