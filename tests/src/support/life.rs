//! A tenant that used everything once, and how it is known again after its database has been restored or replicated.

use super::cashier::{card_fields, report_to};
use super::database::{Database, wire};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// What a tenant had when the dump was made, to be asked for again after it.
pub struct Before {
    pub contents: String,
    pub key: String,
    pub key_id: String,
    once: String,
    pending: String,
    voucher: String,
    views: Vec<Value>,
}

const ONCE: &str = r#"{"platform":"claude","amount_cents":1000,"recipient_email":"ann@example.com"}"#;

/// Sends under an idempotency key; gives the reply's exact text.
async fn send_once(admin: &Client, key: &str) -> String {
    let query = "select body from topup.call($1, 'send', $2, 'order-1')";
    admin.query_one(query, &[&key, &ONCE]).await.unwrap().get(0)
}

async fn ask(admin: &Client, key: &str, operation: &str, request: Value) -> Value {
    wire(admin, key, operation, &request).await.1
}

/// What clients see: it must not change.
async fn views(admin: &Client, key: &str) -> Vec<Value> {
    let mut views = Vec::new();
    for operation in ["balance", "history", "webhook_list", "delivery_list"] {
        views.push(ask(admin, key, operation, json!({})).await["data"].clone());
    }
    views
}

/// Uses everything once: both environments, platforms, roles, webhooks, all states.
pub async fn live_a_little(database: &Database) -> Before {
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let scopes = "tier => 'gold', scopes => '{send,read,cancel,redeem,webhooks,wallets,funding,fulfil}'";
    let (key_id, key) = tenant.key("staging", scopes).await;
    tenant.key("live", "cap_cents => 5000, allowed_ips => '{10.0.0.0/8}'").await;
    for statement in [
        format!("select topup.fund('{}', 'live', 12345, 'wire-1', 'By wire')", tenant.id),
        format!("select topup.set_low_balance('{}', 'staging', 98765)", tenant.id),
        "select topup.set_platform('slow', 'Slow', 500, 2000, 'deferred')".to_owned(),
        "select topup.set_platform('gemini', 'Gemini Pro', 100, 200)".to_owned(),
        "update topup.tier set wanted_volume_cents = 60000 where tier = 'silver'".to_owned(),
        "create role shopkeeper".to_owned(),
        format!("select topup.bind_role('shopkeeper', '{key_id}')"),
    ] {
        admin.batch_execute(&statement).await.unwrap();
    }
    ask(&admin, &key, "webhook_register", json!({"url": "https://hooks.example.com/in"})).await;
    let once = send_once(&admin, &key).await;
    let send = json!({"platform": "claude", "amount_cents": 700, "metadata": {"order": 7.50}});
    let voucher = ask(&admin, &key, "send", send).await["data"]["voucher_code"].as_str().unwrap().to_owned();
    let slow = json!({"platform": "slow", "amount_cents": 600});
    let pending =
        ask(&admin, &key, "send", slow.clone()).await["transaction_id"].as_str().unwrap().to_owned();
    for operation in ["cancel", "fail", "deliver"] {
        let sent = ask(&admin, &key, "send", slow.clone()).await;
        let mut ending = json!({"transaction_id": sent["transaction_id"]});
        if operation == "fail" {
            ending["reason"] = json!("no stock");
        }
        let ended = ask(&admin, &key, operation, ending).await;
        assert_eq!(ended["transaction_id"], sent["transaction_id"], "{operation}: {ended}");
    }
    let gift = json!({"transaction_id": "g", "asset": "USD", "amount": 0.0625, "reason": "gift"});
    assert_eq!(ask(&admin, &key, "adjust", gift).await["code"], 1000);
    pay(&admin, &key).await;
    bill(&admin, &key).await;
    attempt(&admin).await;
    ask(&admin, &key, "send", slow).await;
    every_dumped_table_has_rows(&admin).await;
    database.check().await;
    let (contents, views) = (database.contents().await, views(&admin, &key).await);
    Before { contents, key, key_id, once, pending, voucher, views }
}

/// A top-up that is paid, with a card that is saved and an auto top-up that has fired.
async fn pay(admin: &Client, key: &str) {
    let made = ask(admin, key, "customer_create", json!({"name": "Zoe"})).await;
    let customer = made["data"]["id"].clone();
    let create = json!({"customer_id": customer, "amount": 10, "currency": "USD", "return_url": "https://a.example",
                        "failure_url": "https://a.example"});
    let begun = ask(admin, key, "top_up_create", create).await;
    let mut report = card_fields("pm_1");
    report["payment_id"] = begun["data"]["id"].clone();
    report["result"] = json!("succeeded");
    report["event_id"] = json!("evt_1");
    assert_eq!(report_to(admin, &report).await["changed"], true);
    let refund = json!({"top_up_id": begun["data"]["id"], "amount": 2});
    assert_eq!(ask(admin, key, "top_up_refund", refund).await["code"], 1000);
    for status in ["open", "won"] {
        let dispute = json!({"payment_id": begun["data"]["id"], "result": "disputed", "dispute_id": "dp_1",
                             "dispute_status": status, "disputed_minor": 100});
        assert_eq!(report_to(admin, &dispute).await["changed"], true);
    }
    let set = json!({"customer_id": customer, "amount": 20, "threshold": 15});
    assert_eq!(ask(admin, key, "set_auto_top_up", set).await["code"], 1000);
}

/// A customer with a grant, a charge and its refund, a hold, a subscription, usage by tiers, and a portal.
async fn bill(admin: &Client, key: &str) {
    let done = async |operation: &str, request: Value| {
        let reply = ask(admin, key, operation, request).await;
        assert!(reply["code"] == 1000 || reply["success"] == true, "{operation}: {reply}");
        reply["data"].clone()
    };
    let customer = done("customer_create", json!({"name": "Max", "external_id": "max"})).await["id"].clone();
    let later = "select topup.rfc3339(now() + interval '30 days')";
    let later: String = admin.query_one(later, &[]).await.unwrap().get(0);
    let prices = json!([
        {"name": "Calls", "type": "usage_based", "billing_model": {"type": "real_time"}, "pricing_model": "tiered",
         "tiering": {"basis": "unit"}, "usage_calculation": {"event_type": "call", "usage_type": "unit"},
         "pricing": [{"asset": "TOK", "values": [{"up_to": 1, "unit_price": 0.5}, {"unit_price": 0.1}]}]},
        {"name": "Monthly", "type": "fixed", "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
         "pricing": [{"asset": "TOK", "values": [{"unit_price": 0.25}]}]}]);
    let events = json!([{"id": "e-1", "event_type": "call", "occurred_at": "2026-01-05T00:00:00Z"},
                        {"id": "e-2", "event_type": "cull", "occurred_at": "2026-01-05T00:00:00Z"}]);
    for (operation, request) in [
        ("asset_create", json!({"code": "TOK", "name": "Tokens", "rates": [{"source": "USD", "rate": 0.1}]})),
        (
            "adjust",
            json!({"transaction_id": "a-1", "asset": "TOK", "amount": 9, "reason": "gift",
                          "customer_id": customer, "expires_at": "2099-01-01T00:00:00Z"}),
        ),
        ("charge", json!({"customer_id": customer, "transaction_id": "c-1", "asset": "TOK", "amount": 1.5})),
        ("refund", json!({"customer_id": customer, "charge_id": "c-1", "amount": 0.5})),
        ("hold", json!({"customer_id": customer, "asset": "TOK", "amount": 2, "expires_at": later})),
        ("product_create", json!({"name": "calls", "code": "calls", "prices": prices, "publish": true})),
        (
            "subscription_create",
            json!({"customer_id": customer, "products": [{"code": "calls"}],
                                       "starts_at": "2026-01-01T00:00:00Z"}),
        ),
        ("record_usage", json!({"customer_id": customer, "events": events})),
        (
            "portal_session_create",
            json!({"customer_id": customer, "return_url": "https://a.example",
                                         "failure_url": "https://a.example"}),
        ),
    ] {
        done(operation, request).await;
    }
}

/// Takes what is to be delivered, and settles it as a receiver at fault would have it.
async fn attempt(admin: &Client) {
    let settle = "create temporary table claimed as select * from topup.claim_effects(100, 100, '{}', 30);
        select topup.settle_effects(jsonb_agg(jsonb_build_object(
                   'tenant_id', tenant_id, 'effect_id', effect_id, 'fence', fence, 'started_at', now(),
                   'duration_ms', 5, 'http_status', 500))) from claimed";
    admin.batch_execute(settle).await.unwrap();
}

/// A test of dumps says something of a table only where it has rows.
async fn every_dumped_table_has_rows(admin: &Client) {
    let dumped =
        "select c.relation::regclass::text from pg_extension e cross join unnest(e.extconfig) as c (relation)
                   where e.extname = 'pg_topup'";
    for table in admin.query(dumped, &[]).await.unwrap() {
        let table: String = table.get(0);
        let has_rows = format!("select exists (select from {table})");
        assert!(admin.query_one(&has_rows, &[]).await.unwrap().get::<_, bool>(0), "{table} is empty");
    }
}

/// The restored database holds the same, answers the same, and goes on.
pub async fn goes_on(database: &Database, before: &Before) {
    database.check().await;
    assert!(database.contents().await == before.contents, "the restored rows differ");
    let admin = database.admin().await;
    let key = &before.key;
    assert_eq!(views(&admin, key).await, before.views);
    assert_eq!(send_once(&admin, key).await, before.once, "a repeated request is still one");

    let last_id: String = before.views[1]["transactions"][0]["transaction_id"].as_str().unwrap().to_owned();
    let sent = ask(&admin, key, "send", json!({"platform": "slow", "amount_cents": 500})).await;
    assert_eq!(sent["code"], 1002, "{sent}");
    assert!(sent["transaction_id"].as_str().unwrap() > last_id.as_str(), "ids go on");
    let too_much = json!({"platform": "gemini", "amount_cents": 201});
    assert_eq!(ask(&admin, key, "send", too_much).await["code"], 2005, "the changed platform is as it was");
    let voucher = json!({"voucher_code": before.voucher, "email": "bob@example.com"});
    assert_eq!(ask(&admin, key, "redeem", voucher).await["code"], 1000);
    let cancelled = ask(&admin, key, "cancel", json!({"transaction_id": before.pending})).await;
    assert_eq!((&cancelled["code"], &cancelled["data"]["refunded_cents"]), (&json!(3001), &json!(498)));
    let gift = json!({"transaction_id": "g", "asset": "USD", "amount": 0.0625, "reason": "other"});
    assert_eq!(ask(&admin, key, "adjust", gift).await["code"], 2006);
    database.check().await;
}
