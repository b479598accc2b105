//! A transaction that somebody leaves open holds up no other tenant's work: what it has locked is skipped, and seen to later.

use crate::support::{
    Answer, Cashier, Database, Gateway, Hook, LIMIT, Receiver, Shop, call, card_fields, deliveries,
    report_to, wait_for_deliveries, wait_until,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio_postgres::Client;

const FLAGS: &[&str] = &["--allow-private-webhooks", "--rate-limit", "0"];

/// Nobody's work takes longer because of a transaction that is open as long as the test wants.
const UNDELAYED: Duration = Duration::from_secs(8);

async fn begin(database: &Database, key: &str, statement: &str) -> Client {
    let app = database.app(key).await;
    app.batch_execute("begin").await.unwrap();
    assert_eq!(call(&app, statement).await["code"], 1000, "{statement}");
    app
}

/// Another tenant on the shop's gateway, told of a send of its own: it is delivered and its outcome recorded.
async fn another_is_served(shop: &Shop) {
    let start = Instant::now();
    let client = shop.gateway.client(&shop.database.staging_key().await);
    let receiver = Receiver::start().await;
    Hook::register(&client, &receiver.url).await;
    client.post("/topup/send", json!({"platform": "claude", "amount_cents": 100})).await.expect(200, 1001);
    wait_for_deliveries(&client, "succeeded", 1).await;
    assert!(start.elapsed() < UNDELAYED, "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_open_replay_holds_up_its_own_outcome_alone_and_that_is_recorded_afterwards() {
    for ending in ["commit", "rollback"] {
        let shop = Shop::open_with(FLAGS).await;
        let gate = Arc::new(Semaphore::new(0));
        let receiver = Receiver::start_with([Answer::Held(gate.clone())]).await;
        Hook::register(&shop.client, &receiver.url).await;
        shop.send().await.expect(200, 1001);
        receiver.wait_for(1, LIMIT).await;
        let delivery = deliveries(&shop.client, "").await[0]["id"].as_str().unwrap().to_owned();
        let holder = begin(&shop.database, &shop.key, &format!("topup.delivery_replay('{delivery}')")).await;
        gate.add_permits(10);
        for _ in 0..3 {
            another_is_served(&shop).await;
        }
        assert_eq!(deliveries(&shop.client, "").await[0]["attempts"], json!([]), "it is held");
        holder.batch_execute(ending).await.unwrap();
        let log = wait_for_deliveries(&shop.client, "succeeded", 1).await;
        assert_eq!(log[0]["attempts"][0]["http_status"], 204, "{ending}: {log:?}");
        shop.database.check().await;
    }
}

#[tokio::test]
async fn an_open_change_of_webhooks_holds_up_a_410_and_nothing_else() {
    let shop = Shop::open_with(FLAGS).await;
    let gone = Receiver::start_with([Answer::Status(410)]).await;
    let hook = Hook::register(&shop.client, &gone.url).await;
    let holder =
        begin(&shop.database, &shop.key, "topup.webhook_register('https://93.184.216.34/another')").await;
    shop.send().await.expect(200, 1001);
    gone.wait_for(1, LIMIT).await;
    for _ in 0..3 {
        another_is_served(&shop).await;
    }
    holder.batch_execute("commit").await.unwrap();
    wait_until(LIMIT, "the webhook is off", async || {
        let listed = shop.client.get("/webhooks").await.expect(200, 1000);
        let of = |each: &&Value| each["id"] == hook.id;
        listed.data()["webhooks"].as_array().unwrap().iter().find(of)?["disabled_at"].as_str().map(drop)
    })
    .await;
    shop.database.check().await;
}

/// Of each kind that comes due inside the database one of the customer's, and a top-up of another tenant.
async fn make_due(cashier: &Cashier) {
    let bank = &cashier.bank;
    let auto = format!("topup.set_auto_top_up(20, 5, '{}')", bank.customer);
    assert_eq!(call(&bank.app, &auto).await["code"], 1000);
    cashier.begun("10", "").await;
    bank.grant("5", "gift", "1 hour").await;
    let stranger = bank.database.app(&bank.database.staging_key().await).await;
    let send = "topup.send('claude', 1000, 'ann+fail@example.com')";
    assert_eq!(call(&stranger, send).await["code"], 1002);
    bank.admin
        .batch_execute(
            "update topup.top_up set fails_at = now() - interval '1 minute' where fails_at is not null;
             update topup.payment set expires_at = now() - interval '1 minute', due_at = null;
             update topup.auto_top_up set due_at = now() - interval '1 minute';
             update topup.balance set next_due_at = now() - interval '1 second' where next_due_at is not null",
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn what_a_transaction_holds_keeps_no_other_kind_of_due_work_waiting() {
    for held in [
        "select from topup.balance b join topup.account a using (tenant_id, account_id)
          where a.customer_id is not null for update of b",
        "select from topup.auto_top_up for update",
        "select from topup.payment for update",
    ] {
        let cashier = Cashier::open().await;
        make_due(&cashier).await;
        let (bank, worker) = (&cashier.bank, &cashier.gateway);
        let holder = bank.database.admin().await;
        holder.batch_execute(&format!("begin; {held}")).await.unwrap();
        worker.batch_execute("set statement_timeout = '5s'").await.unwrap();
        let failed = async || {
            let failed = "select count(*) from topup.top_up where status = 'failed'";
            bank.admin.query_one(failed, &[]).await.unwrap().get::<_, i64>(0)
        };
        // Each kind gets its turn, and none waits for long.
        let start = Instant::now();
        for _ in 0..12 {
            worker
                .query("select topup.run_due(100)", &[])
                .await
                .unwrap_or_else(|error| panic!("{held}: {error:?}"));
        }
        assert_eq!(failed().await, 1, "{held}: another tenant's top-up has failed");
        assert!(start.elapsed() < UNDELAYED, "{held}: {:?}", start.elapsed());
        holder.batch_execute("rollback").await.unwrap();
        cashier.run_due().await;
        let expired = "select count(*) from topup.payment where status = 'expired'";
        assert_eq!(bank.admin.query_one(expired, &[]).await.unwrap().get::<_, i64>(0), 1, "{held}");
        bank.database.check().await;
    }
}

#[tokio::test]
async fn what_a_provider_says_is_not_waited_with_for_an_account_that_somebody_holds() {
    let cashier = Cashier::open().await;
    cashier.bank.adjust("1", "gift", "").await;
    let (id, token) = cashier.begun("10", "").await;
    cashier.begin(&token, None).await;
    let holder = cashier.bank.database.hold_wallets().await;
    let mut report = card_fields("pm_1");
    report["payment_id"] = json!(id);
    report["result"] = json!("succeeded");
    let start = Instant::now();
    let waited = cashier.gateway.query_one("select topup.report_payment($1)", &[&report]).await.unwrap_err();
    assert_eq!(waited.code().unwrap().code(), "55P03");
    assert!(start.elapsed() < UNDELAYED, "{:?}", start.elapsed());
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(report_to(&cashier.gateway, &report).await["changed"], true);
    cashier.charge_card("7").await;
    let claim = cashier.claim_one().await;
    let paid = claim
        .answer("succeeded", json!({"amount_minor": 700, "currency": "USD", "provider_payment_id": "pi_7"}));
    let holder = cashier.bank.database.hold_wallets().await;
    let waited =
        cashier.gateway.query_one("select topup.settle_payments($1)", &[&json!([paid])]).await.unwrap_err();
    assert_eq!(waited.code().unwrap().code(), "55P03");
    holder.batch_execute("rollback").await.unwrap();
    assert_eq!(cashier.settle(&[paid]).await, 1);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_gateway_that_stops_still_records_what_it_had_skipped() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let mut gateway = Gateway::start_with(&database, FLAGS).await;
    let client = gateway.client(&key);
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::start_with([Answer::Held(gate.clone())]).await;
    Hook::register(&client, &receiver.url).await;
    client.post("/topup/send", json!({"platform": "claude", "amount_cents": 100})).await.expect(200, 1001);
    receiver.wait_for(1, LIMIT).await;
    let delivery = deliveries(&client, "").await[0]["id"].as_str().unwrap().to_owned();
    let holder = begin(&database, &key, &format!("topup.delivery_replay('{delivery}')")).await;
    gate.add_permits(1);
    gateway.terminate();
    wait_until(LIMIT, "it is stopping", async || gateway.log().contains("stopping").then_some(())).await;
    holder.batch_execute("rollback").await.unwrap();
    assert!(gateway.ended().await.success());
    let admin = database.admin().await;
    let status = "select status from topup.deliveries";
    assert_eq!(admin.query_one(status, &[]).await.unwrap().get::<_, String>(0), "succeeded");
    database.check().await;
}
