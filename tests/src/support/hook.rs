//! Webhook endpoints of a test, and the delivery log.

use super::client::Client;
use super::wait::{LIMIT, wait_until};
use serde_json::{Value, json};

/// A registered endpoint.
pub struct Hook {
    pub id: String,
    pub secret: String,
}

impl Hook {
    /// One that is told everything, by the default schedule.
    pub async fn register(client: &Client, url: &str) -> Hook {
        Hook::register_with(client, json!({"url": url})).await
    }

    pub async fn register_with(client: &Client, request: Value) -> Hook {
        let reply = client.post("/webhooks/register", request).await.expect(200, 1000);
        let text = |field: &str| reply.data()[field].as_str().unwrap().to_owned();
        Hook { id: text("id"), secret: text("secret") }
    }
}

/// A page of the delivery log, newest first; `query` is empty or such as `?status=failed`.
pub async fn deliveries(client: &Client, query: &str) -> Vec<Value> {
    let page = client.get(&format!("/webhooks/deliveries{query}")).await.expect(200, 1000);
    page.data()["deliveries"].as_array().unwrap().clone()
}

/// The first page of the delivery log, as soon as it holds `count` deliveries of this status.
pub async fn wait_for_deliveries(client: &Client, status: &str, count: usize) -> Vec<Value> {
    let what = format!("{count} deliveries {status}");
    wait_until(LIMIT, &what, async || {
        let log = deliveries(client, "").await;
        (log.iter().filter(|delivery| delivery["status"] == status).count() >= count).then_some(log)
    })
    .await
}
