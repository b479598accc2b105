//! What the OpenAPI test calls of funding.

use crate::openapi::document::Recorder;
use reqwest::Method;
use serde_json::{Value, json};

impl Recorder {
    /// Calls an operation of the account's billing.
    async fn bill(
        &mut self,
        method: Method,
        rest: &str,
        account: &str,
        request: Option<Value>,
        status: u16,
    ) -> Value {
        let path = format!("/client/v4/accounts/{{account_id}}/ai-gateway/billing{rest}");
        self.ask(method, &path, &[("account_id", account)], request).await.expect_status(status).json
    }

    pub async fn funding(&mut self) {
        let context = self.ask(Method::GET, "/accounts/self", &[], None).await.expect_status(200).json;
        let account = context["account_id"].as_str().unwrap();
        let made = self.bill(Method::POST, "/topup", account, Some(json!({"amount": 1000})), 200).await;
        let id = json!({"payment_intent_id": made["result"]["payment_intent_id"]});
        self.bill(Method::POST, "/topup/status", account, Some(id), 200).await;
        let config = json!({"amount": 1000, "threshold": 500});
        self.bill(Method::POST, "/topup/config", account, Some(config), 200).await;
        for rest in ["/topup/config", "/credit-balance", "/invoice-history", "/invoice-preview"] {
            self.bill(Method::GET, rest, account, None, 200).await;
        }
        self.bill(Method::DELETE, "/topup/config", account, None, 200).await;
        self.bill(Method::GET, "/payment-methods", account, None, 200).await;
        self.bill(Method::POST, "/payment-methods", account, Some(json!({"amount": 1000})), 200).await;
        let card = "insert into topup.payment_method (tenant_id, environment, method_id, provider, provider_customer_id,
                                                      provider_method_id)
                    select tenant_id, environment, topup.new_id(), 'test', 'cus_1', 'pm_card_visa'
                      from topup.tenant_environment where environment = 'staging'";
        self.admin.batch_execute(card).await.unwrap();
        let path = "/client/v4/accounts/{account_id}/ai-gateway/billing/payment-methods/{payment_method_id}";
        let ids = [("account_id", account), ("payment_method_id", "pm_card_visa")];
        self.ask(Method::DELETE, path, &ids, None).await.expect_status(200);
        let limit = json!({"amount": 100_000_000, "duration": "weekly", "strategy": "sliding"});
        self.bill(Method::POST, "/spending-limit", account, Some(limit), 200).await;
        self.bill(Method::GET, "/spending-limit", account, None, 200).await;
        self.bill(Method::DELETE, "/spending-limit", account, None, 200).await;
        self.bill(Method::POST, "/topup", account, Some(json!({"amount": 1})), 422).await;
        self.bill(Method::POST, "/topup", account, Some(json!({"amount": "x"})), 400).await;
        self.bill(Method::GET, "/credit-balance", "acct_x", None, 404).await;
        let usage = "/client/v4/accounts/{account_id}/ai-gateway/billing/usage-history";
        let path = format!("{}?value_grouping_window=hour", usage.replace("{account_id}", account));
        let reply = self.client.at_root().get(&path).await.expect_status(200);
        self.keep(&Method::GET, usage, None, &reply);
    }
}
