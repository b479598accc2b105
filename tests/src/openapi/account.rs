//! What the OpenAPI test calls of assets, customers, wallets and statements.

use crate::openapi::document::Recorder;
use crate::support::Reply;
use reqwest::Method;
use serde_json::{Value, json};

impl Recorder {
    /// Calls an operation at the root; each name in the path's braces is one of `ids`.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        ids: &[(&str, &str)],
        request: Option<Value>,
    ) -> Reply {
        let filled =
            ids.iter().fold(path.to_owned(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id));
        let root = self.client.at_root();
        let mut call = root.request(method.clone(), &filled);
        if let Some(request) = &request {
            call = call.header("content-type", "application/json").body(request.to_string());
        }
        let reply = root.send(call).await;
        self.keep(&method, path, request, &reply);
        reply
    }

    pub async fn accounts(&mut self) {
        let context = self.ask(Method::GET, "/accounts/self", &[], None).await.expect_status(200);
        assert_eq!(context.json["environment"], "test");
        self.assets().await;
        let customer = json!({"name": "Ann", "external_id": "a-1", "email": "wallet@example.com", "metadata": {"a": "1"},
            "subscriptions": [], "external_accounts": [{"provider": "stripe", "provider_id": "cus_1"}]});
        let made = self.ask(Method::POST, "/customers", &[], Some(customer)).await.expect_status(201);
        let id = made.json["id"].as_str().unwrap().to_owned();
        let ids = [
            ("customer_id", id.as_str()),
            ("account_id", "default%3AUSD"),
            ("charge_id", "c"),
            ("transaction_id", "c"),
        ];
        self.ask(Method::GET, "/customers", &[], None).await.expect_status(200);
        let update = Some(json!({"name": "Anne"}));
        self.ask(Method::PATCH, "/customers/{customer_id}", &ids, update).await.expect_status(204);
        self.ask(Method::GET, "/customers/{customer_id}", &ids, None).await.expect_status(200);
        self.wallet(&ids).await;
        self.ask(Method::GET, "/customers/{customer_id}", &[("customer_id", "x")], None)
            .await
            .expect_status(404);
        self.ask(Method::POST, "/customers", &[], Some(json!({}))).await.expect_status(422);
    }

    async fn assets(&mut self) {
        let asset = json!({"code": "TOK", "name": "Tokens", "precision": 0, "label": "tokens", "symbol": "T",
            "rates": [{"source": "USD", "rate": 0.1}]});
        let code = [("code", "TOK")];
        self.ask(Method::POST, "/assets", &[], Some(asset)).await.expect_status(201);
        let rate =
            json!({"source": "USD", "rate": 0.2, "valid_from": "2090-01-01T00:00:00Z", "valid_to": null});
        self.ask(Method::POST, "/assets/{code}/rates", &code, Some(rate)).await.expect_status(204);
        let quote = json!({"source": "USD", "amount": 1, "exchange_at": "2091-01-01T00:00:00Z"});
        self.ask(Method::POST, "/assets/{code}/quote", &code, Some(quote)).await.expect_status(200);
        self.ask(Method::GET, "/assets", &[], None).await.expect_status(200);
        self.ask(Method::GET, "/assets/{code}", &code, None).await.expect_status(200);
    }

    async fn wallet(&mut self, ids: &[(&str, &str)]) {
        let wallet = |rest: &str| format!("/customers/{{customer_id}}/wallet{rest}");
        let adjust = json!({"transaction_id": "g", "asset": "USD", "amount": 10, "reason": "gift", "account_name": null,
            "expires_at": "2090-01-01T00:00:00Z", "metadata": {"a": 1}});
        self.ask(Method::POST, &wallet("/adjustments"), ids, Some(adjust)).await.expect_status(201);
        let charge = json!({"transaction_id": "c", "asset": "USD", "amount": 2.5, "input_units": 5, "metadata": {"b": "2"}});
        self.ask(Method::POST, &wallet("/charges"), ids, Some(charge)).await.expect_status(201);
        let refund = Some(json!({"amount": 1, "transaction_id": "r"}));
        self.ask(Method::POST, &wallet("/charges/{charge_id}/refund"), ids, refund).await.expect_status(201);
        for rest in [
            "",
            "/{account_id}",
            "/transactions/{transaction_id}",
            "/{account_id}/statement",
            "/{account_id}/statement.csv",
        ] {
            self.ask(Method::GET, &wallet(rest), ids, None).await.expect_status(200);
        }
    }
}
