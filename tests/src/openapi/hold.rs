//! What the OpenAPI test calls of holds and grants.

use crate::openapi::document::Recorder;
use crate::support::Reply;
use reqwest::Method;
use serde_json::{Value, json};

impl Recorder {
    pub async fn holds(&mut self) {
        let made = self.ask(Method::POST, "/customers", &[], Some(json!({"name": "Holder"}))).await;
        let customer = made.expect_status(201).json["id"].as_str().unwrap().to_owned();
        let gift = json!({"transaction_id": "holder", "asset": "USD", "amount": 10, "reason": "gift", "account_name": "claude",
                          "expires_at": "2090-01-01T00:00:00Z"});
        let path = "/customers/{customer_id}/wallet/adjustments";
        self.ask(Method::POST, path, &[("customer_id", &customer)], Some(gift)).await.expect_status(201);
        let ids =
            |hold| [("customer_id", customer.as_str()), ("account_id", "claude%3AUSD"), ("hold_id", hold)];
        let soon =
            jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap().to_string();
        let body = json!({"asset": "USD", "amount": 2.5, "expires_at": soon, "account_name": "claude",
            "transaction_id": "call-1", "description": "A call", "metadata": {"a": 1}});
        let wallet = |rest: &str| format!("/customers/{{customer_id}}/wallet{rest}");
        let first =
            self.ask(Method::POST, &wallet("/holds"), &ids(""), Some(body.clone())).await.expect_status(201);
        let mut second = body;
        second["transaction_id"] = Value::Null;
        let second =
            self.ask(Method::POST, &wallet("/holds"), &ids(""), Some(second)).await.expect_status(201);
        let id = |hold: &Reply| hold.json["id"].as_str().unwrap().to_owned();
        let (first, second) = (id(&first), id(&second));
        self.ask(Method::GET, &wallet("/holds/{hold_id}"), &ids(&first), None).await.expect_status(200);
        let used = json!({"amount": 2.75, "allow_over": true, "description": "More"});
        self.ask(Method::POST, &wallet("/holds/{hold_id}/settle"), &ids(&first), Some(used.clone()))
            .await
            .expect_status(200);
        self.ask(Method::POST, &wallet("/holds/{hold_id}/release"), &ids(&second), Some(json!({})))
            .await
            .expect_status(200);
        self.ask(Method::POST, &wallet("/holds/{hold_id}/settle"), &ids(&second), Some(used))
            .await
            .expect_status(409);
        self.ask(Method::GET, &wallet("/holds/{hold_id}"), &ids("none"), None).await.expect_status(404);
        self.ask(Method::POST, &wallet("/holds"), &ids(""), Some(json!({}))).await.expect_status(422);
        self.ask(Method::GET, &wallet("/{account_id}/grants"), &ids(""), None).await.expect_status(200);
    }
}
