//! Stripe's webhook: what is signed is believed, however often and in whatever order it comes, and nothing else.

use crate::support::{LIMIT, Story, WEBHOOK_SECRET, wait_until};
use serde_json::json;

const GOOD: &str = "4242424242424242";

#[tokio::test]
async fn a_signed_event_of_localstripe_credits_whoever_never_came_back() {
    let story = Story::begin().await;
    story.stripe.peer.tell(&story.payer.till.shop.gateway.url, WEBHOOK_SECRET).await;
    let (top_up, session) = story.at_stripe("10").await;
    story.stripe.pay(&session, GOOD).await;
    assert_eq!(story.ended(&top_up).await, "succeeded");
    story.has("10").await;
    let charge = story.payer.charge_saved_card("10").await;
    assert_eq!(story.ended(&charge).await, "succeeded");
}

#[tokio::test]
async fn events_may_come_twice_and_in_any_order() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("10").await;
    story.stripe.pay(&session, GOOD).await;
    let intent = story.intents(&top_up).await.remove(0);
    for (event_id, kind, object) in [
        ("evt_3", "payment_intent.payment_failed", &intent),
        ("evt_2", "payment_intent.succeeded", &intent),
        ("evt_1", "checkout.session.completed", &session),
        ("evt_1", "checkout.session.completed", &session),
        ("evt_4", "checkout.session.expired", &session),
        ("evt_5", "checkout.session.async_payment_succeeded", &session),
        ("evt_6", "customer.created", &json!({"id": "cus_1"})),
        ("evt_7", "payment_intent.succeeded", &story.stripe.peer.intents().await[0]),
    ] {
        assert_eq!(story.event(event_id, kind, object.clone()).await, 200, "{event_id}");
        assert_eq!(story.payer.status(&top_up).await, "succeeded", "{event_id}");
    }
    story.has("10").await;
}

#[tokio::test]
async fn a_session_that_ended_unpaid_ends_the_payment() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("10").await;
    story.stripe.change(&session, json!({"status": "expired", "url": null}));
    assert_eq!(story.event("evt_1", "checkout.session.expired", session).await, 200);
    assert_eq!(story.payer.status(&top_up).await, "expired");
    story.payer.look(&top_up, "").await.expect_status(410);
}

#[tokio::test]
async fn what_stripe_did_not_sign_just_now_is_not_believed() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("10").await;
    story.stripe.pay(&session, GOOD).await;
    let event = |live: bool| {
        json!({"id": "evt_1", "type": "checkout.session.completed", "livemode": live, "data": {"object": session}}).to_string()
    };
    for (body, secret, age_s, status) in [
        (event(false), "whsec_other", 0, 400),
        (event(false), WEBHOOK_SECRET, 600, 400),
        ("[]".to_owned(), WEBHOOK_SECRET, 0, 400),
        // Of another mode, for which there is no key.
        (event(true), WEBHOOK_SECRET, 0, 503),
    ] {
        assert_eq!(story.signed(&body, secret, age_s).await, status, "{body} {secret}");
        assert_eq!(story.payer.status(&top_up).await, "pending");
    }
    // While Stripe is away, it is asked to come again.
    story.stripe.fail(1);
    assert_eq!(story.signed(&event(false), WEBHOOK_SECRET, 0).await, 503);
    assert_eq!(story.signed(&event(false), WEBHOOK_SECRET, 0).await, 200);
    assert_eq!(story.payer.status(&top_up).await, "succeeded");
    story.has("10").await;
}

#[tokio::test]
async fn a_session_that_was_paid_with_another_amount_is_never_credited() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("100").await;
    story.stripe.pay(&session, GOOD).await;
    story.stripe.change(&session, json!({"amount_total": 100}));
    assert_eq!(story.event("evt_1", "checkout.session.completed", session.clone()).await, 200);
    assert_eq!(story.payer.status(&top_up).await, "pending");
    // The worker asks for itself.
    story.payer.sql("update topup.payment set due_at = clock_timestamp()").await;
    wait_until(LIMIT, "it was looked up", async || {
        let looked =
            "(select attempts > 0 and due_at > clock_timestamp() + interval '1 s' from topup.payment)";
        (story.payer.ask(looked).await == json!(true)).then_some(())
    })
    .await;
    assert_eq!(story.payer.status(&top_up).await, "pending");
    story.stripe.change(&session, json!({"amount_total": 10000}));
    assert_eq!(story.event("evt_2", "checkout.session.completed", session).await, 200);
    story.has("100").await;
}

#[tokio::test]
async fn money_that_was_given_back_before_the_payment_was_heard_of_is_no_credit() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("50").await;
    story.stripe.pay(&session, GOOD).await;
    let intent = story.intents(&top_up).await.remove(0)["id"].as_str().unwrap().to_owned();
    story.stripe.peer.ask("POST", "/v1/refunds", &format!("payment_intent={intent}&amount=2000")).await;
    let charge = json!({"id": "ch_1", "payment_intent": intent});
    assert_eq!(story.event("evt_r", "charge.refunded", charge.clone()).await, 200);
    story.has("30").await;
    assert_eq!(story.event("evt_c", "checkout.session.completed", session).await, 200);
    assert_eq!(story.event("evt_r", "charge.refunded", charge).await, 200);
    story.has("30").await;
}

#[tokio::test]
async fn events_about_a_charge_without_its_payer_are_taken_too() {
    let story = Story::begin().await;
    story.save_card(GOOD).await;
    let charge = story.payer.charge_saved_card("10").await;
    assert_eq!(story.ended(&charge).await, "succeeded");
    let intent = story.intents(&charge).await.remove(0);
    assert_eq!(story.event("evt_1", "payment_intent.succeeded", intent.clone()).await, 200);
    let dispute = json!({"id": "dp_1", "payment_intent": intent["id"], "amount": 1000, "currency": "usd",
                         "status": "needs_response", "reason": "fraudulent"});
    story.stripe.dispute(dispute.clone());
    assert_eq!(story.event("evt_2", "charge.dispute.created", dispute).await, 200);
    story.has("5").await;
}

#[tokio::test]
async fn a_dispute_is_asked_for_anew_whichever_of_its_events_comes_first() {
    let story = Story::begin().await;
    for (kind, status, left) in [
        ("charge.dispute.created", "warning_needs_response", "30"),
        ("charge.dispute.funds_withdrawn", "needs_response", "0"),
        ("charge.dispute.closed", "lost", "0"),
        ("charge.dispute.funds_reinstated", "won", "30"),
    ] {
        let (top_up, session) = story.at_stripe("50").await;
        story.stripe.pay(&session, GOOD).await;
        let intent = story.intents(&top_up).await.remove(0)["id"].as_str().unwrap().to_owned();
        story.stripe.peer.ask("POST", "/v1/refunds", &format!("payment_intent={intent}&amount=2000")).await;
        let id = format!("dp_{status}");
        let dispute = json!({"id": id, "object": "dispute", "payment_intent": intent, "amount": 5000, "currency": "usd",
                             "status": status, "reason": "fraudulent"});
        story.stripe.dispute(dispute.clone());
        let foreign = json!({"id": id, "charge": "ch_1"});
        assert_eq!(story.event("evt_f", "charge.dispute.created", foreign).await, 200, "about no intent");
        // What the event says of the state is not believed.
        let mut stale = dispute;
        stale["status"] = json!("needs_response");
        for _ in 0..2 {
            assert_eq!(story.event(&format!("evt_{status}"), kind, stale.clone()).await, 200);
        }
        story.has(left).await;
        if left != "0" {
            let customer = &story.payer.till.customer;
            let spent = format!("topup.adjust('{status}', 'USD', -{left}, 'other', '{customer}')");
            let app = story.payer.till.shop.database.app(&story.payer.till.shop.key).await;
            assert_eq!(crate::support::call(&app, &spent).await["code"], 1000);
        }
    }
}
