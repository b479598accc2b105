//! What the portal shows, as Postgres tells it. Amounts are texts of exact digits, and stay so.

use serde::Deserialize;

use super::chart::Chart;
use crate::format::{self, minute, money, number, titled};
use crate::payment::view::Status;

/// All of a customer that its page shows.
#[derive(Deserialize)]
pub struct View {
    pub names: Names,
    pub return_url: String,
    /// Whether a provider takes money.
    pub can_pay: bool,
    pub card: Option<Card>,
    pub accounts: Vec<Account>,
    pub offers: Vec<Offer>,
    /// The latest first.
    pub payments: Vec<Payment>,
}

impl View {
    /// What can be paid at once, of each currency.
    pub fn limits(&self) -> String {
        let mut limits: Vec<String> = self.offers.iter().map(Offer::limits).collect();
        limits.sort_unstable();
        limits.dedup();
        limits.join("; ")
    }
}

/// Who is here, and at whose.
#[derive(Deserialize)]
pub struct Names {
    pub merchant: String,
    pub customer: String,
    pub environment: String,
}

#[derive(Deserialize)]
pub struct Card {
    brand: Option<String>,
    last4: Option<String>,
    exp_month: Option<u8>,
    exp_year: Option<u16>,
}

#[derive(Deserialize)]
pub struct Account {
    pub id: String,
    pub name: String,
    pub asset: String,
    decimals: usize,
    available: String,
    pending_in: String,
    pending_out: String,
    pub expiring: Vec<Expiring>,
    pub expiring_more: usize,
    pub chart: Option<Chart>,
    /// Nothing: no auto top-up is set.
    pub auto_top_up: Option<AutoTopUp>,
}

/// An amount that ends.
#[derive(Deserialize)]
pub struct Expiring {
    amount: String,
    expires_at: String,
    purpose: String,
}

/// When an account is filled by itself.
#[derive(Deserialize)]
pub struct AutoTopUp {
    pub amount: String,
    pub currency: String,
    /// How many decimals the currency has.
    pub decimals: usize,
    pub threshold: String,
    pub is_disabled: bool,
    /// What the last decline said.
    pub error: Option<String>,
    pub not_before: Option<String>,
}

/// Credit that can be bought.
#[derive(Deserialize)]
pub struct Offer {
    pub account_id: String,
    pub account_name: String,
    pub asset: String,
    pub currency: String,
    decimals: usize,
    least: String,
    most: String,
    rate: Option<String>,
}

#[derive(Deserialize)]
pub struct Payment {
    pub id: String,
    amount: String,
    currency: String,
    decimals: usize,
    credit: String,
    asset: String,
    pub status: Status,
    origin: String,
    refunded: String,
    pub failure: Option<String>,
    created_at: String,
}

/// A page of what moved an account.
#[derive(Deserialize)]
pub struct History {
    pub names: Names,
    /// Nothing: the customer has no such account.
    pub account: Option<AccountLines>,
}

#[derive(Deserialize)]
pub struct AccountLines {
    pub id: String,
    pub name: String,
    pub asset: String,
    pub decimals: usize,
    pub lines: Vec<Line>,
    pub next: Option<i64>,
}

#[derive(Deserialize)]
pub struct Line {
    at: String,
    kind: String,
    reason: Option<String>,
    pub description: Option<String>,
    amount: String,
    balance: String,
}

impl Account {
    pub fn money(&self, amount: &str) -> String {
        money(amount, self.decimals, &self.asset)
    }

    pub fn balance(&self) -> String {
        self.money(&self.available)
    }

    /// What begins later, where there is any.
    pub fn coming(&self) -> Option<String> {
        (self.pending_in != "0").then(|| self.money(&self.pending_in))
    }

    /// What is held, where there is any.
    pub fn held(&self) -> Option<String> {
        (self.pending_out != "0").then(|| self.money(&self.pending_out))
    }

    /// Such as `10.00 USD (promotional) on 2026-12-01 00:00 UTC`.
    pub fn in_words(&self, expiring: &Expiring) -> String {
        let (amount, at) = (self.money(&expiring.amount), minute(&expiring.expires_at));
        let purpose = if expiring.purpose == "bundled" { "included" } else { &expiring.purpose };
        format!("{amount} ({purpose}) on {at}")
    }

    /// Such as `10.00 USD is bought when the balance falls below 5.00 USD`.
    pub fn auto_in_words(&self, auto: &AutoTopUp) -> String {
        let amount = money(&auto.amount, auto.decimals, &auto.currency);
        format!("When the balance falls below {}, the saved card pays {amount}.", self.money(&auto.threshold))
    }

    /// Its id in an address.
    pub fn query(&self) -> String {
        query(&self.id)
    }
}

impl AutoTopUp {
    /// Why it does not pay just now.
    pub fn in_words(&self) -> Option<String> {
        let why = self.error.as_deref()?;
        Some(match &self.not_before {
            _ if self.is_disabled => {
                format!("It is off after three declines: {why} Save another card, or switch it on again.")
            }
            Some(at) => {
                format!("The last payment was declined: {why} It is tried again after {}.", minute(at))
            }
            None => format!("The last one did not go through: {why}"),
        })
    }
}

impl AccountLines {
    pub fn money(&self, amount: &str) -> String {
        money(amount, self.decimals, &self.asset)
    }

    pub fn amount(&self, line: &Line) -> String {
        let sign = if line.amount.starts_with('-') { "" } else { "+" };
        format!("{sign}{}", self.money(&line.amount))
    }

    pub fn balance(&self, line: &Line) -> String {
        self.money(&line.balance)
    }

    /// Its id in an address.
    pub fn query(&self) -> String {
        query(&self.id)
    }
}

impl Line {
    pub fn time(&self) -> String {
        minute(&self.at)
    }

    /// Why the account was moved, for its owner.
    pub fn cause(&self) -> String {
        let cause = match (self.kind.as_str(), self.reason.as_deref()) {
            ("top_up", _) | ("adjust", Some("external_topup")) => "Top-up",
            ("top_up_refund", _) => "Top-up refunded",
            ("top_up_dispute", _) => "Top-up disputed",
            ("adjust", Some("gift")) if !self.amount.starts_with('-') => "Gift",
            ("refund", _) | ("adjust", Some("external_refund")) => "Refund",
            ("adjust", _) => "Adjustment",
            ("redeem", _) => "Voucher",
            ("send", _) => "Credit received",
            ("subscription", _) => "Subscription",
            ("entitlement", _) => "Included credit",
            ("expire", _) => "Credit expired",
            ("activate", _) => "Credit took effect",
            ("hold", _) => "Set aside",
            ("release", _) => "No longer set aside",
            (kind, _) => return titled(&kind.replace('_', " ")),
        };
        cause.to_owned()
    }
}

impl Offer {
    /// As a form sends it: the currency first, for an account's name may have spaces.
    pub fn value(&self) -> String {
        format!("{} {}", self.currency, self.account_id)
    }

    /// Such as `default: 1 USD buys 100 TOK`.
    pub fn in_words(&self) -> String {
        let (name, asset, currency) = (&self.account_name, &self.asset, &self.currency);
        match &self.rate {
            None => format!("{name}: {asset}"),
            Some(rate) => format!("{name}: 1 {currency} buys {} {asset}", number(rate, 0)),
        }
    }

    /// Such as `0.50 to 999,999.99 USD`.
    fn limits(&self) -> String {
        let (least, most) = (number(&self.least, self.decimals), number(&self.most, self.decimals));
        format!("{least} to {most} {}", self.currency)
    }
}

impl Card {
    /// Such as `Visa ending in 4242, expires 12/34`.
    pub fn in_words(&self) -> String {
        format::card(self.brand.as_deref(), self.last4.as_deref(), self.exp_month.zip(self.exp_year))
    }
}

impl Payment {
    pub fn time(&self) -> String {
        minute(&self.created_at)
    }

    pub fn price(&self) -> String {
        money(&self.amount, self.decimals, &self.currency)
    }

    /// What was bought, where that is something else than the price.
    pub fn purchase(&self) -> Option<String> {
        (self.asset != self.currency).then(|| money(&self.credit, 0, &self.asset))
    }

    pub fn is_auto(&self) -> bool {
        self.origin == "auto"
    }

    pub fn in_words(&self) -> String {
        let words = match self.status {
            Status::Succeeded if self.refunded == "0" => "Paid",
            Status::Succeeded if self.refunded == self.amount => "Paid and refunded",
            Status::Succeeded => {
                return format!("Paid, {} refunded", money(&self.refunded, self.decimals, &self.currency));
            }
            Status::Failed => "Not paid",
            Status::Expired => "Expired",
            Status::Initiated | Status::Pending => "Under way",
        };
        words.to_owned()
    }
}

fn query(account_id: &str) -> String {
    url::form_urlencoded::byte_serialize(account_id.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_an_address() {
        assert_eq!(query("my ä&:USD"), "my+%C3%A4%26%3AUSD");
    }
}
