//! Refunds of top-ups: the money goes back, and of the credit what is left of it, never other credit.

use crate::support::{Cashier, call};
use serde_json::{Value, json};

/// A top-up that is paid; its id.
async fn paid(cashier: &Cashier, amount: &str) -> String {
    let (id, _) = cashier.begun(amount, "").await;
    let report = json!({"provider_payment_id": format!("pi_{id}")});
    assert_eq!(cashier.report(&id, "succeeded", report).await["changed"], true);
    id
}

async fn refund(cashier: &Cashier, id: &str, amount: &str) -> Value {
    call(&cashier.bank.app, &format!("topup.top_up_refund('{id}', {amount})")).await
}

/// What a refund took back, and what it could not.
fn taken(reply: &Value) -> (String, String) {
    assert_eq!(reply["code"], 1000, "{reply}");
    (reply["data"]["refunded_credit"].to_string(), reply["data"]["not_recovered"].to_string())
}

fn two(first: &str, second: &str) -> (String, String) {
    (first.to_owned(), second.to_owned())
}

async fn spend(cashier: &Cashier, amount: &str) {
    assert_eq!(cashier.bank.adjust(&format!("-{amount}"), "other", "").await["code"], 1000);
}

#[tokio::test]
async fn a_refund_takes_back_the_credit_and_has_the_money_sent_back() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    let reply = refund(&cashier, &id, "null").await;
    assert_eq!(taken(&reply), two("20", "0"));
    assert_eq!((&reply["data"]["status"], &reply["data"]["amount"]), (&json!("pending"), &json!(20)));
    assert_eq!(
        (cashier.bank.balance().await, cashier.bank.total("cash").await),
        ("0".into(), "-1000".into())
    );
    let claim = cashier.claim_one().await;
    let told = |field: &str| claim.request[field].clone();
    assert_eq!((told("action"), told("amount_minor")), (json!("refund"), json!(2000)));
    assert_eq!((told("payment_id"), told("provider_payment_id")), (json!(id), json!(format!("pi_{id}"))));
    assert!(told("idempotency_key").as_str().unwrap().starts_with("re_"));
    assert!(told("refund_id").is_string());
    assert_eq!(cashier.settle(&[claim.answer("refunded", json!({}))]).await, 1);
    assert_eq!(cashier.settle(&[claim.answer("refunded", json!({}))]).await, 0);
    assert!(cashier.claim(60).await.is_empty());
    let seen = call(&cashier.bank.app, &format!("topup.top_up_get('{id}')")).await;
    assert_eq!((&seen["data"]["refunded"], &seen["data"]["status"]), (&json!(20), &json!("succeeded")));
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn what_was_spent_is_not_taken_from_other_credit() {
    let cashier = Cashier::open().await;
    let first = paid(&cashier, "20").await;
    spend(&cashier, "15").await;
    let second = paid(&cashier, "20").await;
    cashier.bank.adjust("7", "gift", "").await;
    assert_eq!(taken(&refund(&cashier, &first, "null").await), two("5", "15"));
    assert_eq!(cashier.bank.balance().await, "27", "the second top-up and the gift are untouched");
    assert_eq!(taken(&refund(&cashier, &second, "8").await), two("8", "0"));
    assert_eq!(taken(&refund(&cashier, &second, "12").await), two("12", "0"));
    assert_eq!(cashier.bank.balance().await, "7");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn parts_add_up_to_the_whole_and_no_more_is_refunded_than_was_paid() {
    let cashier = Cashier::open().await;
    let app = &cashier.bank.app;
    call(app, "topup.asset_create('TOK', 'Tokens', 0)").await;
    let destination = r#"destination => '{"asset": "TOK", "exchange_rate": 0.333}'"#;
    let (id, _) = cashier.begun("10", destination).await;
    cashier.report(&id, "succeeded", json!({})).await;
    let mut sum = 0;
    for part in ["3.33", "3.33", "3.34"] {
        sum += taken(&refund(&cashier, &id, part).await).0.parse::<i32>().unwrap();
    }
    assert_eq!(sum, 3, "3 tokens were bought");
    let before = cashier.bank.database.contents().await;
    for (amount, code) in
        [("null", 2005), ("0.01", 2005), ("0", 2005), ("-1", 2005), ("0.001", 2005), ("'NaN'", 2000)]
    {
        assert_eq!(refund(&cashier, &id, amount).await["code"], code, "{amount}");
    }
    let (unpaid, _) = cashier.begun("10", "").await;
    let unpaid_before = cashier.bank.database.contents().await;
    assert_ne!(before, unpaid_before);
    let reply = refund(&cashier, &unpaid, "null").await;
    assert_eq!((&reply["code"], &reply["data"]["field"]), (&json!(2000), &json!("top_up_id")));
    for nothing in ["top_00000000000000000000000000", "nothing"] {
        assert_eq!(refund(&cashier, nothing, "null").await["data"]["field"], "top_up_id");
    }
    assert!(cashier.bank.database.contents().await == unpaid_before);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_refund_that_the_provider_refuses_gives_the_credit_back() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    spend(&cashier, "5").await;
    refund(&cashier, &id, "null").await;
    assert_eq!(cashier.bank.balance().await, "0");
    let claim = cashier.claim_one().await;
    assert_eq!(cashier.settle(&[claim.answer("unknown", json!({}))]).await, 1);
    cashier.pass("5 seconds").await;
    let again = cashier.claim_one().await;
    assert_eq!(again.request, claim.request, "the same refund under the same key");
    let refused = again.answer("failed", json!({"code": "charge_disputed", "message": "Disputed."}));
    assert_eq!(cashier.settle(std::slice::from_ref(&refused)).await, 1);
    assert_eq!(cashier.settle(&[refused]).await, 0);
    assert_eq!(
        (cashier.bank.balance().await, cashier.bank.grants().await),
        ("15".into(), vec!["15".to_owned()])
    );
    assert_eq!(taken(&refund(&cashier, &id, "20").await), two("15", "5"), "it can be tried again");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_refund_made_at_the_provider_is_found_by_its_message_and_once() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    let report = async |minor: i64, event: &str| {
        cashier.report(&id, "refunded", json!({"refunded_minor": minor, "event_id": event})).await["changed"]
            .clone()
    };
    assert_eq!(report(500, "evt_1").await, true);
    assert_eq!(report(500, "evt_1").await, false);
    assert_eq!(report(500, "evt_2").await, false, "as much was refunded already");
    assert_eq!(cashier.bank.balance().await, "15");
    assert_eq!(report(800, "evt_3").await, true);
    assert_eq!(report(500, "evt_0").await, false, "one that comes late");
    assert_eq!(cashier.bank.balance().await, "12");
    assert!(cashier.claim(60).await.is_empty(), "the money is back already");
    // Ours, of which the provider tells too.
    refund(&cashier, &id, "2").await;
    assert_eq!(report(1000, "evt_4").await, false);
    assert_eq!(cashier.bank.balance().await, "10");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn credit_that_is_held_or_expired_is_not_taken_back() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    cashier.bank.held("6", "1 hour").await;
    assert_eq!(taken(&refund(&cashier, &id, "null").await), two("14", "6"));
    let (short, _) =
        cashier.begun("10", "credit_expires_at => clock_timestamp() + interval '0.3 seconds'").await;
    cashier.report(&short, "succeeded", json!({})).await;
    let waited = "select pg_sleep_until(clock_timestamp() + interval '0.4 seconds')";
    cashier.bank.admin.batch_execute(waited).await.unwrap();
    assert_eq!(taken(&refund(&cashier, &short, "null").await), two("0", "10"));
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_refund_that_is_told_before_the_payment_waits_for_it() {
    let cashier = Cashier::open().await;
    let (id, _) = cashier.begun("20", "").await;
    let told = json!({"refunded_minor": 500, "event_id": "evt_1"});
    assert_eq!(cashier.report(&id, "refunded", told).await["changed"], false);
    cashier.report(&id, "succeeded", json!({"provider_payment_id": "pi_1"})).await;
    assert_eq!(cashier.bank.balance().await, "15");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_refund_that_comes_back_gives_the_credit_back_once() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    let failed = async |more: Value| cashier.report(&id, "refund_failed", more).await["changed"].clone();
    // Ours, which the provider first called refunded.
    refund(&cashier, &id, "8").await;
    let claim = cashier.claim_one().await;
    cashier.settle(&[claim.answer("refunded", json!({}))]).await;
    let ours = claim.request["refund_id"].clone();
    assert_eq!(cashier.bank.balance().await, "12");
    assert_eq!(failed(json!({"refund_id": ours, "refunded_minor": 0})).await, true);
    assert_eq!(failed(json!({"refund_id": ours, "refunded_minor": 0})).await, false);
    assert_eq!(cashier.bank.balance().await, "20");
    // Two that the provider made, of which one comes back.
    cashier.report(&id, "refunded", json!({"refunded_minor": 500})).await;
    cashier.report(&id, "refunded", json!({"refunded_minor": 800})).await;
    assert_eq!(cashier.bank.balance().await, "12");
    assert_eq!(failed(json!({"refunded_minor": 300})).await, true);
    assert_eq!(failed(json!({"refunded_minor": 300})).await, false);
    assert_eq!(cashier.bank.balance().await, "17");
    cashier.report(&id, "refunded", json!({"refunded_minor": 300})).await;
    assert_eq!(cashier.bank.balance().await, "17");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn what_the_provider_refunds_while_ours_is_under_way_is_not_forgotten_when_that_fails() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    refund(&cashier, &id, "null").await;
    assert_eq!(cashier.report(&id, "refunded", json!({"refunded_minor": 500})).await["changed"], false);
    let claim = cashier.claim_one().await;
    cashier.settle(&[claim.answer("failed", json!({"code": "charge_already_refunded"}))]).await;
    assert_eq!(cashier.bank.balance().await, "15");
    let seen = call(&cashier.bank.app, &format!("topup.top_up_get('{id}')")).await;
    assert_eq!(seen["data"]["refunded"], 5);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn plain_credit_that_was_spent_is_not_taken_from_what_came_later() {
    let cashier = Cashier::open().await;
    let (late, _) =
        cashier.begun("20", "credit_expires_at => clock_timestamp() + interval '0.2 seconds'").await;
    let waited = "select pg_sleep(0.3)";
    cashier.bank.admin.batch_execute(waited).await.unwrap();
    cashier.report(&late, "succeeded", json!({"provider_payment_id": "pi_1"})).await;
    assert_eq!(cashier.bank.balance().await, "20");
    spend(&cashier, "20").await;
    assert_eq!(cashier.bank.adjust("15", "gift", "").await["code"], 1000);
    assert_eq!(taken(&refund(&cashier, &late, "null").await), two("0", "20"));
    assert_eq!(cashier.bank.balance().await, "15");
    cashier.bank.database.check().await;
}
