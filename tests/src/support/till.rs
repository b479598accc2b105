//! A shop with one customer whose wallet is looked at and moved, over HTTP at the root.

use super::client::{Client, Reply};
use super::shop::Shop;
use serde_json::{Value, json};

pub struct Till {
    pub root: Client,
    /// `cust_…`
    pub customer: String,
    // Dropped last: the gateway and the database of the client.
    pub shop: Shop,
}

impl Till {
    pub async fn open() -> Till {
        Till::of(Shop::open().await).await
    }

    /// One with a new customer in a shop.
    pub async fn of(shop: Shop) -> Till {
        let root = shop.client.at_root();
        let made = root.post("/customers", json!({"name": "Ann"})).await.expect_status(201);
        let customer = made.json["id"].as_str().unwrap().to_owned();
        Till { root, customer, shop }
    }

    /// The path of something in the customer's wallet.
    pub fn path(&self, rest: &str) -> String {
        format!("/customers/{}/wallet{rest}", self.customer)
    }

    pub async fn get(&self, rest: &str) -> Reply {
        self.root.get(&self.path(rest)).await
    }

    pub async fn post(&self, rest: &str, body: Value) -> Reply {
        self.root.post(&self.path(rest), body).await
    }

    /// Adds to the customer's default account; the amount is a JSON number as text.
    pub async fn gift(&self, id: &str, asset: &str, amount: &str) -> Reply {
        let body =
            format!(r#"{{"transaction_id":"{id}","asset":"{asset}","amount":{amount},"reason":"gift"}}"#);
        self.root.post_text(&self.path("/adjustments"), body).await
    }

    /// Charges the customer's default account; the amount is a JSON number as text.
    pub async fn charge(&self, id: &str, asset: &str, amount: &str) -> Reply {
        let body = format!(r#"{{"transaction_id":"{id}","asset":"{asset}","amount":{amount}}}"#);
        self.root.post_text(&self.path("/charges"), body).await
    }

    /// What the default account of an asset has, as the digits of the reply.
    pub async fn available(&self, asset: &str) -> String {
        let reply = self.get(&format!("/default%3A{asset}")).await.expect_status(200);
        digits(&reply.text, "available")
    }
}

/// The digits of a number in JSON text.
pub fn digits(text: &str, field: &str) -> String {
    let (_, rest) = text.split_once(&format!("\"{field}\":")).unwrap_or_else(|| panic!("no {field}: {text}"));
    rest.split([',', '}']).next().unwrap().to_owned()
}
