//! Dump and restore: a fresh cluster goes on exactly where the old one stood. Each test has clusters of its own.

use crate::support::{Cluster, Database, call, card_fields, report_to, wire};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Output, Stdio};
use tokio_postgres::Client;

/// What a tenant had when the dump was made, to be asked for again after it.
struct Before {
    contents: String,
    key: String,
    key_id: String,
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
async fn live_a_little(database: &Database) -> Before {
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
    let set = json!({"customer_id": customer, "amount": 20, "threshold": 15});
    assert_eq!(ask(admin, key, "set_auto_top_up", set).await["code"], 1000);
}

fn dump(cluster: &Cluster, format: &str) -> Vec<u8> {
    let output = cluster.program("pg_dump", "topup").arg(format!("--format={format}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs a program on these bytes; it must say nothing against it.
fn feed(command: &mut Command, bytes: Vec<u8>) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
}

/// The restored database holds the same, answers the same, and goes on.
async fn goes_on(database: &Database, before: &Before) {
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

/// A role of the restored cluster speaks for its key again as soon as it exists.
async fn binds_again(database: &Database, before: &Before) {
    let admin = database.admin().await;
    admin.batch_execute("create role shopkeeper in role topup_app; set role shopkeeper").await.unwrap();
    assert_eq!(call(&admin, "topup.balance()").await["data"]["key"]["id"], before.key_id.as_str());
}

#[tokio::test]
async fn a_restored_dump_goes_on_where_the_ledger_stood() {
    let cluster = Cluster::private().await;
    let before = live_a_little(&Database::on(&cluster).await).await;
    let (custom, plain) = (dump(&cluster, "custom"), dump(&cluster, "plain"));
    drop(cluster);

    let fresh = Cluster::private().await;
    let restored = Database::empty_on(&fresh).await;
    feed(fresh.program("pg_restore", "topup").args(["--exit-on-error", "--dbname=topup"]), custom);
    goes_on(&restored, &before).await;
    binds_again(&restored, &before).await;
    drop(restored);
    drop(fresh);

    let fresh = Cluster::private().await;
    let restored = Database::empty_on(&fresh).await;
    feed(fresh.program("psql", "topup").args(["-X", "--quiet", "--set=ON_ERROR_STOP=1"]), plain);
    goes_on(&restored, &before).await;
    binds_again(&restored, &before).await;
    // What was dumped once and restored can be dumped again.
    assert!(!dump(&fresh, "custom").is_empty());
}
