//! What the portal's forms send, and what of it is asked of Postgres.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::form_urlencoded;

/// Fields of a form or of an address, as they were typed; of one that comes twice the last counts.
#[derive(Debug, Default)]
pub struct Form(BTreeMap<String, String>);

impl Form {
    pub fn parse(text: &[u8]) -> Form {
        // Postgres has no text with a NUL, and nobody types one.
        let plain = |text: &str| text.replace('\0', "");
        Form(form_urlencoded::parse(text).map(|(name, value)| (plain(&name), plain(&value))).collect())
    }

    /// A field, empty where it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field that says something.
    pub fn maybe(&self, name: &str) -> Option<&str> {
        Some(self.get(name).trim()).filter(|text| !text.is_empty())
    }

    /// The top-up that is wanted. An offer is a currency and an account.
    pub fn top_up(&self) -> Value {
        let (currency, account_id) = self.get("offer").split_once(' ').unwrap_or_default();
        json!({"currency": currency, "account_id": account_id, "amount": self.get("amount")})
    }

    pub fn voucher(&self) -> Value {
        json!({"voucher_code": self.get("voucher_code")})
    }

    /// The auto top-up that is wanted.
    pub fn auto_top_up(&self) -> Value {
        let (amount, threshold) = (self.get("amount"), self.get("threshold"));
        let (currency, account_id) = self.get("offer").split_once(' ').unwrap_or_default();
        json!({"currency": currency, "account_id": account_id, "amount": amount, "threshold": threshold})
    }

    /// The account and the days of a statement: from the beginning of the one to the end of the other, in UTC.
    pub fn period(&self) -> Value {
        let mut period = json!({"account_id": self.get("account")});
        for (field, name, time) in [("from", "from", "T00:00:00Z"), ("to", "to", "T23:59:59.999999Z")] {
            if let Some(day) = self.maybe(name) {
                period[field] = json!(format!("{day}{time}"));
            }
        }
        period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_a_currency_and_an_account_whose_name_may_have_spaces() {
        let form = Form::parse(b"offer=USD+my+ai%3ATOK&amount=25.50&amount=30&x=%00");
        assert_eq!(form.top_up(), json!({"currency": "USD", "account_id": "my ai:TOK", "amount": "30"}));
        assert_eq!((form.get("x"), form.maybe("y")), ("", None));
        assert_eq!(Form::default().top_up()["account_id"], "");
    }

    #[test]
    fn a_period_ends_with_its_last_day() {
        let form = Form::parse(b"account=default%3AUSD&from=2026-11-01&to=2026-11-02");
        let wanted = json!({"account_id": "default:USD", "from": "2026-11-01T00:00:00Z", "to": "2026-11-02T23:59:59.999999Z"});
        assert_eq!(form.period(), wanted);
        assert_eq!(Form::parse(b"account=a&from=+&to=").period(), json!({"account_id": "a"}));
    }
}
