//! What is stored here and gone or refused at Stripe: no payer and no tenant is stuck for good.

use crate::support::{ASKS, LIMIT, Payer, Story, StripeStub, flags, shop_with, wait_until};
use serde_json::{Value, json};

const GOOD: &str = "4242424242424242";

async fn customer(story: &Story, session: &Value) -> Value {
    story
        .stripe
        .peer
        .ask("GET", &format!("/v1/customers/{}", session["customer"].as_str().unwrap()), "")
        .await
        .1
}

async fn delete_customer(story: &Story, session: &Value) {
    let path = format!("/v1/customers/{}", session["customer"].as_str().unwrap());
    assert_eq!(story.stripe.peer.ask("DELETE", &path, "").await.0, 200);
}

#[tokio::test]
async fn a_customer_that_stripe_has_deleted_is_made_anew_once() {
    let story = Story::begin().await;
    let (_, first) = story.at_stripe("5").await;
    delete_customer(&story, &first).await;
    let (top_up, second) = story.at_stripe("10").await;
    assert_ne!(second["customer"], first["customer"]);
    story.stripe.pay(&second, GOOD).await;
    assert!(story.payer.look(&top_up, "?done").await.expect_status(200).text.contains("Payment received"));
    story.has("10").await;
    let (_, third) = story.at_stripe("10").await;
    assert_eq!(third["customer"], second["customer"], "the new one is remembered");
    assert_eq!(story.stripe.carried_out("POST /v1/customers"), 2);
}

#[tokio::test]
async fn a_customer_that_is_deleted_before_its_session_was_made_is_not_brought_back_by_its_key() {
    let story = Story::begin().await;
    let top_up = story.payer.top_up("10", json!({})).await;
    story.stripe.refuse("POST /v1/checkout/sessions", 500, json!({"type": "api_error", "message": "down"}));
    story.payer.look(&top_up, "").await.expect_status(503);
    let (_, made) = story.stripe.peer.ask("GET", "/v1/customers?limit=100", "").await;
    let only = made["data"][0]["id"].clone();
    delete_customer(&story, &json!({"customer": only})).await;
    story.stripe.forget_refusals();
    story.payer.look(&top_up, "").await.expect_status(303);
    assert_ne!(story.stripe.sessions()[0]["customer"], only);
}

#[tokio::test]
async fn an_address_that_stripe_refuses_is_left_out() {
    let story = Story::begin().await;
    let refused = json!({"type": "invalid_request_error", "code": "email_invalid", "param": "email",
                         "message": "Invalid email address: ann@example.com"});
    story.stripe.refuse("POST /v1/customers", 400, refused);
    let (top_up, session) = story.at_stripe("10").await;
    let made = customer(&story, &session).await;
    assert_eq!((&made["name"], &made["email"]), (&json!("Ann"), &Value::Null));
    story.stripe.pay(&session, GOOD).await;
    story.payer.look(&top_up, "?done").await.expect_status(200);
    story.has("10").await;
}

#[tokio::test]
async fn why_stripe_takes_no_payment_is_told_to_the_tenant_and_it_can_be_paid_later() {
    let story = Story::begin().await;
    let top_up = story.payer.top_up("10", json!({"description": " "})).await;
    let refused = json!({"type": "invalid_request_error", "code": "amount_too_small", "param": "line_items",
                         "message": "The amount must convert to at least 30 pence."});
    story.stripe.refuse("POST /v1/checkout/sessions", 400, refused);
    story.payer.look(&top_up, "").await.expect_status(503);
    let seen = story.payer.till.root.get(&format!("/top-ups/{}", top_up.id)).await.expect_status(200).json;
    assert_eq!((&seen["status"], &seen["failure"]["code"]), (&json!("pending"), &json!("amount_too_small")));
    story.stripe.forget_refusals();
    story.payer.look(&top_up, "").await.expect_status(303);
    assert_eq!(story.stripe.sessions()[0]["product"], "10.00 USD", "a blank description is none");
}

#[tokio::test]
async fn a_session_that_stripe_no_longer_has_ends_the_payment() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("10").await;
    story.stripe.forget(&session);
    let page = story.payer.look(&top_up, "").await.expect_status(410);
    assert!(page.text.contains("This link has expired"), "{}", page.text);
    assert_eq!(story.payer.status(&top_up).await, "expired");
}

#[tokio::test]
async fn only_a_payer_who_ticks_the_box_is_charged_later() {
    let story = Story::begin().await;
    let (top_up, session) = story.at_stripe("10").await;
    assert_eq!((&session["box"], &session["adaptive_pricing"]), (&json!("enabled"), &json!("false")));
    story.stripe.pay_with_box(&session, GOOD, false).await;
    let intent = story.intents(&top_up).await.remove(0);
    assert_eq!(story.event("evt_1", "payment_intent.succeeded", intent).await, 200);
    story.payer.look(&top_up, "?done").await.expect_status(200);
    story.has("10").await;
    let saved = "(select count(*) from topup.payment_method)";
    assert_eq!(story.payer.ask(saved).await, 0, "a third party may have paid the link");
    let (_, next) = story.at_stripe("10").await;
    assert_eq!(next["customer"], session["customer"], "one payer is one customer");
    story.save_card(GOOD).await;
    assert_eq!(story.payer.ask(saved).await, 1);
}

/// A top-up of the tenant's own wallet: the reply's result.
async fn fund(story: &Story) -> Value {
    let root = &story.payer.till.root;
    let context = root.get("/accounts/self").await.expect_status(200).json;
    let path =
        format!("/client/v4/accounts/{}/ai-gateway/billing/topup", context["account_id"].as_str().unwrap());
    root.post(&path, json!({"amount": 1000})).await.expect_status(200).json["result"].clone()
}

/// Pays a checkout of the wallet at Stripe with this card, which is saved.
async fn pay_at_stripe(story: &Story, begun: &Value, number: &str) {
    let path = format!("/checkout/{}", begun["client_secret"].as_str().unwrap());
    let led = story.payer.browser.get(&path).await.expect_status(303);
    let url = led.header("location").unwrap().to_owned();
    let session = story.stripe.sessions().into_iter().find(|session| session["url"] == url.as_str()).unwrap();
    story.stripe.pay(&session, number).await;
    story.payer.browser.get(&format!("{path}?done")).await.expect_status(200);
}

async fn all_ended(story: &Story) {
    wait_until(LIMIT, "the charge has ended", async || {
        let open = "(select count(*) from topup.payment where status = 'pending' and method = 'off_session')";
        (story.payer.ask(open).await == json!(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_card_of_the_tenant_that_needs_its_holder_or_is_gone_at_stripe_leads_to_a_checkout() {
    let story = Story::begin().await;
    pay_at_stripe(&story, &fund(&story).await, GOOD).await;
    assert_eq!(fund(&story).await["client_secret"], Value::Null);
    all_ended(&story).await;
    // It asks its holder now.
    story.replace_card(ASKS).await;
    assert_eq!(fund(&story).await["client_secret"], Value::Null);
    all_ended(&story).await;
    let begun = fund(&story).await;
    assert!(begun["client_secret"].is_string() && begun["onboarding"] == true, "{begun}");
    pay_at_stripe(&story, &begun, GOOD).await;
    assert_eq!(fund(&story).await["client_secret"], Value::Null, "the new card is charged");
    all_ended(&story).await;
    // The holder is deleted there, and the card with it.
    story.payer.sql("update topup.payment_method set provider_method_id = 'pm_gone', provider_customer_id = 'cus_gone'
                      where replaced_at is null").await;
    let charged = fund(&story).await;
    assert_eq!(charged["client_secret"], Value::Null);
    all_ended(&story).await;
    assert!(fund(&story).await["checkout_url"].is_string());
    story.payer.till.shop.database.check().await;
}

#[tokio::test]
async fn a_restricted_key_is_a_key_of_its_mode() {
    let stripe = StripeStub::start().await;
    let mut flags = flags(&stripe.url);
    flags[4] = "rk_test_restricted";
    let payer = Payer::open_with(shop_with(&flags).await).await;
    let top_up = payer.top_up("10", json!({})).await;
    payer.look(&top_up, "").await.expect_status(303);
    assert_eq!(stripe.sessions().len(), 1);
}
