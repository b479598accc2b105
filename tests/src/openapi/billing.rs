//! What the OpenAPI test calls of products, subscriptions and usage.

use crate::openapi::document::Recorder;
use crate::support::{LIMIT, wait_until};
use reqwest::Method;
use serde_json::{Value, json};

/// A price in tiers and dimensions, and one that is collected each month.
fn prices() -> Value {
    json!([
        {"name": "Tokens", "type": "usage_based", "billing_model": {"type": "real_time"},
         "usage_calculation": {"event_type": "chat", "usage_type": "unit_and_volume", "volume_field": "tokens",
                               "billable_dimensions": ["model"]},
         "pricing": [{"asset": "USD", "values": [
             {"dimensions": {"model": "*"}, "values": [{"unit_price": 0.1, "volume_rate": 1.5, "package_size": 1000}]}]}]},
        {"name": "Calls", "type": "usage_based", "billing_model": {"type": "real_time"}, "pricing_model": "tiered",
         "tiering": {"basis": "unit", "period": "monthly"},
         "usage_calculation": {"event_type": "call", "usage_type": "unit"},
         "pricing": [{"asset": "USD", "values": [{"up_to": 10, "unit_price": 1}, {"unit_price": 0.5, "max_amount": 3}]}]},
        {"name": "Monthly", "type": "fixed",
         "billing_model": {"type": "recurring", "recurring": {"interval": "month", "interval_count": 1}},
         "collection": {"type": "balance", "timing": "in_advance"},
         "pricing": [{"asset": "USD", "values": [{"unit_price": 0.5, "quantity": 2}]}]}])
}

fn entitlements() -> Value {
    json!([{"name": "Welcome", "asset": "EUR", "amount": 5, "purpose": "promotion", "priority": 1,
            "lifecycle": {"duration": "month", "duration_count": 1, "refresh": {"strategy": "rollover"}}}])
}

fn event(id: &str, event_type: &str) -> Value {
    json!({"id": id, "event_type": event_type, "occurred_at": "2026-01-05T00:00:00Z", "subject": "s", "description": "d",
           "data": {"model": "large", "tokens": 1234.5}})
}

impl Recorder {
    pub async fn billing(&mut self) {
        let product =
            json!({"name": "Chat", "code": "chat", "prices": prices(), "entitlements": entitlements()});
        let made = self.ask(Method::POST, "/products", &[], Some(product.clone())).await.expect_status(201);
        let product_id = made.json["id"].as_str().unwrap().to_owned();
        self.ask(Method::POST, "/products", &[], Some(product)).await.expect_status(409);
        self.ask(Method::POST, "/products", &[], Some(json!({"name": "x"}))).await.expect_status(422);
        self.versions(&product_id).await;
        self.subscriptions(&product_id).await;
        self.usage().await;
    }

    async fn versions(&mut self, product_id: &str) {
        let ids = |version| [("product_id", product_id), ("version", version)];
        let (product, version) = ("/products/{product_id}", "/products/{product_id}/{version}");
        let publish = Some(json!({"publish": true, "make_default": true}));
        self.ask(Method::PATCH, version, &ids("1"), publish).await.expect_status(204);
        let second = Some(json!({"prices": prices(), "publish": true}));
        self.ask(Method::POST, product, &ids(""), second).await.expect_status(201);
        self.ask(Method::GET, version, &ids("1"), None).await.expect_status(200);
        self.ask(Method::DELETE, version, &ids("2"), None).await.expect_status(204);
        self.ask(Method::DELETE, version, &ids("1"), None).await.expect_status(409);
        self.ask(Method::GET, "/products", &[], None).await.expect_status(200);
        self.ask(Method::GET, product, &ids(""), None).await.expect_status(200);
        let events =
            Some(json!({"events": [event("s-1", "chat"), event("s-2", "call"), event("s-3", "nothing")]}));
        let path = "/products/{product_id}/{version}/simulate-usage";
        self.ask(Method::POST, path, &ids("1"), events).await.expect_status(200);
    }

    async fn subscriptions(&mut self, product_id: &str) {
        let customer = json!({"name": "Subscriber", "external_id": "subscriber",
                              "subscriptions": [{"products": [{"code": "chat", "version": 1}]}]});
        let customer = self.ask(Method::POST, "/customers", &[], Some(customer)).await.expect_status(201);
        let id = customer.json["id"].as_str().unwrap().to_owned();
        self.collection("action_required").await;
        let credit = json!({"transaction_id": "subscriber", "asset": "USD", "amount": 10, "reason": "gift"});
        let customers = [("customer_id", id.as_str())];
        let path = "/customers/{customer_id}/wallet/adjustments";
        self.ask(Method::POST, path, &customers, Some(credit)).await.expect_status(201);
        self.collection("active").await;
        let wanted = json!({"products": [{"id": product_id, "version": "default"}], "starts_at": "2026-01-01T00:00:00Z",
                            "return_url": "https://example.com", "failure_url": "https://example.com"});
        let path = "/customers/{customer_id}/subscriptions";
        let made = self.ask(Method::POST, path, &customers, Some(wanted)).await.expect_status(201);
        let ids = [
            ("customer_id", id.as_str()),
            ("subscription_id", made.json["id"].as_str().unwrap()),
            ("product_id", product_id),
        ];
        let product = "/customers/{customer_id}/subscriptions/{subscription_id}/products/{product_id}";
        self.ask(Method::PATCH, product, &ids, Some(json!({"version": "default"}))).await.expect_status(204);
        let path = "/customers/{customer_id}/subscriptions/{subscription_id}";
        self.ask(Method::PATCH, path, &ids, Some(json!({"status": "active"}))).await.expect_status(204);
        self.collection("active").await;
        self.ask(Method::GET, "/products/{product_id}/subscribers", &ids, None).await.expect_status(200);
        self.ask(Method::GET, "/customers/{customer_id}", &customers, None).await.expect_status(200);
        self.ask(Method::DELETE, "/products/{product_id}", &ids, None).await.expect_status(409);
        let other = json!({"name": "Nobody's", "code": "nobodys", "prices": prices()});
        let other = self.ask(Method::POST, "/products", &[], Some(other)).await.expect_status(201);
        let other = [("product_id", other.json["id"].as_str().unwrap())];
        self.ask(Method::DELETE, "/products/{product_id}", &other, None).await.expect_status(204);
    }

    /// Waits for how the collection of all subscriptions ends, so that it comes neither before what pays for it nor after
    /// what uses that up. A minute until one is tried again passes at once.
    async fn collection(&self, status: &str) {
        let pass = "update topup.subscription set due_at = clock_timestamp()
                     where status = 'action_required' and due_at > clock_timestamp() + interval '10 seconds'";
        let open =
            "select count(*) from topup.subscription where status <> $1 or due_at <= clock_timestamp()";
        wait_until(LIMIT, "subscriptions are collected", async || {
            if status == "active" {
                self.admin.batch_execute(pass).await.unwrap();
            }
            (self.admin.query_one(open, &[&status]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
        })
        .await;
    }

    async fn usage(&mut self) {
        let batch = json!({"customer_external_id": "subscriber", "events": [event("u-1", "chat"), event("u-2", "call")]});
        self.ask(Method::POST, "/events", &[], Some(batch)).await.expect_status(204);
        let none = json!({"customer_external_id": "subscriber", "events": []});
        self.ask(Method::POST, "/events", &[], Some(none)).await.expect_status(422);
        let listed = self.ask(Method::GET, "/events", &[], None).await.expect_status(200);
        assert_eq!(listed.json["total_count"], 2);
        self.ask(Method::GET, "/events/{event_id}", &[("event_id", "u-1")], None).await.expect_status(200);
        self.ask(Method::GET, "/events/{event_id}", &[("event_id", "u-9")], None).await.expect_status(404);
    }
}
