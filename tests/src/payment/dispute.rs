//! Disputes of top-ups: the credit that is left is taken at once, and given back exactly if the dispute is won.

use crate::support::{Cashier, LIMIT, Payer, call, digits, wait_until};
use serde_json::{Value, json};

/// A top-up that is paid; its id.
async fn paid(cashier: &Cashier, amount: &str) -> String {
    let (id, _) = cashier.begun(amount, "").await;
    let report = json!({"provider_payment_id": format!("pi_{id}")});
    assert_eq!(cashier.report(&id, "succeeded", report).await["changed"], true);
    id
}

/// Tells how a dispute stands; whether that changed anything.
async fn tell(cashier: &Cashier, id: &str, dispute: &str, status: &str) -> bool {
    let told = json!({"dispute_id": dispute, "dispute_status": status, "code": "fraudulent"});
    cashier.report(id, "disputed", told).await["changed"].as_bool().unwrap()
}

async fn spend(cashier: &Cashier, amount: &str) {
    assert_eq!(cashier.bank.adjust(&format!("-{amount}"), "other", "").await["code"], 1000);
}

async fn has(cashier: &Cashier, amount: &str) {
    assert_eq!(cashier.bank.balance().await, amount);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_dispute_takes_what_is_left_and_a_won_one_gives_it_back_once() {
    let cashier = Cashier::open().await;
    cashier.listen().await;
    let id = paid(&cashier, "20").await;
    spend(&cashier, "5.5").await;
    cashier.bank.adjust("7", "gift", "").await;
    assert!(tell(&cashier, &id, "dp_1", "open").await);
    assert!(!tell(&cashier, &id, "dp_1", "open").await);
    has(&cashier, "7").await;
    let told = cashier.events("wallet.topup.disputed").await.pop().unwrap();
    assert!(told["transaction_id"].as_str().unwrap().starts_with("txn_"), "{told}");
    let data = &told["data"];
    assert_eq!((&data["id"], &data["account_id"]), (&json!(id), &json!("default:USD")));
    let dispute = &data["dispute"];
    assert_eq!((&dispute["provider_dispute_id"], &dispute["reason"]), (&json!("dp_1"), &json!("fraudulent")));
    assert_eq!((dispute["taken_credit"].to_string(), &dispute["amount"]), ("14.5".to_owned(), &json!(20)));
    let seen = call(&cashier.bank.app, &format!("topup.top_up_get('{id}')")).await["data"]["dispute"].clone();
    assert_eq!((&seen["status"], seen["taken_credit"].to_string()), (&json!("open"), "14.5".to_owned()));

    assert!(tell(&cashier, &id, "dp_1", "won").await);
    for late in ["won", "open", "lost", "inquiry"] {
        assert!(!tell(&cashier, &id, "dp_1", late).await, "{late}");
    }
    has(&cashier, "21.5").await;
    assert_eq!(cashier.bank.grants().await, ["14.5"], "to the grant that it came from");
    let told = cashier.events("wallet.topup.dispute.won").await;
    let dispute = &told[0]["data"]["dispute"];
    assert_eq!((told.len(), dispute["returned_credit"].to_string()), (1, "14.5".to_owned()));
    assert_eq!(cashier.events("wallet.topup.dispute.lost").await.len(), 0);
}

#[tokio::test]
async fn whatever_the_order_in_which_it_is_told_the_end_counts() {
    let cashier = Cashier::open().await;
    let mut number = 0;
    for (statuses, left) in [(["inquiry", "open", "lost"], "0"), (["open", "lost", "won"], "20")] {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for is_told_first in [false, true] {
                number += 1;
                let dispute = format!("dp_{number}");
                let (id, _) = cashier.begun("20", "").await;
                let succeed = json!({"provider_payment_id": format!("pi_{number}")});
                if !is_told_first {
                    cashier.report(&id, "succeeded", succeed.clone()).await;
                }
                for turn in order {
                    tell(&cashier, &id, &dispute, statuses[turn]).await;
                }
                cashier.report(&id, "succeeded", succeed).await;
                for turn in order {
                    tell(&cashier, &id, &dispute, statuses[turn]).await;
                }
                assert_eq!(cashier.bank.balance().await, left, "{statuses:?} {order:?} {is_told_first}");
                if left != "0" {
                    spend(&cashier, left).await;
                }
            }
        }
    }
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_lost_dispute_keeps_the_credit_and_an_inquiry_takes_none() {
    let cashier = Cashier::open().await;
    cashier.listen().await;
    let id = paid(&cashier, "20").await;
    assert!(tell(&cashier, &id, "dp_1", "inquiry").await);
    has(&cashier, "20").await;
    assert_eq!(cashier.events("wallet.topup.disputed").await[0]["status"], "inquiry");
    let refund = format!("topup.top_up_refund('{id}')");
    let refused = call(&cashier.bank.app, &refund).await;
    assert_eq!(
        (&refused["code"], &refused["data"]["field"]),
        (&json!(2000), &json!("top_up_id")),
        "{refused}"
    );
    let part =
        json!({"dispute_id": "dp_1", "dispute_status": "open", "disputed_minor": 2000, "currency": "USD"});
    cashier.report(&id, "disputed", part).await;
    tell(&cashier, &id, "dp_1", "lost").await;
    has(&cashier, "0").await;
    let told = cashier.events("wallet.topup.dispute.lost").await;
    assert_eq!((told.len(), told[0]["data"]["dispute"]["taken_credit"].to_string()), (1, "20".to_owned()));
    assert_eq!(call(&cashier.bank.app, &refund).await["code"], 2005, "the bank has the money");
    // A bank may think again.
    assert!(tell(&cashier, &id, "dp_1", "won").await);
    has(&cashier, "20").await;
}

#[tokio::test]
async fn part_of_a_top_up_is_disputed_as_part_of_it_is_refunded() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    let open =
        json!({"dispute_id": "dp_1", "dispute_status": "open", "disputed_minor": 800, "currency": "usd"});
    cashier.report(&id, "disputed", open).await;
    has(&cashier, "12").await;
    // What the provider refunds meanwhile is of the credit that is left, and then of what the dispute holds.
    cashier.report(&id, "refunded", json!({"refunded_minor": 1500})).await;
    has(&cashier, "0").await;
    tell(&cashier, &id, "dp_1", "won").await;
    has(&cashier, "5").await;

    let second = paid(&cashier, "20").await;
    cashier.report(&second, "refunded", json!({"refunded_minor": 500})).await;
    tell(&cashier, &second, "dp_2", "open").await;
    has(&cashier, "5").await;
    tell(&cashier, &second, "dp_2", "won").await;
    has(&cashier, "20").await;
}

#[tokio::test]
async fn a_refund_that_fails_while_the_payment_is_disputed_leaves_the_credit_with_the_dispute() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    call(&cashier.bank.app, &format!("topup.top_up_refund('{id}', 12)")).await;
    tell(&cashier, &id, "dp_1", "open").await;
    has(&cashier, "0").await;
    let claim = cashier.claim_one().await;
    cashier.settle(&[claim.answer("failed", json!({"code": "charge_disputed"}))]).await;
    has(&cashier, "0").await;
    tell(&cashier, &id, "dp_1", "won").await;
    has(&cashier, "20").await;
}

#[tokio::test]
async fn credit_that_expires_while_it_is_disputed_is_gone_when_that_is_won() {
    let cashier = Cashier::open().await;
    let id = paid(&cashier, "20").await;
    tell(&cashier, &id, "dp_1", "open").await;
    let over = "update topup.credit_grant set expires_at = clock_timestamp()";
    cashier.bank.admin.batch_execute(over).await.unwrap();
    tell(&cashier, &id, "dp_1", "won").await;
    has(&cashier, "0").await;
}

#[tokio::test]
async fn a_top_up_of_the_tenants_own_wallet_is_disputed_alike() {
    let cashier = Cashier::open().await;
    cashier.listen().await;
    let cents = async || call(&cashier.bank.app, "topup.balance()").await["data"]["balance_cents"].clone();
    let before = cents().await.as_i64().unwrap();
    let begun = call(&cashier.bank.app, "topup.funding_top_up(5000)").await;
    let id = begun["data"]["payment_intent_id"].as_str().unwrap();
    cashier.report(id, "succeeded", json!({"provider_payment_id": "pi_w"})).await;
    assert_eq!(call(&cashier.bank.app, "topup.send('claude', 1000)").await["code"], 1001);
    assert!(tell(&cashier, id, "dp_w", "open").await);
    assert_eq!(cents().await, before - 1000);
    let told = cashier.events("wallet.topup.disputed").await.pop().unwrap();
    assert_eq!((&told["data"]["id"], &told["data"]["account_id"]), (&json!(id), &Value::Null));
    assert!(tell(&cashier, id, "dp_w", "won").await);
    assert_eq!(cents().await, before + 4000);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn who_disputes_is_not_charged_by_an_auto_top_up_until_a_card_is_saved_anew() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    let customer = &cashier.bank.customer;
    let set = format!("topup.set_auto_top_up(20, 3, '{customer}')");
    assert_eq!(call(&cashier.bank.app, &set).await["code"], 1000);
    let first = "(select topup.format_id('top', payment_id) from topup.payment limit 1)";
    let first: String = cashier.bank.admin.query_one(&format!("select {first}"), &[]).await.unwrap().get(0);
    tell(&cashier, &first, "dp_1", "open").await;
    has(&cashier, "0").await;
    let charges = "select count(*) from topup.payment where origin = 'auto'";
    let charges = async || cashier.bank.admin.query_one(charges, &[]).await.unwrap().get::<_, i64>(0);
    let later = "update topup.auto_top_up set due_at = clock_timestamp()";
    cashier.bank.admin.batch_execute(later).await.unwrap();
    cashier.run_due().await;
    assert_eq!(charges().await, 0);
    let shown = call(&cashier.bank.app, &format!("topup.auto_top_up('{customer}')")).await["data"].clone();
    assert!(shown["error"].as_str().unwrap().contains("disputes"), "{shown}");
    cashier.save_card("pm_2").await;
    cashier.run_due().await;
    spend(&cashier, "4").await;
    assert_eq!(charges().await, 1);
    let claim = cashier.claim_one().await;
    cashier.settle(&[claim.answer("succeeded", json!({}))]).await;
    // A charge of an auto top-up is disputed as any other.
    tell(&cashier, claim.request["payment_id"].as_str().unwrap(), "dp_2", "open").await;
    has(&cashier, "1").await;
}

const DISPUTED: &str = "4000000000000259";
const WON: &str = "4000000000007510";
const LOST: &str = "4000000000007528";

#[tokio::test]
async fn test_cards_play_disputes_on_the_checkout_and_when_they_are_charged_later() {
    let payer = Payer::open().await;
    for (number, status, left) in [(DISPUTED, "open", "0"), (WON, "won", "10"), (LOST, "lost", "10")] {
        let top_up = payer.top_up("10", json!({})).await;
        payer.pay(&top_up, number, &[]).await.expect_status(303);
        let seen = payer.till.root.get(&format!("/top-ups/{}", top_up.id)).await.expect_status(200).json;
        assert_eq!((&seen["status"], &seen["dispute"]["status"]), (&json!("succeeded"), &json!(status)));
        assert_eq!(payer.available("USD").await.as_deref(), Some(left), "{status}");
    }
    payer.save_card(LOST).await;
    let charge = payer.charge_saved_card("10").await;
    wait_until(LIMIT, "the charge is disputed", async || {
        let seen = payer.till.root.get(&format!("/top-ups/{}", charge.id)).await.expect_status(200);
        (seen.json["dispute"]["status"] == "lost" && digits(&seen.text, "taken_credit") == "10").then_some(())
    })
    .await;
    assert_eq!(payer.available("USD").await.as_deref(), Some("10"));
    payer.till.shop.database.check().await;
}
