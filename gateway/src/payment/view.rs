//! What a checkout is about, as `topup.checkout_view` tells it. Amounts stay the digits that they are.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One payment that somebody has come to make.
#[derive(Clone, Debug, Deserialize)]
pub struct View {
    pub payment_id: String,
    pub status: Status,
    amount: Box<RawValue>,
    pub amount_minor: i64,
    pub currency: String,
    credit: Box<RawValue>,
    pub asset: String,
    pub description: Option<String>,
    pub customer_id: Option<String>,
    pub customer_name: Option<String>,
    pub customer_email: Option<String>,
    pub merchant_name: String,
    pub tenant_id: String,
    pub environment: String,
    pub provider: String,
    pub provider_payment_id: Option<String>,
    pub provider_customer_id: Option<String>,
    pub expires_at: String,
    pub return_url: Option<String>,
    pub failure_url: Option<String>,
    pub card: Option<SavedCard>,
    pub failure: Option<Failure>,
    /// After `checkout_begin`: the payment is open now.
    #[serde(default)]
    pub begun: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Initiated,
    Pending,
    Succeeded,
    Failed,
    Expired,
}

#[derive(Clone, Debug, Deserialize)]
pub struct SavedCard {
    pub brand: String,
    pub last4: String,
    pub exp_month: u8,
    pub exp_year: u16,
    pub provider_method_id: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Failure {
    pub message: Option<String>,
}

impl View {
    /// Whether it can be paid.
    pub fn is_open(&self) -> bool {
        matches!(self.status, Status::Initiated | Status::Pending)
    }

    /// What is paid, such as `25.50 USD`.
    pub fn price(&self) -> String {
        format!("{} {}", grouped(&with_minor_units(self.amount.get(), self.amount_minor)), self.currency)
    }

    /// What is bought, such as `2,550,000 TOK`.
    pub fn purchase(&self) -> String {
        let credit = self.credit.get();
        let same = self.asset == self.currency && credit == self.amount.get();
        if same { self.price() } else { format!("{} {}", grouped(credit), self.asset) }
    }

    /// Until when it can be paid, to the minute.
    pub fn deadline(&self) -> String {
        match (self.expires_at.get(..10), self.expires_at.get(11..16)) {
            (Some(day), Some(time)) => format!("{day} {time} UTC"),
            _ => self.expires_at.clone(),
        }
    }
}

impl SavedCard {
    /// Such as `Visa ending in 4242, expires 12/34`.
    pub fn in_words(&self) -> String {
        let (brand, last4, month) = (titled(&self.brand), &self.last4, self.exp_month);
        format!("{brand} ending in {last4}, expires {month:02}/{:02}", self.exp_year % 100)
    }
}

/// The amount with as many decimals as its currency has: how many, the amount in minor units tells.
fn with_minor_units(amount: &str, minor: i64) -> String {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let (written, wanted) = (format!("{whole}{fraction}"), minor.to_string());
    let zeros = wanted.len().saturating_sub(written.trim_start_matches('0').len());
    let is_same = format!("{}{}", written.trim_start_matches('0'), "0".repeat(zeros)) == wanted;
    if !is_same || fraction.len() + zeros == 0 {
        return amount.to_owned();
    }
    format!("{whole}.{fraction}{}", "0".repeat(zeros))
}

/// The same digits, the whole part in groups of three.
pub fn grouped(number: &str) -> String {
    let (whole, fraction) =
        number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    fraction.map(|fraction| format!("{text}.{fraction}")).unwrap_or(text)
}

/// With a capital letter.
pub fn titled(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_the_decimals_of_its_currency() {
        for (amount, minor, shown) in [
            ("25.5", 2550, "25.50"),
            ("25", 2500, "25.00"),
            ("0.5", 50, "0.50"),
            ("500", 500, "500"),
            ("1.234", 1234, "1.234"),
            ("1.2", 7, "1.2"),
        ] {
            assert_eq!(with_minor_units(amount, minor), shown);
        }
    }

    #[test]
    fn digits_are_grouped_and_none_is_lost() {
        for (number, shown) in [
            ("2550000", "2,550,000"),
            ("999", "999"),
            ("1000.123456789", "1,000.123456789"),
            ("-123456", "-123,456"),
            ("123456789012345678901", "123,456,789,012,345,678,901"),
        ] {
            assert_eq!(grouped(number), shown);
        }
    }
}
