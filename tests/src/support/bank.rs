//! A staging tenant with one customer, to give credit to and take it from.

use super::database::{Database, call, wire};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::Client;

/// Sessions of the superuser and of an application. Its fields are dropped in this order.
pub struct Bank {
    pub admin: Client,
    pub app: Client,
    pub key: String,
    pub customer: String,
    adjustments: AtomicU32,
    pub database: Database,
}

impl Bank {
    pub async fn open() -> Bank {
        let database = Database::new().await;
        let key = database.staging_key().await;
        Bank::with(database, key).await
    }

    /// One in a database that a gateway serves too.
    pub async fn with(database: Database, key: String) -> Bank {
        let (admin, app) = (database.admin().await, database.app(&key).await);
        let send = json!({"platform": "claude", "amount_cents": 100, "recipient_email": "ann@example.com"});
        assert_eq!(wire(&admin, &key, "send", &send).await.1["code"], 1001);
        let customer = admin.query_one("select customer_id from topup.customers", &[]).await.unwrap().get(0);
        Bank { admin, app, key, customer, adjustments: AtomicU32::new(0), database }
    }

    /// Adjusts the customer's default account in dollars; `more` are further arguments of `topup.adjust`.
    pub async fn adjust(&self, amount: &str, reason: &str, more: &str) -> Value {
        let number = self.adjustments.fetch_add(1, Ordering::Relaxed);
        let comma = if more.is_empty() { "" } else { ", " };
        let customer = &self.customer;
        let adjust =
            format!("topup.adjust('a{number}', 'USD', {amount}, '{reason}', '{customer}'{comma}{more}");
        call(&self.app, &format!("{adjust})")).await
    }

    /// Credit as a grant that lasts so long, such as `1 hour`.
    pub async fn grant(&self, amount: &str, reason: &str, lasts: &str) {
        let more = format!("expires_at => clock_timestamp() + interval '{lasts}'");
        assert_eq!(self.adjust(amount, reason, &more).await["code"], 1000, "{amount}");
    }

    /// A hold that lasts so long.
    pub async fn hold(&self, amount: &str, lasts: &str) -> Value {
        let customer = &self.customer;
        let ends = format!("clock_timestamp() + interval '{lasts}'");
        call(&self.app, &format!("topup.hold('{customer}', 'USD', {amount}, {ends})")).await
    }

    /// The id of a hold that must succeed.
    pub async fn held(&self, amount: &str, lasts: &str) -> String {
        let reply = self.hold(amount, lasts).await;
        assert_eq!(reply["code"], 1000, "{reply}");
        reply["data"]["id"].as_str().unwrap().to_owned()
    }

    /// A product with a price of 0.05 dollars for an event `call`, and the customer subscribed to it since the new year.
    pub async fn sell_calls(&self) {
        let prices = r#"[{"name":"Calls","type":"usage_based","billing_model":{"type":"real_time"},
            "usage_calculation":{"event_type":"call","usage_type":"unit"},
            "pricing":[{"asset":"USD","values":[{"unit_price":0.05}]}]}]"#;
        self.sell(prices).await;
    }

    /// A product with these prices, and the customer subscribed to it since the new year.
    pub async fn sell(&self, prices: &str) {
        let products = r#"[{"code":"calls"}]"#;
        for step in [
            format!("topup.product_create('Calls', 'calls', '{prices}', publish => true)"),
            format!(
                "topup.subscription_create('{}', '{products}', starts_at => '2026-01-01')",
                self.customer
            ),
        ] {
            let reply = call(&self.app, &step).await;
            assert_eq!(reply["code"], 1000, "{step}: {reply}");
        }
    }

    /// What each grant has to spend, oldest first, as text.
    pub async fn grants(&self) -> Vec<String> {
        let listed = call(&self.app, &format!("topup.grant_list('{}')", self.customer)).await;
        assert_eq!(listed["code"], 1000, "{listed}");
        let items = listed["data"]["items"].as_array().unwrap();
        items.iter().rev().map(|item| item["available"].to_string()).collect()
    }

    /// What the customer can spend, as the view shows it.
    pub async fn balance(&self) -> String {
        let query = "select trim_scale(balance)::text from topup.accounts where kind = 'customer' and name = 'default'";
        self.admin.query_one(query, &[]).await.unwrap().get(0)
    }

    /// The sum of the entries of a system account.
    pub async fn total(&self, kind: &str) -> String {
        let query = "select trim_scale(coalesce(sum(e.amount), 0))::text
                       from topup.accounts a join topup.entries e using (tenant_id, account_id)
                      where a.kind = $1 and a.environment = 'staging' and a.asset = 'USD'";
        self.admin.query_one(query, &[&kind]).await.unwrap().get(0)
    }
}
