//! The tenant's saved card: shown, replaced, removed, and given up where only its holder can use it.

use crate::support::{ASKS, LATER_DECLINED, LIMIT, Shop, VISA, call, form, wait_until};
use serde_json::{Value, json};

struct Billing {
    shop: Shop,
    path: String,
}

impl Billing {
    async fn open() -> Billing {
        let shop = Shop::open().await;
        let context = shop.client.at_root().get("/accounts/self").await.expect_status(200).json;
        let account = context["account_id"].as_str().unwrap();
        let path = format!("/client/v4/accounts/{account}/ai-gateway/billing");
        Billing { path, shop }
    }

    /// Begins a top-up: its id, and the secret of its checkout if it has one.
    async fn top_up(&self) -> (String, Option<String>) {
        let path = format!("{}/topup", self.path);
        let reply = self.shop.client.at_root().post(&path, json!({"amount": 1000})).await.expect_status(200);
        begun(&reply.json["result"])
    }

    /// Sends a form of a checkout's page.
    async fn submit(&self, secret: &str, fields: &[(&str, &str)]) -> u16 {
        let browser = self.shop.gateway.stranger().at_root();
        let request = browser.request(reqwest::Method::POST, &format!("/checkout/{secret}"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        browser.send(request.body(form(fields))).await.status
    }

    /// Pays a checkout and has the card saved; one that asks is confirmed.
    async fn pay(&self, secret: &str, number: &str) {
        let card =
            [("action", "pay"), ("number", number), ("exp", "12/34"), ("cvc", "123"), ("save_card", "1")];
        if self.submit(secret, &card).await == 200 {
            let method = ("method", "pm_card_authenticationRequired");
            let confirm = [("action", "confirm"), method, ("exp", "12/2034"), ("save_card", "1")];
            assert_eq!(self.submit(secret, &confirm).await, 303);
        }
    }

    /// What a top-up has come to: `completed`, or why it failed.
    async fn ended(&self, id: &str) -> String {
        let path = format!("{}/topup/status", self.path);
        let root = self.shop.client.at_root();
        wait_until(LIMIT, "the top-up has ended", async || {
            let reply = root.post(&path, json!({"payment_intent_id": id})).await;
            match reply.status {
                200 => Some("completed".to_owned()).filter(|_| reply.json["result"]["status"] == "completed"),
                _ => Some(reply.json["errors"][0]["message"].as_str().unwrap().to_owned()),
            }
        })
        .await
    }

    async fn cards(&self) -> Value {
        let path = format!("{}/payment-methods", self.path);
        let reply = self.shop.client.at_root().get(&path).await.expect_status(200);
        reply.json["result"]["payment_methods"].clone()
    }
}

fn begun(result: &Value) -> (String, Option<String>) {
    let text = |field: &str| result[field].as_str().map(str::to_owned);
    (text("payment_intent_id").unwrap(), text("client_secret"))
}

#[tokio::test]
async fn a_card_that_asks_for_its_holder_leads_to_a_checkout_until_another_is_saved() {
    let billing = Billing::open().await;
    let secret = billing.top_up().await.1.unwrap();
    billing.pay(&secret, ASKS).await;
    let (id, secret) = billing.top_up().await;
    assert_eq!(secret, None, "it is charged, and asks");
    let why = billing.ended(&id).await;
    assert!(why.contains("authentication") && why.contains("Another top-up opens a checkout."), "{why}");
    assert_eq!(billing.cards().await[0]["needs_attention"], true);
    for number in [ASKS, VISA] {
        let (id, secret) = billing.top_up().await;
        billing.pay(&secret.unwrap(), number).await;
        assert_eq!(billing.ended(&id).await, "completed");
        let (id, secret) = billing.top_up().await;
        assert_eq!(secret, None, "whoever has just paid with it is charged once more");
        assert_eq!(billing.ended(&id).await == "completed", number == VISA);
    }
    assert_eq!(billing.cards().await[0]["needs_attention"], false);
    billing.shop.database.check().await;
}

#[tokio::test]
async fn a_card_that_is_declined_three_times_in_a_row_leads_to_a_checkout() {
    let billing = Billing::open().await;
    let secret = billing.top_up().await.1.unwrap();
    billing.pay(&secret, LATER_DECLINED).await;
    for _ in 0..3 {
        let (id, secret) = billing.top_up().await;
        assert_eq!(secret, None);
        assert!(billing.ended(&id).await.contains("declined"));
    }
    let (id, secret) = billing.top_up().await;
    billing.pay(&secret.unwrap(), VISA).await;
    assert_eq!(billing.ended(&id).await, "completed");
    billing.shop.database.check().await;
}

#[tokio::test]
async fn a_tenant_lists_replaces_and_removes_its_card() {
    let billing = Billing::open().await;
    assert_eq!(billing.cards().await, json!([]));
    let secret = billing.top_up().await.1.unwrap();
    billing.pay(&secret, VISA).await;
    let shown = billing.cards().await;
    assert_eq!(
        shown,
        json!([{"id": "pm_card_visa", "type": "card", "brand": "visa", "last4": "4242", "exp_month": 12,
                "exp_year": 2034, "is_default": true, "needs_attention": false}])
    );
    let (root, path) = (billing.shop.client.at_root(), format!("{}/payment-methods", billing.path));
    for (amount, status) in [(999, 422), (100_000_000, 422)] {
        let refused = root.post(&path, json!({"amount": amount})).await;
        assert_eq!((refused.status, refused.header("x-should-retry")), (status, Some("false")));
    }
    let begun_anew = root.post(&path, json!({"amount": 2000})).await.expect_status(200);
    let (_, secret) = begun(&begun_anew.json["result"]);
    billing.pay(&secret.unwrap(), "5555555555554444").await;
    assert_eq!(billing.cards().await[0]["last4"], "4444");

    assert_eq!(root.delete(&format!("{path}/pm_card_none")).await.status, 404);
    for _ in 0..2 {
        root.delete(&format!("{path}/pm_card_mastercard")).await.expect_status(200);
        assert_eq!(billing.cards().await, json!([]));
    }
    assert!(billing.top_up().await.1.is_some(), "there is no card to charge");

    // The same in SQL.
    let app = billing.shop.database.app(&billing.shop.key).await;
    let replaced = call(&app, "topup.payment_method_replace(1000)").await;
    billing.pay(replaced["data"]["client_secret"].as_str().unwrap(), VISA).await;
    let listed = call(&app, "topup.payment_methods()").await;
    assert_eq!(listed["data"]["payment_methods"], shown);
    assert_eq!(call(&app, "topup.payment_method_remove('pm_card_visa')").await["code"], 1000);
    assert_eq!(call(&app, "topup.payment_methods()").await["data"]["payment_methods"], json!([]));
    billing.shop.database.check().await;
}
