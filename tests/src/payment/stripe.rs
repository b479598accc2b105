//! Payments through Stripe: against PyPI's localstripe, with a stub of ours in front of it for what it lacks.

use crate::support::{
    ASKS, Gateway, LATER_DECLINED, LIMIT, Localstripe, Payer, STRIPE_KEY, Story, Visitor, WEBHOOK_SECRET,
    flags, shop_at, wait_until,
};
use serde_json::{Value, json};

const GOOD: &str = "4242424242424242";

#[tokio::test]
async fn a_payer_is_led_to_stripe_and_back_and_the_card_is_kept() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("25.5").await;
    assert_eq!((&session["amount_total"], &session["currency"]), (&json!(2550), &json!("usd")));
    assert_eq!(
        (&session["client_reference_id"], &session["intent_payment_id"]),
        (&json!(top_up.id), &json!(top_up.id))
    );
    assert_eq!(session["setup_future_usage"], "off_session");
    assert!(session["success_url"].as_str().unwrap().ends_with(&format!("/checkout/{}?done", top_up.token)));
    let (_, customer) = story
        .stripe
        .peer
        .ask("GET", &format!("/v1/customers/{}", session["customer"].as_str().unwrap()), "")
        .await;
    assert_eq!((&customer["name"], &customer["email"]), (&json!("Ann"), &json!("ann@example.com")));

    // The same link again leads to the same session, and coming back without having paid leads on.
    let led = story.payer.look(&top_up, "").await.expect_status(303);
    assert_eq!(led.header("location"), session["url"].as_str());
    let left = story.payer.look(&top_up, "?canceled").await.expect_status(200);
    assert!(left.text.contains("Not paid yet") && left.text.contains("https://shop.example/no?top_up="));
    assert_eq!((story.payer.status(&top_up).await.as_str(), story.stripe.sessions().len()), ("pending", 1));

    story.stripe.pay(&session, GOOD).await;
    let page = story.payer.look(&top_up, "?done").await.expect_status(200);
    assert!(page.text.contains("Payment received"), "{}", page.text);
    story.has("25.5").await;
    let second = story.at_stripe("10").await.1;
    assert_eq!(second["customer"], session["customer"], "one payer is one customer");
    let saved = story
        .payer
        .ask("(select array[brand, last4] from topup.payment_method where replaced_at is null)")
        .await;
    assert_eq!(saved, json!(["visa", "4242"]));
}

#[tokio::test]
async fn a_saved_card_is_charged_once_without_the_payer() {
    let story = Story::begin().await;
    story.save_card(GOOD).await;
    let charge = story.payer.charge_saved_card("10").await;
    assert_eq!(story.ended(&charge).await, "succeeded");
    story.has("15").await;
    let made = story.intents(&charge).await;
    assert_eq!((made.len(), &made[0]["amount"], &made[0]["status"]), (1, &json!(1000), &json!("succeeded")));
}

#[tokio::test]
async fn a_card_that_is_declined_or_asks_ends_the_charge() {
    let story = Story::begin().await;
    story.save_card(GOOD).await;
    for (number, code) in [(LATER_DECLINED, "card_declined"), (ASKS, "authentication_required")] {
        story.replace_card(number).await;
        let charge = story.payer.charge_saved_card("10").await;
        assert_eq!(story.ended(&charge).await, "failed");
        assert_eq!(story.failure(&charge).await, code);
        assert!(story.intents(&charge).await.iter().all(|intent| intent["status"] != "succeeded"));
    }
    story.has("5").await;
}

#[tokio::test]
async fn localstripe_alone_charges_declines_and_asks() {
    let peer = Localstripe::start().await;
    let payer = Payer::open_with(shop_at(&peer.url).await).await;
    peer.tell(&payer.till.shop.gateway.url, WEBHOOK_SECRET).await;
    for (number, status) in [(GOOD, "succeeded"), (LATER_DECLINED, "failed"), (ASKS, "failed")] {
        let (customer, card) = peer.customer_with_card(number).await;
        payer.know_card("stripe", &customer, &card).await;
        let charge = payer.charge_saved_card("10").await;
        let ended = wait_until(LIMIT, "the payment has ended", async || {
            Some(payer.status(&charge).await).filter(|status| status != "pending")
        });
        assert_eq!(ended.await, status, "{number}");
    }
    // What asks is not left open: nobody can confirm it later.
    let statuses: Vec<Value> = peer.intents().await.iter().map(|intent| intent["status"].clone()).collect();
    for status in ["succeeded", "requires_payment_method", "canceled"] {
        assert!(statuses.contains(&json!(status)), "{statuses:?}");
    }
    // Its signed events about all that arrive and change nothing more.
    wait_until(LIMIT, "the events are told", async || {
        let told = payer.till.shop.gateway.log();
        (told.lines().filter(|line| line.contains("stripe_webhook") && line.contains("200")).count() >= 2)
            .then_some(())
    })
    .await;
    assert_eq!(payer.available("USD").await.as_deref(), Some("10"));
    payer.till.shop.database.check().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_the_card_charged_once() {
    let story = Story::begin().await;
    story.save_card(GOOD).await;
    story.stripe.lose(1);
    let charge = story.payer.charge_saved_card("10").await;
    story.unanswered().await;
    assert_eq!(story.payer.status(&charge).await, "pending");
    story.pass("10 minutes").await;
    assert_eq!(story.ended(&charge).await, "succeeded");
    assert_eq!(
        (story.intents(&charge).await.len(), story.stripe.carried_out("POST /v1/payment_intents")),
        (1, 1)
    );
    story.has("15").await;
}

#[tokio::test]
async fn after_a_day_without_an_answer_stripe_is_asked_what_it_has_done() {
    let story = Story::begin().await;
    story.save_card(GOOD).await;
    story.stripe.lose(1);
    let done = story.payer.charge_saved_card("10").await;
    story.unanswered().await;
    story.stripe.forget_keys();
    story.pass("25 hours").await;
    assert_eq!(story.ended(&done).await, "succeeded");
    assert_eq!(story.intents(&done).await.len(), 1);
    story.has("15").await;

    story.stripe.fail(1);
    let never = story.payer.charge_saved_card("10").await;
    story.unanswered().await;
    story.pass("25 hours").await;
    assert_eq!(story.ended(&never).await, "failed");
    assert_eq!((story.failure(&never).await, story.intents(&never).await.len()), (json!("not_charged"), 0));
    story.has("15").await;
}

#[tokio::test]
async fn a_gateway_killed_between_charge_and_report_charges_nobody_twice() {
    let mut story = Story::begin().await;
    story.save_card(GOOD).await;
    story.stripe.hang(1);
    let charge = story.payer.charge_saved_card("10").await;
    wait_until(LIMIT, "Stripe has charged", async || (story.stripe.hanging() == 1).then_some(())).await;
    assert_eq!(story.intents(&charge).await.len(), 1);
    story.payer.till.shop.gateway.kill_9();
    let database = &story.payer.till.shop.database;
    let successor = Gateway::start_with(database, &flags(&story.stripe.url)).await;
    story.payer.till.root = successor.client(&story.payer.till.shop.key).at_root();
    story.pass("10 minutes").await;
    assert_eq!(story.ended(&charge).await, "succeeded");
    assert_eq!(story.intents(&charge).await.len(), 1);
    story.has("15").await;
}

#[tokio::test]
async fn without_any_event_stripe_is_asked_for_the_session() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("10").await;
    story.stripe.pay(&session, GOOD).await;
    story.pass("11 minutes").await;
    assert_eq!(story.ended(&top_up).await, "succeeded");
    story.has("10").await;
    let charge = story.payer.charge_saved_card("5").await;
    assert_eq!(story.ended(&charge).await, "succeeded", "the card was kept");
}

#[tokio::test]
async fn while_stripe_is_away_the_page_says_so() {
    let story = Story::begin().await;
    let top_up = story.payer.top_up("10", json!({})).await;
    story.stripe.fail(1);
    let page = story.payer.look(&top_up, "").await.expect_status(503);
    assert!(page.text.contains("Not available for the moment") && page.header("retry-after").is_some());
    // The answer is lost, and the wish repeated: there is one customer.
    story.stripe.lose(1);
    story.payer.look(&top_up, "").await.expect_status(503);
    story.payer.look(&top_up, "").await.expect_status(303);
    assert_eq!((story.stripe.carried_out("POST /v1/customers"), story.stripe.sessions().len()), (1, 1));
}

#[tokio::test]
async fn a_key_that_fits_no_environment_and_an_open_address_are_refused() {
    for (flag, value, said) in
        [("--stripe-secret-key", "pk_test_1", "sk_test_"), ("--stripe-url", "http://api.stripe.com", "https")]
    {
        let key = if flag == "--stripe-url" { STRIPE_KEY } else { value };
        let url = if flag == "--stripe-url" { value } else { "https://api.stripe.com" };
        let flags = ["--stripe-secret-key", key, "--stripe-url", url];
        let mut gateway = Gateway::spawn("postgres://127.0.0.1:1/none", &flags);
        assert!(!gateway.ended().await.success());
        wait_until(LIMIT, "it says why", async || gateway.log().contains(said).then_some(())).await;
    }
}

#[tokio::test]
async fn a_refund_gives_the_money_back_at_stripe_once_though_its_answer_is_lost() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("10").await;
    story.stripe.pay(&session, GOOD).await;
    story.payer.look(&top_up, "?done").await.expect_status(200);
    // The list of earlier refunds comes, the answer to the refund itself does not; later its key is forgotten too.
    let path = format!("/top-ups/{}/refund", top_up.id);
    story.payer.till.root.post(&path, json!({})).await.expect_status(201);
    let intent = story.intents(&top_up).await.remove(0)["id"].as_str().unwrap().to_owned();
    let refunds = wait_until(LIMIT, "the money is given back", async || {
        let (_, list) =
            story.stripe.peer.ask("GET", &format!("/v1/refunds?payment_intent={intent}"), "").await;
        Some(list["data"].as_array().unwrap().clone()).filter(|refunds| !refunds.is_empty())
    })
    .await;
    assert_eq!((refunds.len(), &refunds[0]["amount"]), (1, &json!(1000)));
    story.has("0").await;
    let charge = json!({"id": "ch_1", "payment_intent": intent});
    assert_eq!(story.event("evt_r", "charge.refunded", charge).await, 200);
    story.has("0").await;
    assert_eq!(story.stripe.carried_out("POST /v1/refunds"), 1);
}

#[tokio::test]
async fn a_customer_in_the_portal_pays_at_stripe_and_removes_the_card() {
    let Story { payer, stripe } = Story::begin().await;
    let mut visitor = Visitor::of(payer);
    visitor.go_in().await;
    let top_up = visitor.top_up("25.5").await;
    let led = visitor.payer.look(&top_up, "").await.expect_status(303);
    let session = stripe.sessions().remove(0);
    assert_eq!((led.header("location"), &session["amount_total"]), (session["url"].as_str(), &json!(2550)));
    stripe.pay(&session, GOOD).await;
    visitor.payer.look(&top_up, "?done").await.expect_status(200);
    let page = visitor.look(&format!("/portal?top_up={}", top_up.id)).await.expect_status(200).text;
    for part in ["You paid 25.50 USD and have got 25.50 USD.", "Visa ending in 4242"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    visitor.submit("/portal/card/remove", &[]).await.expect_status(303);
    assert!(!visitor.look("/portal").await.text.contains("ending in 4242"));
    visitor.payer.till.shop.database.check().await;
}
