//! Charges of saved cards and look-ups: claimed with a lease by the gateway, which may die at every step, and settled once.

use crate::support::{Cashier, Claim, call, report_to};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const CLIENTS: usize = 32;

fn succeeded(claim: &Claim) -> Value {
    claim.answer("succeeded", json!({"provider_payment_id": "pi_charge"}))
}

async fn due_in_s(cashier: &Cashier) -> Option<f64> {
    cashier.gateway.query_one("select topup.next_payment_due()", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_saved_card_is_charged_by_whoever_claims_it() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    assert_eq!(due_in_s(&cashier).await, None);
    let id = cashier.charge_card("10").await;
    assert_eq!(due_in_s(&cashier).await, Some(0.0));
    let claim = cashier.claim_one().await;
    let told = |field: &str| claim.request[field].clone();
    assert_eq!(
        (told("action"), told("provider"), told("environment")),
        (json!("charge"), json!("test"), json!("staging"))
    );
    assert_eq!((told("idempotency_key"), told("payment_id")), (json!(id), json!(id)));
    assert_eq!(
        (told("amount_minor"), told("currency"), told("method")),
        (json!(1000), json!("USD"), json!("off_session"))
    );
    assert_eq!((told("provider_customer_id"), told("provider_method_id")), (json!("cus_1"), json!("pm_1")));
    assert_eq!(told("provider_payment_id"), Value::Null);
    assert!(cashier.claim(60).await.is_empty(), "it is leased");
    assert_eq!(cashier.settle(&[succeeded(&claim)]).await, 1);
    assert_eq!((cashier.status(&id).await, cashier.bank.balance().await), (json!("succeeded"), "15".into()));
    assert_eq!(cashier.settle(&[succeeded(&claim)]).await, 0);
    assert_eq!((due_in_s(&cashier).await, cashier.bank.balance().await), (None, "15".into()));
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_gateway_that_dies_after_its_claim_leaves_the_same_charge_to_the_next() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    let id = cashier.charge_card("10").await;
    let first = cashier.claim_one().await;
    cashier.save_card("pm_2").await;
    cashier.pass("1 minute").await;
    let second = cashier.claim_one().await;
    assert_eq!(second.request, first.request, "the same request under the same key, of the same card");
    assert_eq!(second.fence, first.fence + 1);
    // The dead one was only slow: what it was told is a fact, once.
    assert_eq!(cashier.settle(&[first.answer("unknown", json!({}))]).await, 0, "it has no lease");
    assert_eq!(cashier.settle(&[succeeded(&first)]).await, 1);
    assert_eq!(cashier.settle(&[succeeded(&second)]).await, 0);
    assert_eq!((cashier.status(&id).await, cashier.bank.balance().await), (json!("succeeded"), "20".into()));
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_charge_that_was_refused_ends_and_is_told() {
    let cashier = Cashier::open().await;
    cashier.listen().await;
    cashier.save_card("pm_1").await;
    for (result, more, code) in [
        ("failed", json!({"code": "insufficient_funds", "message": "No funds."}), "insufficient_funds"),
        ("requires_action", json!({}), "authentication_required"),
        ("failed", json!({}), "declined"),
    ] {
        let id = cashier.charge_card("10").await;
        let claim = cashier.claim_one().await;
        assert_eq!(cashier.settle(&[claim.answer(result, more)]).await, 1);
        assert_eq!(cashier.status(&id).await, "failed");
        let told = cashier.events("wallet.topup.failed").await.pop().unwrap();
        assert_eq!((&told["data"]["failure"]["code"], &told["transaction_id"]), (&json!(code), &Value::Null));
    }
    assert!(cashier.claim(60).await.is_empty());
    assert_eq!(cashier.bank.balance().await, "5");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn without_an_answer_the_provider_is_asked_again_ever_more_seldom() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    let id = cashier.charge_card("10").await;
    for pause_s in [5.0, 30.0, 120.0, 600.0, 3600.0, 3600.0] {
        let claim = cashier.claim_one().await;
        assert_eq!(claim.request["action"], "charge");
        assert_eq!(cashier.settle(&[claim.answer("unknown", json!({}))]).await, 1);
        let due = due_in_s(&cashier).await.unwrap();
        assert!(due <= pause_s && due > pause_s - 3.0, "{due} of {pause_s}");
        cashier.pass(&format!("{pause_s} seconds")).await;
    }
    cashier.pass("20 hours").await;
    let claim = cashier.claim_one().await;
    assert_eq!(claim.request["action"], "look_up", "the provider may have forgotten the key");
    assert_eq!(cashier.settle(&[claim.answer("unknown", json!({}))]).await, 1);
    assert_eq!(cashier.status(&id).await, "pending");
    cashier.pass("72 hours").await;
    let claim = cashier.claim_one().await;
    assert_eq!(cashier.settle(&[claim.answer("unknown", json!({}))]).await, 1);
    assert_eq!((cashier.status(&id).await, due_in_s(&cashier).await), (json!("failed"), None));
    assert_eq!(cashier.report(&id, "succeeded", json!({})).await["changed"], true, "found after all");
    assert_eq!(cashier.bank.balance().await, "15");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_charge_that_has_an_id_is_looked_up_and_not_repeated() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    cashier.charge_card("10").await;
    let claim = cashier.claim_one().await;
    cashier.settle(&[claim.answer("unknown", json!({"provider_payment_id": "pi_slow"}))]).await;
    cashier.pass("5 seconds").await;
    let claim = cashier.claim_one().await;
    assert_eq!(
        (&claim.request["action"], &claim.request["provider_payment_id"]),
        (&json!("look_up"), &json!("pi_slow"))
    );
    assert_eq!(
        cashier.settle(&[claim.answer("succeeded", json!({"provider_payment_id": "pi_slow"}))]).await,
        1
    );
    assert_eq!(cashier.bank.balance().await, "15");
}

#[tokio::test]
async fn a_session_at_the_provider_is_one_and_is_asked_for_in_case_its_message_is_lost() {
    let cashier = Cashier::open().await;
    let (paid, token) = cashier.begun("10", "").await;
    let (unpaid, other_token) = cashier.begun("20", "").await;
    assert_eq!(cashier.begin(&token, Some("cs_1")).await["provider_payment_id"], "cs_1");
    let again = cashier.begin(&token, Some("cs_2")).await;
    assert_eq!((&again["provider_payment_id"], &again["begun"]), (&json!("cs_1"), &json!(true)));
    cashier.begin(&other_token, Some("cs_3")).await;
    assert!(cashier.claim(60).await.is_empty(), "the provider's message comes first");
    cashier.pass("10 minutes").await;
    for claim in cashier.claim(60).await {
        assert_eq!(
            (&claim.request["action"], &claim.request["method"]),
            (&json!("look_up"), &json!("checkout"))
        );
        let is_paid = claim.request["provider_payment_id"] == "cs_1";
        let answer = if is_paid { "succeeded" } else { "unknown" };
        assert_eq!(cashier.settle(&[claim.answer(answer, json!({}))]).await, 1);
    }
    assert_eq!(cashier.status(&paid).await, "pending", "only a report says who paid how much");
    let more = json!({"provider_payment_id": "pi_1", "amount_minor": 1000, "currency": "USD"});
    assert_eq!(cashier.report(&paid, "succeeded", more).await["changed"], true);
    assert_eq!(
        (cashier.status(&paid).await, cashier.status(&unpaid).await),
        (json!("succeeded"), json!("pending"))
    );
    cashier.pass("24 hours").await;
    cashier.run_due().await;
    let open = "select count(*) from topup.payment where status = 'pending'";
    assert_eq!(
        cashier.bank.admin.query_one(open, &[]).await.unwrap().get::<_, i64>(0),
        1,
        "the provider is asked once more"
    );
    let claim = cashier.claim_one().await;
    assert_eq!(cashier.settle(&[claim.answer("failed", json!({}))]).await, 1);
    assert_eq!(
        (cashier.status(&unpaid).await, cashier.bank.balance().await),
        (json!("expired"), "10".into())
    );
    cashier.bank.database.check().await;
}

/// Runs what each client does, all at once.
async fn at_once<T: Send + 'static>(tasks: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let gate = Arc::new(Barrier::new(tasks.len()));
    let mut clients = JoinSet::new();
    for task in tasks {
        let gate = gate.clone();
        clients.spawn(async move {
            gate.wait().await;
            task.await
        });
    }
    clients.join_all().await
}

#[tokio::test]
async fn reports_and_settlements_at_once_credit_once() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    let (checkout, token) = cashier.begun("10", "").await;
    cashier.begin(&token, None).await;
    cashier.charge_card("20").await;
    let claim = cashier.claim_one().await;
    let mut tasks = Vec::new();
    for number in 0..CLIENTS {
        let session = cashier.bank.database.gateway().await;
        let outcome = json!([succeeded(&claim)]);
        let mut report = card_report(&checkout);
        report["event_id"] = json!(format!("evt_{}", number / 2));
        tasks.push(async move {
            if number % 4 == 0 {
                let settle = "select topup.settle_payments($1)";
                return session.query_one(settle, &[&outcome]).await.unwrap().get::<_, i32>(0);
            }
            i32::from(report_to(&session, &report).await["changed"] == true)
        });
    }
    assert_eq!(at_once(tasks).await.into_iter().sum::<i32>(), 2, "one report, one settlement");
    assert_eq!(cashier.bank.balance().await, "35");
    cashier.bank.database.check().await;
}

fn card_report(id: &str) -> Value {
    let mut report = crate::support::card_fields("pm_2");
    report["payment_id"] = json!(id);
    report["result"] = json!("succeeded");
    report
}

#[tokio::test]
async fn work_is_claimed_by_one_gateway_and_many_outcomes_are_settled_together() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    for _ in 0..40 {
        cashier.charge_card("1").await;
    }
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let session = cashier.bank.database.gateway().await;
        tasks.push(async move {
            let claim = "select tenant_id, payment_id, fence from topup.claim_payments(5, 60)";
            let rows = session.query(claim, &[]).await.unwrap();
            let mut outcomes: Vec<Value> = rows
                .iter()
                .map(|row| {
                    let (tenant, payment): (uuid::Uuid, uuid::Uuid) = (row.get(0), row.get(1));
                    json!({"tenant_id": tenant, "payment_id": payment, "fence": row.get::<_, i64>(2), "result": "succeeded"})
                })
                .collect();
            outcomes.extend(outcomes.clone());
            let settle = "select topup.settle_payments($1)";
            session.query_one(settle, &[&json!(outcomes)]).await.unwrap().get::<_, i32>(0)
        });
    }
    assert_eq!(at_once(tasks).await, [5; 8], "no payment was claimed twice, and none settled twice");
    assert_eq!(cashier.bank.balance().await, "45");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_charge_of_another_amount_than_was_asked_for_is_not_credited() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    let id = cashier.charge_card("10").await;
    let claim = cashier.claim_one().await;
    for (minor, currency) in [(100, "USD"), (1000, "EUR")] {
        let more = json!({"provider_payment_id": "pi_x", "amount_minor": minor, "currency": currency});
        cashier.settle(&[claim.answer("succeeded", more)]).await;
        assert_eq!(cashier.status(&id).await, "pending");
    }
    let right = json!({"provider_payment_id": "pi_x", "amount_minor": 1000, "currency": "usd"});
    assert_eq!(cashier.settle(&[claim.answer("succeeded", right)]).await, 1);
    assert_eq!(cashier.bank.balance().await, "15");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn time_without_any_gateway_is_not_time_without_an_answer() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    let id = cashier.charge_card("10").await;
    cashier.pass("73 hours").await;
    let claim = cashier.claim_one().await;
    assert_eq!(claim.request["action"], "charge");
    cashier.settle(&[claim.answer("unknown", json!({}))]).await;
    assert_eq!(cashier.status(&id).await, "pending", "it is asked again");
    cashier.pass("5 seconds").await;
    let claim = cashier.claim_one().await;
    cashier.settle(&[claim.answer("succeeded", json!({"provider_payment_id": "pi_1"}))]).await;
    let refund = call(&cashier.bank.app, &format!("topup.top_up_refund('{id}')")).await;
    assert_eq!(refund["code"], 1000, "{refund}");
    cashier.pass("21 hours").await;
    assert_eq!(cashier.claim_one().await.request["action"], "refund", "nobody has asked for it yet");
}
