//! A database, a gateway in front of it, and a client with the staging key of a new tenant.

use super::client::{Client, Reply};
use super::database::Database;
use super::gateway::Gateway;
use serde_json::{Value, json};

/// What most tests of the gateway begin with. Its fields are dropped in this order:
/// the gateway before its database.
pub struct Shop {
    pub client: Client,
    pub key: String,
    pub gateway: Gateway,
    pub database: Database,
}

impl Shop {
    pub async fn open() -> Shop {
        Shop::open_with(&["--allow-private-webhooks"]).await
    }

    /// One whose gateway has exactly these flags.
    pub async fn open_with(flags: &[&str]) -> Shop {
        let database = Database::new().await;
        let key = database.staging_key().await;
        let gateway = Gateway::start_with(&database, flags).await;
        Shop { client: gateway.client(&key), key, gateway, database }
    }

    /// Sends a top-up of 1000 cents to Claude, as a voucher.
    pub async fn send(&self) -> Reply {
        self.client.post("/topup/send", json!({"platform": "claude", "amount_cents": 1000})).await
    }

    /// Sends one that stays pending.
    pub async fn send_pending(&self) -> Reply {
        let to = "ann+pending@example.com";
        let request = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": to});
        self.client.post("/topup/send", request).await
    }

    pub async fn balance_cents(&self) -> i64 {
        self.client.get("/topup/balance").await.expect(200, 1000).data()["balance_cents"].as_i64().unwrap()
    }

    /// The rows of `topup.operations()` that HTTP reaches, each as an object.
    pub async fn operations(&self) -> Vec<Value> {
        let query = "select to_jsonb(o) from topup.operations() o where path is not null";
        let rows = self.database.admin().await.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}
