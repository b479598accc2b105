//! What a checkout is about, as `topup.checkout_view` tells it. Amounts stay the digits that they are.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::format;

/// One payment that somebody has come to make.
#[derive(Clone, Debug, Deserialize)]
pub struct View {
    pub payment_id: String,
    pub status: Status,
    amount: Box<RawValue>,
    pub amount_minor: i64,
    pub currency: String,
    /// How many the currency has.
    decimals: usize,
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
    /// Nothing where a saved card is charged: there is no checkout then.
    pub expires_at: Option<String>,
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
    brand: Option<String>,
    last4: Option<String>,
    exp_month: Option<u8>,
    exp_year: Option<u16>,
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
        format::money(self.amount.get(), self.decimals, &self.currency)
    }

    /// What is bought, such as `2,550,000 TOK`.
    pub fn purchase(&self) -> String {
        let credit = self.credit.get();
        let same = self.asset == self.currency && credit == self.amount.get();
        if same { self.price() } else { format::money(credit, 0, &self.asset) }
    }

    /// Until when it can be paid, to the minute.
    pub fn deadline(&self) -> String {
        self.expires_at.as_deref().map(format::minute).unwrap_or_default()
    }
}

impl SavedCard {
    /// Such as `Visa ending in 4242, expires 12/34`.
    pub fn in_words(&self) -> String {
        format::card(self.brand.as_deref(), self.last4.as_deref(), self.expiry())
    }

    /// Month and year, where the provider told them.
    pub fn expiry(&self) -> Option<(u8, u16)> {
        self.exp_month.zip(self.exp_year)
    }
}
