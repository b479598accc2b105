//! A customer who pays on the checkout page, as a browser without JavaScript would send it.

use super::client::{Client, Reply};
use super::database::call;
use super::shop::Shop;
use super::till::Till;
use reqwest::Method;
use serde_json::{Value, json};

pub const VISA: &str = "4242 4242 4242 4242";
pub const DECLINED: &str = "4000000000000002";
pub const NO_FUNDS: &str = "4000000000009995";
pub const ASKS: &str = "4000002760003184";
/// Pays and is saved, but is declined when nobody is there.
pub const LATER_DECLINED: &str = "4000000000000341";

/// Its fields are dropped in this order.
pub struct Payer {
    /// Without a key.
    pub browser: Client,
    pub till: Till,
}

/// A top-up that was begun, and the token of its checkout.
#[derive(Clone, Debug)]
pub struct TopUp {
    pub id: String,
    pub token: String,
}

impl Payer {
    pub async fn open() -> Payer {
        Payer::at(Till::open().await)
    }

    /// One whose gateway has exactly these flags, and whose staging payments go to Stripe.
    pub async fn open_with(shop: Shop) -> Payer {
        let root = shop.client.at_root();
        let made = root.post("/customers", json!({"name": "Ann", "email": "ann@example.com"})).await;
        let customer = made.expect_status(201).json["id"].as_str().unwrap().to_owned();
        Payer::at(Till { root, customer, shop })
    }

    fn at(till: Till) -> Payer {
        Payer { browser: till.shop.gateway.stranger().at_root(), till }
    }

    /// Begins a top-up of the customer; `more` are further fields.
    pub async fn top_up(&self, amount: &str, more: Value) -> TopUp {
        let mut body = json!({"customer_id": self.till.customer, "amount": 0, "currency": "USD",
            "return_url": "https://shop.example/ok?a=1", "failure_url": "https://shop.example/no"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = body.to_string().replacen("\"amount\":0", &format!("\"amount\":{amount}"), 1);
        let made = self.till.root.post_text("/top-ups", body).await.expect_status(201);
        let text = |field: &str| made.json[field].as_str().unwrap().to_owned();
        let token = text("redirect_url").rsplit_once("/checkout/").unwrap().1.to_owned();
        TopUp { id: text("id"), token }
    }

    /// What the page shows; `query` begins with a question mark or is empty.
    pub async fn look(&self, top_up: &TopUp, query: &str) -> Reply {
        self.browser.get(&format!("/checkout/{}{query}", top_up.token)).await
    }

    pub async fn submit(&self, top_up: &TopUp, fields: &[(&str, &str)]) -> Reply {
        let request = self.browser.request(Method::POST, &format!("/checkout/{}", top_up.token));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.browser.send(request.body(form(fields))).await
    }

    /// Types a card and presses Pay; `more` are further fields.
    pub async fn pay(&self, top_up: &TopUp, number: &str, more: &[(&str, &str)]) -> Reply {
        let card = [("action", "pay"), ("number", number), ("exp", "12/34"), ("cvc", "123")];
        self.submit(top_up, &[&card, more].concat()).await
    }

    /// Pays, and leaves the card for later.
    pub async fn save_card(&self, number: &str) {
        let top_up = self.top_up("5", json!({})).await;
        self.pay(&top_up, number, &[("save_card", "1")]).await.expect_status(303);
        assert_eq!(self.status(&top_up).await, "succeeded");
    }

    pub async fn status(&self, top_up: &TopUp) -> String {
        let seen = self.till.root.get(&format!("/top-ups/{}", top_up.id)).await.expect_status(200);
        seen.json["status"].as_str().unwrap().to_owned()
    }

    /// What the customer has of an asset, as digits; nothing where there is no such account.
    pub async fn available(&self, asset: &str) -> Option<String> {
        let reply = self.till.get(&format!("/default%3A{asset}")).await;
        (reply.status == 200).then(|| super::till::digits(&reply.text, "available"))
    }

    /// Makes a card the payer's saved one.
    pub async fn know_card(&self, provider: &str, provider_customer_id: &str, provider_method_id: &str) {
        let know = format!(
            "with old as (update topup.payment_method set replaced_at = clock_timestamp() where replaced_at is null returning 1)
             select count(*) from old;
             insert into topup.payment_method (tenant_id, environment, method_id, customer_id, provider, provider_customer_id,
                    provider_method_id, brand, last4)
             select tenant_id, environment, topup.new_id(), customer_id, '{provider}', '{provider_customer_id}',
                    '{provider_method_id}', 'visa', '4242' from topup.customer"
        );
        self.sql(&know).await;
    }

    /// A charge of the customer's saved card, as auto top-up would start it.
    pub async fn charge_saved_card(&self, amount: &str) -> TopUp {
        let charge = format!(
            "insert into topup.payment (tenant_id, environment, payment_id, customer_id, account_id, account_name, asset,
                    currency, amount, credit, exchange_rate, method, origin, status, provider, method_id, due_at)
             select m.tenant_id, m.environment, topup.new_id(), m.customer_id,
                    topup.customer_account_id(m.customer_id, 'default', 'USD'), 'default', 'USD', 'USD', {amount}, {amount}, 1,
                    'off_session', 'manual', 'pending', m.provider, m.method_id, clock_timestamp()
               from topup.payment_method m where m.replaced_at is null
             returning topup.format_id('top', payment_id)"
        );
        let admin = self.till.shop.database.admin().await;
        let id = admin.query_one(&charge, &[]).await.unwrap().get(0);
        TopUp { id, token: String::new() }
    }

    /// Runs a statement as the superuser.
    pub async fn sql(&self, statement: &str) {
        self.till.shop.database.admin().await.batch_execute(statement).await.unwrap();
    }

    /// The result of one SQL expression, for the superuser.
    pub async fn ask(&self, expression: &str) -> Value {
        call(&self.till.shop.database.admin().await, &format!("to_jsonb({expression})")).await
    }
}

/// Fields as a form sends them.
pub fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => char::from(byte).to_string(),
            b' ' => "+".to_owned(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}
