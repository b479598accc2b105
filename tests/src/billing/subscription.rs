//! Subscriptions: what a customer has when, what it pays for it, and what it gets with it.

use crate::support::{Database, Shop, call};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;

/// A customer of the app's tenant, made by a send.
pub async fn customer(app: &Client, database: &Database, email: &str) -> String {
    let send = format!("topup.send('claude', 100, '{email}')");
    assert_eq!(call(app, &send).await["code"], 1001);
    let query = "select customer_id from topup.customers where email = $1";
    database.admin().await.query_one(query, &[&email]).await.unwrap().get(0)
}

/// A usage price of one dollar for each event of a type.
pub fn unit_price(event_type: &str, dollars: &str) -> String {
    format!(
        r#"{{"name":"{event_type}","type":"usage_based","billing_model":{{"type":"real_time"}},
             "usage_calculation":{{"event_type":"{event_type}","usage_type":"unit"}},
             "pricing":[{{"asset":"USD","values":[{{"unit_price":{dollars}}}]}}]}}"#
    )
}

fn monthly(dollars: &str) -> String {
    format!(
        r#"{{"name":"Monthly","type":"fixed","billing_model":{{"type":"recurring","recurring":{{"interval":"month"}}}},
             "pricing":[{{"asset":"USD","values":[{{"unit_price":{dollars}}}]}}]}}"#
    )
}

/// A tenant with a customer.
pub struct Plan {
    pub app: Client,
    pub admin: Client,
    pub customer: String,
    pub database: Database,
}

impl Plan {
    pub async fn open() -> Plan {
        let database = Database::new().await;
        let key = database.staging_key().await;
        let app = database.app(&key).await;
        let customer = customer(&app, &database, "ann@example.com").await;
        Plan { app, admin: database.admin().await, customer, database }
    }

    /// A published product.
    pub async fn product(&self, code: &str, prices: &str, entitlements: &str) -> String {
        let query = format!(
            "topup.product_create('{code}', '{code}', '{prices}', entitlements => '{entitlements}', publish => true)"
        );
        let made = call(&self.app, &query).await;
        made["data"]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// Subscribes the customer; `options` are further named arguments.
    pub async fn subscribe(&self, code: &str, options: &str) -> Value {
        let comma = if options.is_empty() { "" } else { ", " };
        let products = format!(r#"[{{"code":"{code}"}}]"#);
        let query = format!("topup.subscription_create('{}', '{products}'{comma}{options})", self.customer);
        call(&self.app, &query).await
    }

    pub async fn credit(&self, id: &str, dollars: &str) {
        let adjust = format!("topup.adjust('{id}', 'USD', {dollars}, 'other', '{}')", self.customer);
        assert_eq!(call(&self.app, &adjust).await["code"], 1000);
    }

    /// The customer's default account.
    pub async fn balance(&self, asset: &str) -> String {
        let query = "select trim_scale(balance)::text from topup.accounts
                      where customer_id = $1 and name = 'default' and asset = $2";
        self.admin.query_one(query, &[&self.customer, &asset]).await.unwrap().get(0)
    }

    /// As if that much time had passed for every subscription.
    pub async fn pass(&self, interval: &str) {
        let set = format!(
            "update topup.subscription set starts_at = starts_at - interval '{interval}',
                    due_at = due_at - interval '{interval}', first_renews_at = first_renews_at - interval '{interval}';
             update topup.subscription_product set valid_from = valid_from - interval '{interval}',
                    valid_to = valid_to - interval '{interval}';
             update topup.subscription_item set anchor = anchor - interval '{interval}',
                    next_at = next_at - interval '{interval}'"
        );
        self.admin.batch_execute(&set).await.unwrap();
    }

    /// The worker's part.
    pub async fn run_due(&self) {
        while self.admin.query_one("select topup.run_due(10)", &[]).await.unwrap().get::<_, i32>(0) > 0 {}
    }

    pub async fn status(&self) -> String {
        self.admin.query_one("select status from topup.subscription", &[]).await.unwrap().get(0)
    }

    pub async fn usage(&self, events: Value) -> Value {
        let query = "select topup.record_usage($1, $2)";
        self.app.query_one(query, &[&self.customer, &events]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn usage_costs_what_held_when_it_occurred() {
    let plan = Plan::open().await;
    let product = plan.product("chat", &format!("[{}]", unit_price("chat", "1")), "[]").await;
    let made = plan.subscribe("chat", "starts_at => '2026-01-01T00:00:00Z'").await;
    let subscription = made["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made["data"]["status"], &made["data"]["started_at"]),
        (&json!("active"), &json!("2026-01-01T00:00:00.000Z"))
    );
    let second = format!(
        "topup.product_version_create('{product}', '[{}]', publish => true)",
        unit_price("chat", "10")
    );
    assert_eq!(call(&plan.app, &second).await["data"]["version"], 2);
    let change =
        format!("topup.subscription_product_update('{}', '{subscription}', '{product}', 2)", plan.customer);
    assert_eq!(call(&plan.app, &change).await["code"], 1000);
    let now: String = plan
        .admin
        .query_one("select topup.rfc3339(clock_timestamp() + interval '1 ms')", &[])
        .await
        .unwrap()
        .get(0);
    let event = |id: &str, at: &str| json!({"id": id, "event_type": "chat", "occurred_at": at});
    let events =
        json!([event("a", "2025-12-31T23:59:59.999Z"), event("b", "2026-01-01T00:00:00Z"), event("c", &now)]);
    let reply = plan.usage(events).await;
    assert_eq!(
        reply["data"],
        json!({"recorded": 3, "repeated": 0, "unpriced": 1, "fees": [{"asset": "USD", "amount": 11}]})
    );

    let end = format!("topup.subscription_update('{}', '{subscription}', 'inactive')", plan.customer);
    for _ in 0..2 {
        assert_eq!(call(&plan.app, &end).await["code"], 1000);
    }
    let later: String = plan
        .admin
        .query_one("select topup.rfc3339(clock_timestamp() + interval '1 ms')", &[])
        .await
        .unwrap()
        .get(0);
    let reply = plan.usage(json!([event("d", &later), event("e", "2026-01-02T00:00:00Z")])).await;
    assert_eq!(reply["data"]["fees"], json!([{"asset": "USD", "amount": 1}]));
    assert_eq!(plan.balance("USD").await, "-12");
    plan.database.check().await;
}

#[tokio::test]
async fn a_fixed_price_is_collected_at_the_start_and_at_each_renewal() {
    let plan = Plan::open().await;
    plan.product("pro", &format!("[{}]", monthly("20")), "[]").await;
    plan.credit("c1", "50").await;
    let made = plan.subscribe("pro", "").await;
    assert_eq!(made["data"]["status"], "active", "{made}");
    assert!(made["data"]["renews_at"].is_string());
    assert_eq!(plan.balance("USD").await, "30");
    plan.run_due().await;
    assert_eq!(plan.balance("USD").await, "30");
    plan.pass("1 month 1 day").await;
    plan.run_due().await;
    assert_eq!((plan.balance("USD").await.as_str(), plan.status().await.as_str()), ("10", "active"));
    plan.database.check().await;

    plan.pass("1 month").await;
    plan.run_due().await;
    assert_eq!((plan.balance("USD").await.as_str(), plan.status().await.as_str()), ("10", "action_required"));
    plan.credit("c2", "15").await;
    plan.pass("2 minutes").await;
    plan.run_due().await;
    assert_eq!((plan.balance("USD").await.as_str(), plan.status().await.as_str()), ("5", "active"));
    plan.database.check().await;
}

const TOKENS: &str = r#"{"name":"tokens","asset":"TOK","amount":1000.5,"purpose":"bundled",
    "lifecycle":{"duration":"month","refresh":{"strategy":"expire_and_replace"}}}"#;

async fn make_token(plan: &Plan) {
    let asset = "insert into topup.asset (tenant_id, environment, code, name, precision)
                 select tenant_id, environment, 'TOK', 'Token', 2 from topup.tenant_environment";
    plan.admin.batch_execute(asset).await.unwrap();
}

#[tokio::test]
async fn entitlements_come_when_the_price_is_paid() {
    let plan = Plan::open().await;
    make_token(&plan).await;
    plan.product("pro", &format!("[{}]", monthly("20")), &format!("[{TOKENS}]")).await;
    let made = plan.subscribe("pro", "return_url => 'https://example.com/pay'").await;
    assert_eq!(made["data"]["status"], "action_required");
    let action = json!([{"type": "payment", "redirect_url": "https://example.com/pay"}]);
    assert_eq!(made["data"]["required_actions"], action);
    assert_eq!(plan.balance("TOK").await, "0");
    plan.credit("c1", "20").await;
    plan.pass("2 minutes").await;
    plan.run_due().await;
    assert_eq!((plan.balance("USD").await.as_str(), plan.balance("TOK").await.as_str()), ("0", "1000.5"));
    plan.run_due().await;
    assert_eq!(plan.balance("TOK").await, "1000.5");
    plan.database.check().await;
}

#[tokio::test]
async fn a_subscription_may_start_later() {
    let plan = Plan::open().await;
    plan.product("pro", &format!("[{}]", monthly("20")), "[]").await;
    plan.credit("c1", "20").await;
    let made = plan.subscribe("pro", "starts_at => now() + interval '1 day'").await;
    assert_eq!((&made["data"]["status"], &made["data"]["started_at"]), (&json!("scheduled"), &Value::Null));
    plan.run_due().await;
    assert_eq!(plan.balance("USD").await, "20");
    plan.pass("25 hours").await;
    plan.run_due().await;
    assert_eq!((plan.balance("USD").await.as_str(), plan.status().await.as_str()), ("0", "active"));
    plan.database.check().await;
}

#[tokio::test]
async fn over_http_a_subscription_is_made_changed_and_ended() {
    let shop = Shop::open().await;
    let app = shop.database.app(&shop.key).await;
    let customer = customer(&app, &shop.database, "ann@example.com").await;
    let http = shop.client.at_root();
    let price: Value = serde_json::from_str(&unit_price("chat", "1")).unwrap();
    let product = http
        .post("/products", json!({"name": "Chat", "code": "chat", "prices": [price], "publish": true}))
        .await;
    assert_eq!(product.status, 201, "{}", product.text);
    let product = product.json["id"].as_str().unwrap().to_owned();
    let path = format!("/customers/{customer}/subscriptions");
    let made = http.post(&path, json!({"products": [{"code": "chat", "version": "default"}]})).await;
    assert_eq!((made.status, &made.json["status"]), (201, &json!("active")), "{}", made.text);
    let subscription = format!("{path}/{}", made.json["id"].as_str().unwrap());
    let patch = async |path: &str, body: Value| {
        let request = http.request(Method::PATCH, path).header("content-type", "application/json");
        http.send(request.body(body.to_string())).await
    };
    assert_eq!(http.delete(&format!("/products/{product}")).await.status, 409);
    let subscribers = http.get(&format!("/products/{product}/subscribers")).await;
    assert_eq!(
        (&subscribers.json["total_count"], &subscribers.json["items"][0]["version"]),
        (&json!(1), &json!(1))
    );
    let version = patch(&format!("{subscription}/products/{product}"), json!({"version": "default"})).await;
    assert_eq!((version.status, version.text.as_str()), (204, ""));
    let unknown = patch(&format!("{subscription}/products/{product}"), json!({"version": 7})).await;
    assert_eq!(unknown.status, 422, "{}", unknown.text);
    assert_eq!(unknown.json["errors"]["version"].as_array().unwrap().len(), 1);
    for status in ["inactive", "active", "inactive"] {
        assert_eq!(patch(&subscription, json!({"status": status})).await.status, 204, "{status}");
    }
    assert_eq!(http.delete(&format!("/products/{product}")).await.status, 204);
    assert_eq!(patch(&subscription, json!({"status": "active"})).await.status, 409);
    shop.database.check().await;
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_named() {
    let plan = Plan::open().await;
    plan.product("chat", &format!("[{}]", unit_price("chat", "1")), "[]").await;
    let draft = format!("topup.product_create('draft', 'draft', '[{}]')", unit_price("chat", "1"));
    assert_eq!(call(&plan.app, &draft).await["code"], 1000);
    let before = plan.database.contents().await;
    for (products, field) in [
        ("[]", "products"),
        (r#"[{}]"#, "products[0].id"),
        (r#"[{"code":"none"}]"#, "products[0].code"),
        (r#"[{"id":"prod_00000000000000000000000000"}]"#, "products[0].id"),
        (r#"[{"code":"draft"}]"#, "products[0].version"),
        (r#"[{"code":"chat","version":2}]"#, "products[0].version"),
        (r#"[{"code":"chat","version":"latest"}]"#, "products[0].version"),
        (r#"[{"code":"chat"},{"code":"chat"}]"#, "products[1]"),
    ] {
        let refused =
            call(&plan.app, &format!("topup.subscription_create('{}', '{products}')", plan.customer)).await;
        assert_eq!(
            (&refused["code"], &refused["data"]["field"]),
            (&json!(2000), &json!(field)),
            "{products}"
        );
    }
    assert!(plan.database.contents().await == before);
}
