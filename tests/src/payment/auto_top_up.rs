//! Auto top-ups: an account that falls below its threshold is filled from a saved card, once, whoever brings it down.

use crate::support::{Bank, Cashier, Claim, LIMIT, call, wait_until};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const CLIENTS: usize = 32;
const SENDS: usize = 1024;

/// A customer with a saved card and 5 dollars.
pub async fn with_card() -> Cashier {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    cashier
}

pub async fn set(cashier: &Cashier, amount: &str, threshold: &str, more: &str) -> Value {
    let customer = &cashier.bank.customer;
    let reply =
        call(&cashier.bank.app, &format!("topup.set_auto_top_up({amount}, {threshold}, '{customer}'{more})"))
            .await;
    assert_eq!(reply["code"], 1000, "{reply}");
    reply["data"].clone()
}

pub async fn shown(cashier: &Cashier) -> Value {
    call(&cashier.bank.app, &format!("topup.auto_top_up('{}')", cashier.bank.customer)).await["data"].clone()
}

/// Takes from the customer's account; it must be covered.
pub async fn spend(cashier: &Cashier, amount: &str) {
    assert_eq!(cashier.bank.adjust(&format!("-{amount}"), "other", "").await["code"], 1000);
}

pub async fn settle(cashier: &Cashier, result: &str) -> Claim {
    let claim = cashier.claim_one().await;
    assert_eq!(claim.request["action"], "charge");
    let answer = claim.answer(result, json!({"code": "card_declined", "message": "Declined."}));
    assert_eq!(cashier.settle(&[answer]).await, 1);
    claim
}

/// How many auto top-ups there were.
pub async fn begun(bank: &Bank) -> i64 {
    let query = "select count(*) from topup.payment where origin = 'auto'";
    bank.admin.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn an_account_that_falls_below_its_threshold_is_filled() {
    let cashier = with_card().await;
    cashier.listen().await;
    let config = set(&cashier, "20", "3", "").await;
    assert_eq!(
        (&config["amount"], &config["threshold"], &config["max_purchases"]),
        (&json!(20), &json!(3), &json!(10))
    );
    spend(&cashier, "2").await;
    assert_eq!(begun(&cashier.bank).await, 0, "3 is not below 3");
    spend(&cashier, "0.01").await;
    spend(&cashier, "1").await;
    assert_eq!(begun(&cashier.bank).await, 1);
    let claim = settle(&cashier, "succeeded").await;
    assert!(claim.request["payment_id"].as_str().unwrap().starts_with("top_"));
    assert_eq!(
        (&claim.request["amount_minor"], &claim.request["provider_method_id"]),
        (&json!(2000), &json!("pm_1"))
    );
    assert_eq!(cashier.bank.balance().await, "21.99");
    let told = cashier.events("wallet.topup.succeeded").await.pop().unwrap();
    assert_eq!(told["data"]["origin"], "auto");
    spend(&cashier, "19").await;
    assert_eq!(begun(&cashier.bank).await, 2, "and again");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn what_counts_is_the_balance_that_a_transaction_leaves() {
    let cashier = with_card().await;
    set(&cashier, "20", "3", "").await;
    let customer = &cashier.bank.customer;
    let adjust = |id: &str, amount: i32| {
        format!("select topup.adjust('{id}', 'USD', {amount}, 'other', '{customer}')")
    };
    let app = &cashier.bank.app;
    app.batch_execute(&format!("begin; {}; {}; commit", adjust("x1", -4), adjust("x2", 4))).await.unwrap();
    app.batch_execute(&format!("begin; {}; rollback", adjust("x3", -4))).await.unwrap();
    assert_eq!(begun(&cashier.bank).await, 0);
    app.batch_execute(&format!("begin; {}; {}; commit", adjust("x4", -2), adjust("x5", -2))).await.unwrap();
    assert_eq!(begun(&cashier.bank).await, 1);
}

#[tokio::test]
async fn an_account_that_is_low_already_is_filled_when_it_is_set_and_setting_it_twice_is_once() {
    let cashier = with_card().await;
    set(&cashier, "20", "10", "").await;
    set(&cashier, "30", "10", "").await;
    assert_eq!(begun(&cashier.bank).await, 1);
    assert_eq!(settle(&cashier, "succeeded").await.request["amount"], 20);
    assert_eq!(cashier.bank.balance().await, "25");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn one_that_does_not_reach_the_threshold_is_followed_by_another_up_to_the_limit() {
    let cashier = with_card().await;
    set(&cashier, "1", "100", ", max_purchases => 3, window_s => 3600").await;
    for _ in 0..3 {
        settle(&cashier, "succeeded").await;
    }
    assert_eq!((begun(&cashier.bank).await, cashier.bank.balance().await), (3, "8".into()));
    spend(&cashier, "1").await;
    cashier.run_due().await;
    assert_eq!(begun(&cashier.bank).await, 3, "three an hour");
    cashier.bank.database.check().await;
    cashier.pass("1 hour").await;
    let later = "update topup.auto_top_up set due_at = due_at - interval '1 hour'";
    cashier.bank.admin.batch_execute(later).await.unwrap();
    cashier.run_due().await;
    assert_eq!(begun(&cashier.bank).await, 4);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn credit_that_expires_brings_the_account_down_too() {
    let cashier = with_card().await;
    cashier.bank.grant("10", "gift", "0.3 seconds").await;
    set(&cashier, "20", "7", "").await;
    assert_eq!(begun(&cashier.bank).await, 0);
    wait_until(LIMIT, "the gift has expired", async || {
        cashier.run_due().await;
        (begun(&cashier.bank).await == 1).then_some(())
    })
    .await;
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn without_a_card_it_waits_for_one() {
    let cashier = Cashier::open().await;
    set(&cashier, "20", "10", "").await;
    assert_eq!(begun(&cashier.bank).await, 0);
    cashier.bank.database.check().await;
    cashier.save_card("pm_1").await;
    cashier.run_due().await;
    assert_eq!(begun(&cashier.bank).await, 1);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_charge_under_way_counts_and_when_it_fails_it_no_longer_does() {
    let cashier = with_card().await;
    let charged = cashier.charge_card("50").await;
    set(&cashier, "20", "10", "").await;
    spend(&cashier, "1").await;
    assert_eq!(begun(&cashier.bank).await, 0);
    let (_, token) = cashier.begun("100", "").await;
    cashier.begin(&token, None).await;
    let claim = cashier.claim_one().await;
    assert_eq!(claim.request["payment_id"], charged.as_str());
    cashier.settle(&[claim.answer("failed", json!({}))]).await;
    assert_eq!(begun(&cashier.bank).await, 1, "and a checkout that may never be paid does not count");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn removed_it_is_gone_and_a_charge_under_way_goes_on() {
    let cashier = with_card().await;
    set(&cashier, "20", "10", "").await;
    let remove = format!("topup.remove_auto_top_up('{}')", cashier.bank.customer);
    for _ in 0..2 {
        assert_eq!(call(&cashier.bank.app, &remove).await["code"], 1000);
    }
    assert_eq!(shown(&cashier).await["amount"], Value::Null);
    settle(&cashier, "succeeded").await;
    assert_eq!(cashier.bank.balance().await, "25");
    spend(&cashier, "24").await;
    assert_eq!(begun(&cashier.bank).await, 1);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn an_asset_is_filled_at_its_rate_and_one_without_a_rate_is_refused() {
    let cashier = with_card().await;
    let app = &cashier.bank.app;
    let rates = r#"[{"source": "USD", "rate": 0.01}]"#;
    call(app, &format!("topup.asset_create('TOK', 'Tokens', 0, rates => '{rates}')")).await;
    call(app, "topup.asset_create('BARE', 'Bare', 0)").await;
    set(&cashier, "20", "500", ", 'ai', 'TOK'").await;
    settle(&cashier, "succeeded").await;
    let customer = &cashier.bank.customer;
    let account = call(app, &format!("topup.wallet_account('{customer}', 'ai:TOK')")).await;
    assert_eq!(account["data"]["available"], 2000);
    let before = cashier.bank.database.contents().await;
    for (request, field) in [
        (format!("20, 500, '{customer}', 'ai', 'BARE'"), "asset"),
        (format!("20, 500, '{customer}', 'ai', 'GONE'"), "asset"),
        ("20, 500, null, 'default', 'TOK'".to_owned(), "asset"),
        (format!("20, 500, '{customer}', 'a:i'"), "account_name"),
        (format!("0.1, 500, '{customer}'"), "amount"),
        (format!("20, -1, '{customer}'"), "threshold"),
        (format!("20, 0.5, '{customer}', 'ai', 'TOK'"), "threshold"),
        (format!("20, 500, '{customer}', currency => 'TOK'"), "currency"),
        (format!("20, 500, '{customer}', max_purchases => 0"), "max_purchases"),
        (format!("20, 500, '{customer}', window_s => null"), "window_s"),
        (format!("20, 500, '{customer}', window_s => 0"), "window_s"),
        ("20, 500, 'cust_00000000000000000000000000'".to_owned(), "customer_id"),
    ] {
        let reply = call(app, &format!("topup.set_auto_top_up({request})")).await;
        assert_eq!(reply["data"]["field"], field, "{request}: {reply}");
    }
    assert!(cashier.bank.database.contents().await == before);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn an_account_that_is_about_to_be_renewed_waits_for_that() {
    let cashier = with_card().await;
    cashier.bank.sell_calls().await;
    set(&cashier, "20", "3", "").await;
    let due = "update topup.subscription set due_at = clock_timestamp()";
    cashier.bank.admin.batch_execute(due).await.unwrap();
    spend(&cashier, "4").await;
    assert_eq!(begun(&cashier.bank).await, 0);
    cashier.run_due().await;
    let later = "update topup.auto_top_up set due_at = due_at - interval '5 seconds'";
    cashier.bank.admin.batch_execute(later).await.unwrap();
    cashier.run_due().await;
    assert_eq!(begun(&cashier.bank).await, 1, "the renewal gave nothing");
    cashier.bank.database.check().await;
}

/// A saved card of the tenant itself.
async fn save_own_card(bank: &Bank) {
    let save = "insert into topup.payment_method (tenant_id, environment, method_id, provider, provider_customer_id,
                                                  provider_method_id)
                select tenant_id, environment, topup.new_id(), 'test', 'cus_t', 'pm_t' from topup.tenant_environment
                 where environment = 'staging'";
    bank.admin.batch_execute(save).await.unwrap();
}

#[tokio::test]
async fn a_thousand_sends_that_cross_the_threshold_at_once_make_one_charge() {
    let cashier = Cashier::open().await;
    save_own_card(&cashier.bank).await;
    cashier.gateway.batch_execute("select topup.worker_sleep(gen_random_uuid(), 60)").await.unwrap();
    let fund =
        "select topup.fund(topup.format_id('acct', tenant_id), 'staging', 100000, 'more') from topup.tenant";
    cashier.bank.admin.execute(fund, &[]).await.unwrap();
    let set = call(&cashier.bank.app, "topup.set_auto_top_up(5000, 1900)").await;
    assert_eq!(set["code"], 1000, "{set}");
    let gate = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (app, gate) = (cashier.bank.database.app(&cashier.bank.key).await, gate.clone());
        clients.spawn(async move {
            gate.wait().await;
            for _ in 0..SENDS / CLIENTS {
                assert_eq!(call(&app, "topup.send('claude', 100)").await["code"], 1001);
            }
        });
    }
    clients.join_all().await;
    assert_eq!(begun(&cashier.bank).await, 1);
    let claim = settle(&cashier, "succeeded").await;
    assert!(claim.request["payment_id"].as_str().unwrap().starts_with("in_"));
    assert_eq!(claim.request["customer_id"], Value::Null);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_worker_that_sleeps_is_woken_for_the_charge_and_only_then() {
    let cashier = with_card().await;
    let (_listener, mut heard) = cashier.bank.database.notifications("topup_effects").await;
    set(&cashier, "20", "3", "").await;
    spend(&cashier, "2.5").await;
    assert_eq!(begun(&cashier.bank).await, 1);
    settle(&cashier, "succeeded").await;
    cashier.gateway.batch_execute("select topup.worker_sleep(gen_random_uuid(), 60)").await.unwrap();
    spend(&cashier, "1").await;
    // Statements cannot see a worker that is about to sleep, so that with them every event notifies.
    let sees_sleepers = std::env::var("TOPUP_WRITE_PATH").as_deref() != Ok("statements");
    assert!(!sees_sleepers || heard.try_recv().is_err(), "nobody slept, and then nothing was to be done");
    spend(&cashier, "19").await;
    assert_eq!(begun(&cashier.bank).await, 2);
    tokio::time::timeout(LIMIT, heard.recv()).await.expect("no wake-up").unwrap();
}

#[tokio::test]
async fn a_transaction_that_does_not_see_what_others_began_leaves_it_to_the_worker() {
    let cashier = with_card().await;
    set(&cashier, "20", "3", "").await;
    let app = &cashier.bank.app;
    app.batch_execute("begin isolation level repeatable read; select topup.balance()").await.unwrap();
    cashier.charge_card("50").await;
    let spend = format!("select topup.adjust('b1', 'USD', -4, 'other', '{}'); commit", cashier.bank.customer);
    app.batch_execute(&spend).await.unwrap();
    cashier.run_due().await;
    assert_eq!(begun(&cashier.bank).await, 0, "50 dollars are on their way");
    let claim = cashier.claim_one().await;
    cashier.settle(&[claim.answer("failed", json!({}))]).await;
    assert_eq!(begun(&cashier.bank).await, 1);
    cashier.bank.database.check().await;
}
