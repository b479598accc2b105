//! Auto top-ups that are declined, or cannot begin: they wait, end, and begin again.

use crate::payment::auto_top_up::{begun, set, settle, shown, spend, with_card};
use crate::support::{Cashier, call};
use serde_json::{Value, json};

#[tokio::test]
async fn after_a_decline_it_waits_an_hour_and_after_the_third_it_is_switched_off() {
    let cashier = with_card().await;
    cashier.listen().await;
    set(&cashier, "20", "3", "").await;
    spend(&cashier, "4").await;
    for number in 1..=3 {
        settle(&cashier, if number == 2 { "requires_action" } else { "failed" }).await;
        cashier.run_due().await;
        assert_eq!(begun(&cashier.bank).await, number, "not before an hour has passed");
        let state = shown(&cashier).await;
        assert_eq!(state["error"], "Declined.");
        assert!(state["last_failed_at"].is_string(), "{state}");
        assert_eq!(state["not_before"].is_string(), number < 3);
        cashier.bank.database.check().await;
        let later = "update topup.auto_top_up set due_at = due_at - interval '1 hour', not_before = not_before - interval '1 hour'";
        cashier.bank.admin.batch_execute(later).await.unwrap();
        cashier.run_due().await;
    }
    assert_eq!(begun(&cashier.bank).await, 3);
    assert_eq!(shown(&cashier).await["disabled_reason"], "three_declines");
    let told = cashier.events("wallet.auto_topup.disabled").await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["data"]["reason"], &told[0]["data"]["account_id"]),
        (&json!("three_declines"), &json!("default:USD"))
    );
    spend(&cashier, "0.5").await;
    assert_eq!(begun(&cashier.bank).await, 3);

    cashier.save_card("pm_2").await;
    cashier.run_due().await;
    assert_eq!(shown(&cashier).await["disabled_reason"], Value::Null, "a new card arms it again");
    spend(&cashier, "4").await;
    let claim = settle(&cashier, "succeeded").await;
    assert_eq!(claim.request["provider_method_id"], "pm_2");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn setting_it_again_forgets_the_declines() {
    let cashier = with_card().await;
    set(&cashier, "20", "10", "").await;
    settle(&cashier, "failed").await;
    assert!(shown(&cashier).await["not_before"].is_string());
    let again = set(&cashier, "20", "10", "").await;
    assert_eq!((&again["not_before"], &again["error"]), (&Value::Null, &Value::Null));
    assert_eq!(begun(&cashier.bank).await, 2, "it fires at once");
    settle(&cashier, "succeeded").await;
    settle_two_declines(&cashier).await;
    assert_eq!(
        shown(&cashier).await["disabled_reason"],
        Value::Null,
        "a success in between counts from the start"
    );
    cashier.bank.database.check().await;
}

async fn settle_two_declines(cashier: &Cashier) {
    for _ in 0..2 {
        let low = cashier.bank.balance().await;
        if low.parse::<f64>().unwrap() >= 10.0 {
            spend(cashier, "16").await;
        }
        settle(cashier, "failed").await;
        let later = "update topup.auto_top_up set due_at = due_at - interval '1 hour', not_before = not_before - interval '1 hour'";
        cashier.bank.admin.batch_execute(later).await.unwrap();
        cashier.run_due().await;
    }
}

#[tokio::test]
async fn a_decline_of_an_earlier_card_says_nothing_about_the_new_one() {
    let cashier = with_card().await;
    set(&cashier, "20", "3", "").await;
    spend(&cashier, "4").await;
    let claim = cashier.claim_one().await;
    // Paying with it brings the account up; then it falls again.
    cashier.save_card("pm_2").await;
    spend(&cashier, "5").await;
    let declined = claim.answer("failed", json!({"code": "expired_card", "message": "Expired."}));
    assert_eq!(cashier.settle(&[declined]).await, 1);
    assert_eq!(shown(&cashier).await["not_before"], Value::Null);
    assert_eq!(settle(&cashier, "succeeded").await.request["provider_method_id"], "pm_2");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn one_that_cannot_begin_says_why_and_is_tried_again() {
    let cashier = with_card().await;
    let customer = &cashier.bank.customer;
    let app = &cashier.bank.app;
    let asset = "topup.asset_create('TOK', 'Tokens', 0, rates => '[{\"source\":\"USD\",\"rate\":0.01}]')";
    assert_eq!(call(app, asset).await["code"], 1000);
    let given = format!("topup.adjust('t1', 'TOK', 500, 'gift', '{customer}')");
    assert_eq!(call(app, &given).await["code"], 1000);
    set(&cashier, "20", "300", ", asset => 'TOK'").await;
    let end = "update topup.asset_rate set valid_from = valid_from + interval '1 day' where code = 'TOK'";
    cashier.bank.admin.batch_execute(end).await.unwrap();
    let spent = format!("topup.adjust('t2', 'TOK', -300, 'other', '{customer}')");
    assert_eq!(call(app, &spent).await["code"], 1000, "whoever spends does not fail for it");
    let state = call(app, &format!("topup.auto_top_up('{customer}', asset => 'TOK')")).await["data"].clone();
    assert!(state["error"].as_str().is_some_and(|why| why.contains("rate")), "{state}");
    assert_eq!(begun(&cashier.bank).await, 0);
    let again = "update topup.asset_rate set valid_from = valid_from - interval '1 day' where code = 'TOK';
                 update topup.auto_top_up set due_at = due_at - interval '1 hour'";
    cashier.bank.admin.batch_execute(again).await.unwrap();
    cashier.run_due().await;
    assert_eq!(begun(&cashier.bank).await, 1);
    settle(&cashier, "succeeded").await;
    cashier.bank.database.check().await;
}
