//! What one tenant has in one environment, nobody else can see or move: every operation is tried.

use crate::support::{Database, Tenant, wire};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio_postgres::Client;
use uuid::Uuid;

pub const SCOPES: [&str; 10] = [
    "send",
    "read",
    "cancel",
    "cancel_any",
    "vouchers",
    "redeem",
    "webhooks",
    "wallets",
    "funding",
    "fulfil",
];

/// A key of these scopes.
pub async fn key(tenant: &Tenant<'_>, environment: &str, scopes: &[&str]) -> String {
    tenant.key(environment, &format!("scopes => '{{{}}}'", scopes.join(","))).await.1
}

/// What a tenant has in one environment.
struct Goods {
    key: String,
    pending: String,
    voucher: String,
    customer: String,
    webhook: String,
    delivery: String,
    asset: String,
    hold: String,
    invoice: String,
    product: String,
    subscription: String,
    event: String,
    top_up: String,
}

const EMAIL: &str = "only-mine@example.com";
const IDEMPOTENCY_KEY: &str = "order-1";
const CHARGE: &str = "charge-1";
const HOLD: &str = "hold-1";
/// Names of events begin with this.
const EVENT: &str = "only-mine";

fn prices() -> Value {
    let usage = json!({"event_type": "call", "usage_type": "unit"});
    json!([{"name": "Calls", "type": "usage_based", "billing_model": {"type": "real_time"}, "usage_calculation": usage,
            "pricing": [{"asset": "USD", "values": [{"unit_price": 1}]}]}])
}

fn events(id: &str) -> Value {
    json!([{"id": id, "event_type": "call", "occurred_at": "2026-01-05T00:00:00Z"}])
}

/// Makes one of everything that an operation can name.
async fn goods(admin: &Client, tenant: &Tenant<'_>, environment: &str) -> Goods {
    let key = key(tenant, environment, &SCOPES).await;
    let fund = "select topup.fund($1, $2, 500000, 'fund-1')";
    admin.execute(fund, &[&tenant.id, &environment]).await.unwrap();
    let ask = async |operation, request| {
        let (_, envelope) = wire(admin, &key, operation, &request).await;
        assert_eq!(envelope["success"], true, "{operation}: {envelope}");
        envelope
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let webhook = ask("webhook_register", json!({"url": "https://hooks.example.com/in"})).await;
    let pending = ask("send", json!({"platform": "slow", "amount_cents": 700})).await;
    let voucher = ask("send", json!({"platform": "claude", "amount_cents": 800})).await;
    ask("send", json!({"platform": "claude", "amount_cents": 900, "recipient_email": EMAIL})).await;
    let request = r#"{"platform":"claude","amount_cents":1000}"#;
    let once = "select body from topup.call($1, 'send', $2, $3)";
    admin.query_one(once, &[&key, &request, &IDEMPOTENCY_KEY]).await.unwrap();
    let log = ask("delivery_list", json!({})).await;
    let asset = format!("A_{}", Uuid::now_v7().simple()).to_uppercase()[..30].to_owned();
    ask("asset_create", json!({"code": asset, "name": "Mine"})).await;
    let customer = "select customer_id from topup.customers where tenant_id = $1 and environment::text = $2";
    let customer: String = admin.query_one(customer, &[&tenant.id, &environment]).await.unwrap().get(0);
    let charge = json!({"customer_id": customer, "transaction_id": CHARGE, "account_name": "claude",
                        "asset": "USD", "amount": 0.5});
    ask("charge", charge).await;
    let soon = "select topup.rfc3339(now() + interval '1 day')";
    let soon: String = admin.query_one(soon, &[]).await.unwrap().get(0);
    let hold = json!({"customer_id": customer, "asset": "USD", "amount": 1, "account_name": "claude",
                      "expires_at": soon, "transaction_id": HOLD});
    let hold = ask("hold", hold).await;
    let invoice = ask("funding_top_up", json!({"amount": 1000})).await;
    let product =
        ask("product_create", json!({"name": "p", "code": "p", "prices": prices(), "publish": true})).await;
    let subscription = json!({"customer_id": customer, "products": [{"code": "p"}]});
    let subscription = ask("subscription_create", subscription).await;
    let event = format!("{EVENT}-{}-{environment}", tenant.id);
    ask("record_usage", json!({"customer_id": customer, "events": events(&event)})).await;
    let url = "https://a.example";
    let top_up = json!({"customer_id": customer, "amount": 10, "currency": "USD", "return_url": url, "failure_url": url});
    let top_up = ask("top_up_create", top_up).await;
    Goods {
        asset,
        top_up: text(&top_up["data"]["id"]),
        invoice: text(&invoice["data"]["payment_intent_id"]),
        hold: text(&hold["data"]["id"]),
        product: text(&product["data"]["id"]),
        subscription: text(&subscription["data"]["id"]),
        event,
        pending: text(&pending["transaction_id"]),
        voucher: text(&voucher["data"]["voucher_code"]),
        customer,
        webhook: text(&webhook["data"]["id"]),
        delivery: text(&log["data"]["deliveries"][0]["id"]),
        key,
    }
}

/// Every operation that names a thing, with somebody else's thing: the code that it must give.
fn attempts(own: &Goods, other: &Goods) -> Vec<(&'static str, Value, i64)> {
    let transaction = json!({"transaction_id": other.pending});
    let webhook = json!({"id": other.webhook});
    let product = json!({"product_id": other.product});
    let version = json!({"product_id": other.product, "version": 1, "publish": true});
    let adjust = |amount: i64| {
        json!({"transaction_id": "theft", "asset": "USD", "amount": amount, "reason": "other",
               "customer_id": other.customer, "account_name": "claude"})
    };
    let customer = json!({"customer_id": other.customer});
    let account = json!({"customer_id": other.customer, "account_id": "claude:USD"});
    let charged = json!({"customer_id": other.customer, "transaction_id": CHARGE});
    let charge = json!({"customer_id": other.customer, "transaction_id": "theft", "account_name": "claude",
                        "asset": "USD", "amount": 1});
    let mut attempts = vec![
        ("cancel", transaction.clone(), 3003),
        ("status", transaction.clone(), 3003),
        ("deliver", transaction, 3003),
        ("fail", json!({"transaction_id": other.pending, "reason": "spite"}), 3003),
        ("redeem", json!({"voucher_code": other.voucher, "email": "thief@example.com"}), 3005),
        ("redeem", json!({"voucher_code": other.voucher, "customer_id": own.customer}), 3005),
        ("redeem", json!({"voucher_code": own.voucher, "customer_id": other.customer}), 2000),
        ("adjust", adjust(1), 2000),
        ("adjust", adjust(-1), 2000),
        ("charge", charge, 2000),
        ("refund", json!({"customer_id": other.customer, "charge_id": CHARGE}), 2000),
        (
            "hold",
            json!({"customer_id": other.customer, "asset": "USD", "amount": 1, "account_name": "claude",
                   "expires_at": "2090-01-01T00:00:00Z"}),
            2000,
        ),
        ("settle", json!({"hold_id": other.hold, "amount": 1}), 2000),
        ("release", json!({"hold_id": other.hold}), 2000),
        ("hold_status", json!({"hold_id": other.hold}), 2000),
        ("funding_top_up_status", json!({"payment_intent_id": other.invoice}), 2000),
        ("funding_top_up", json!({"account_id": "acct_00000000000000000000000000", "amount": 1000}), 2000),
        ("payment_method_remove", json!({"payment_method_id": "pm_of_another"}), 2000),
        ("grant_list", account.clone(), 2000),
        ("customer_get", customer.clone(), 2000),
        ("customer_update", json!({"customer_id": other.customer, "name": "Mine"}), 2000),
        ("wallet", customer, 2000),
        ("wallet_account", account.clone(), 2000),
        ("wallet_transaction", charged, 2000),
        ("statement", account.clone(), 2000),
        ("statement_csv", account, 2000),
        ("asset_get", json!({"code": other.asset}), 2000),
        ("asset_add_rate", json!({"code": other.asset, "source": "USD", "rate": 2}), 2000),
        ("asset_add_rate", json!({"code": own.asset, "source": other.asset, "rate": 2}), 2000),
        ("asset_quote", json!({"code": other.asset, "source": "USD", "amount": 2}), 2000),
        ("webhook_replay", json!({"id": other.webhook, "since": "2020-01-01T00:00:00Z"}), 5004),
        ("webhook_test_result", json!({"delivery_id": other.delivery}), 5004),
        ("delivery_replay", json!({"id": other.delivery}), 5004),
        ("product_get", product.clone(), 2000),
        ("product_delete", product.clone(), 2000),
        ("product_subscribers", product, 2000),
        ("product_version_create", json!({"product_id": other.product, "prices": prices()}), 2000),
        ("product_version_get", version.clone(), 2000),
        ("product_version_update", version.clone(), 2000),
        ("product_version_archive", version, 2000),
        ("simulate_usage", json!({"product_id": other.product, "version": 1, "events": events("x")}), 2000),
        ("subscription_create", json!({"customer_id": other.customer, "products": [{"code": "p"}]}), 2000),
        (
            "subscription_create",
            json!({"customer_id": own.customer, "products": [{"id": other.product}]}),
            2000,
        ),
        (
            "subscription_update",
            json!({"customer_id": other.customer, "subscription_id": other.subscription, "status": "inactive"}),
            2000,
        ),
        (
            "subscription_update",
            json!({"customer_id": own.customer, "subscription_id": other.subscription, "status": "inactive"}),
            2000,
        ),
        (
            "subscription_product_update",
            json!({"customer_id": own.customer, "subscription_id": other.subscription,
                                               "product_id": other.product, "version": 1}),
            2000,
        ),
        (
            "subscription_product_update",
            json!({"customer_id": own.customer, "subscription_id": own.subscription,
                                               "product_id": other.product, "version": 1}),
            2000,
        ),
        ("record_usage", json!({"customer_id": other.customer, "events": events("x")}), 2000),
        ("usage_event_get", json!({"event_id": other.event}), 2000),
    ];
    let webhooks = ["webhook_update", "webhook_delete", "webhook_rotate", "webhook_test"];
    attempts.extend(webhooks.map(|operation| (operation, webhook.clone(), 5004)));
    attempts.extend(payment_attempts(own, other));
    attempts
}

/// The same of payments.
fn payment_attempts(own: &Goods, other: &Goods) -> Vec<(&'static str, Value, i64)> {
    let claude = json!({"customer_id": other.customer, "account_name": "claude"});
    let portal = json!({"customer_id": other.customer, "return_url": "https://a.example",
                        "failure_url": "https://a.example"});
    let auto_top_up =
        json!({"customer_id": other.customer, "account_name": "claude", "amount": 10, "threshold": 5});
    vec![
        (
            "top_up_create",
            json!({"customer_id": other.customer, "amount": 10, "currency": "USD", "return_url": "https://a.example",
                   "failure_url": "https://a.example"}),
            2000,
        ),
        (
            "top_up_create",
            json!({"customer_id": own.customer, "amount": 10, "currency": "USD", "return_url": "https://a.example",
                   "failure_url": "https://a.example", "destination": {"asset": other.asset, "exchange_rate": 2}}),
            2000,
        ),
        ("top_up_get", json!({"top_up_id": other.top_up}), 2000),
        ("top_up_refund", json!({"top_up_id": other.top_up}), 2000),
        ("portal_session_create", portal, 2000),
        ("set_auto_top_up", auto_top_up, 2000),
        ("remove_auto_top_up", claude.clone(), 2000),
        ("auto_top_up", claude, 2000),
    ]
}

/// Every other operation: it succeeds, and says nothing of somebody else's.
fn own_affairs(other: &Goods) -> Vec<(&'static str, Value)> {
    let request = json!({"platform": "claude", "amount_cents": 1000});
    let mut affairs = vec![
        ("send", request.clone()),
        ("validate", request),
        ("history", json!({"cursor": other.pending})),
        ("webhook_register", json!({"url": "https://hooks.example.com/in"})),
        ("funding_config_set", json!({"amount": 1000, "threshold": 500})),
        ("payment_method_replace", json!({"amount": 1000})),
        ("usage_history", json!({"value_grouping_window": "day"})),
        ("spending_limit_set", json!({"amount": 100_000_000, "duration": "daily", "strategy": "fixed"})),
        ("asset_create", json!({"code": "TOK", "name": "Tokens"})),
        ("customer_list", json!({"customer_id": other.customer})),
        ("customer_list", json!({"email": EMAIL})),
        ("customer_create", json!({"name": "Zoe", "external_id": "zoe", "email": "zoe@example.com"})),
        ("delivery_list", json!({"cursor": other.delivery})),
        ("product_create", json!({"name": "q", "code": "q", "prices": prices()})),
        ("usage_event_list", json!({"customer_id": other.customer})),
    ];
    let of_nobody = "balance history webhook_list account_self funding_config_get funding_config_delete \
                     credit_balance payment_methods invoice_history invoice_preview spending_limit_get \
                     spending_limit_delete asset_list customer_list delivery_list product_list usage_event_list";
    affairs.extend(of_nobody.split(' ').map(|name| (name, json!({}))));
    affairs
}

/// What a key sees of its own: these change by what it does itself, and by nothing else.
async fn outlook(admin: &Client, key: &str) -> Vec<Value> {
    let mut outlook = Vec::new();
    for operation in ["balance", "history", "webhook_list", "delivery_list", "asset_list", "customer_list"] {
        outlook.push(wire(admin, key, operation, &json!({})).await.1["data"].clone());
    }
    outlook
}

/// Tenant B in staging, and who must not reach it: tenant A in both environments, and B itself in live.
async fn owner_and_strangers(database: &Database) -> (Goods, Vec<Goods>) {
    let admin = database.admin().await;
    make_deferred_platform(&admin).await;
    // For the sessions that begin from now on.
    let name: String = admin.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    let provider = format!("alter database {name} set topup.payment_provider_live = 'stripe'");
    admin.batch_execute(&provider).await.unwrap();
    let admin = database.admin().await;
    let (a, b) = (database.tenant("A").await, database.tenant("B").await);
    let owner = goods(&admin, &b, "staging").await;
    let mut strangers = Vec::new();
    for (tenant, environment) in [(&a, "staging"), (&a, "live"), (&b, "live")] {
        strangers.push(goods(&admin, tenant, environment).await);
    }
    (owner, strangers)
}

async fn make_deferred_platform(admin: &Client) {
    let deferred = "select topup.set_platform('slow', 'Slow', delivery => 'deferred')";
    admin.execute(deferred, &[]).await.unwrap();
}

pub async fn operations(admin: &Client) -> Vec<(String, String)> {
    let rows = admin.query("select name, scope from topup.operations()", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn what_belongs_to_another_tenant_or_environment_cannot_be_touched() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let (owner, strangers) = owner_and_strangers(&database).await;
    let before = database.contents().await;
    for stranger in &strangers {
        for (operation, request, code) in attempts(stranger, &owner) {
            let (_, envelope) = wire(&admin, &stranger.key, operation, &request).await;
            assert_eq!(envelope["code"], code, "{operation} {request}: {envelope}");
        }
    }
    assert!(database.contents().await == before, "a refused attempt wrote something");
    // The same requests are good ones for their owner, so that it was the owner that mattered.
    for (operation, request, code) in attempts(&strangers[0], &strangers[0]).into_iter().take(2) {
        let (_, envelope) = wire(&admin, &strangers[0].key, operation, &request).await;
        assert_ne!(envelope["code"], code, "{operation}");
    }
    database.check().await;
}

#[tokio::test]
async fn lists_and_sends_show_and_move_only_ones_own() {
    let database = Database::new().await;
    let (owner, strangers) = owner_and_strangers(&database).await;
    let admin = database.admin().await;
    let before = outlook(&admin, &owner.key).await;
    for stranger in &strangers {
        for (operation, request) in own_affairs(&owner) {
            let (_, envelope) = wire(&admin, &stranger.key, operation, &request).await;
            assert_eq!(envelope["success"], true, "{operation}: {envelope}");
            let text = envelope.to_string();
            let of_owner = [
                &owner.pending,
                &owner.voucher,
                &owner.customer,
                &owner.webhook,
                &owner.delivery,
                &owner.product,
                &owner.event,
                &owner.asset,
                &owner.invoice,
            ];
            for secret in of_owner {
                assert!(!text.contains(secret), "{operation} shows {secret}: {text}");
            }
        }
    }
    assert_eq!(outlook(&admin, &owner.key).await, before);
    database.check().await;
}

#[tokio::test]
async fn the_isolation_tests_try_every_operation_of_the_catalog() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let (owner, strangers) = owner_and_strangers(&database).await;
    let tried: BTreeSet<String> = attempts(&strangers[0], &owner)
        .into_iter()
        .map(|(operation, ..)| operation)
        .chain(own_affairs(&owner).into_iter().map(|(operation, _)| operation))
        .map(str::to_owned)
        .collect();
    let catalog: BTreeSet<String> = operations(&admin).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(tried, catalog);
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_one_tenant_and_environment() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let (owner, strangers) = owner_and_strangers(&database).await;
    let send = async |key: &str, cents: i64| {
        let request = json!({"platform": "claude", "amount_cents": cents}).to_string();
        let query = "select body::jsonb from topup.call($1, 'send', $2, $3)";
        admin.query_one(query, &[&key, &request, &"order-2"]).await.unwrap().get::<_, Value>(0)
    };
    let first = send(&owner.key, 1100).await;
    for stranger in &strangers {
        let other = send(&stranger.key, 1200).await;
        assert_eq!((&other["code"], &other["data"]["amount_cents"]), (&json!(1001), &json!(1200)));
        assert_ne!(other["transaction_id"], first["transaction_id"]);
    }
    assert_eq!(send(&owner.key, 1100).await, first);
    assert_eq!(send(&owner.key, 1200).await["code"], 2006);
    database.check().await;
}
