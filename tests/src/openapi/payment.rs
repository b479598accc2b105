//! What the OpenAPI test calls of payments.

use crate::openapi::document::Recorder;
use reqwest::Method;
use serde_json::json;

impl Recorder {
    pub async fn payments(&mut self) {
        let made = self.ask(Method::POST, "/customers", &[], Some(json!({"name": "Payer"}))).await;
        let customer = made.expect_status(201).json["id"].as_str().unwrap().to_owned();
        let body = json!({"customer_id": customer, "amount": 25.5, "currency": "USD", "description": "Credits",
            "destination": {"account_name": "ai", "asset": "EUR", "exchange_rate": 0.9}, "credit_expires_at": "2090-01-01T00:00:00Z",
            "return_url": "https://shop.example/ok", "failure_url": "https://shop.example/no", "metadata": {"order": "17"}});
        let begun = self.ask(Method::POST, "/top-ups", &[], Some(body)).await.expect_status(201);
        let id = begun.json["id"].as_str().unwrap().to_owned();
        self.ask(Method::GET, "/top-ups/{top_up_id}", &[("top_up_id", &id)], None).await.expect_status(200);
        self.ask(Method::GET, "/top-ups/{top_up_id}", &[("top_up_id", "none")], None)
            .await
            .expect_status(404);
        let refund = "/top-ups/{top_up_id}/refund";
        self.ask(Method::POST, refund, &[("top_up_id", &id)], Some(json!({}))).await.expect_status(409);
        let report = json!({"payment_id": id, "result": "succeeded"});
        let paid = "select topup.report_payment($1)";
        self.admin.execute(paid, &[&report]).await.unwrap();
        let part = json!({"amount": 5.5, "description": "Sorry"});
        self.ask(Method::POST, refund, &[("top_up_id", &id)], Some(part)).await.expect_status(201);
        self.ask(Method::POST, "/top-ups", &[], Some(json!({}))).await.expect_status(422);
        let session = json!({"customer_id": customer, "return_url": "https://shop.example", "failure_url": "https://shop.example"});
        self.ask(Method::POST, "/billing-portal/sessions", &[], Some(session)).await.expect_status(200);
        self.ask(Method::POST, "/billing-portal/sessions", &[], Some(json!({}))).await.expect_status(422);
    }
}
