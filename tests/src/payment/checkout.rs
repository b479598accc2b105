//! The checkout page with the built-in provider: what a payer sees, and what becomes of the money.

use crate::support::{
    ASKS, DECLINED, LATER_DECLINED, LIMIT, NO_FUNDS, Payer, TopUp, VISA, call, form, wait_until,
};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

async fn paid(payer: &Payer, top_up: &TopUp) {
    assert_eq!(payer.status(top_up).await, "succeeded");
    payer.till.shop.database.check().await;
}

#[tokio::test]
async fn a_card_pays_and_the_credit_is_there_once() {
    let payer = Payer::open().await;
    let top_up = payer.top_up("25.5", json!({"description": "Video <credits>"})).await;
    let page = payer.look(&top_up, "").await.expect_status(200);
    for part in ["Pay 25.50 USD", "Video &#60;credits&#62;", "Acme", "Account of", "Ann", "Test mode"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert_eq!(payer.status(&top_up).await, "initiated");
    let answer = payer.pay(&top_up, VISA, &[]).await.expect_status(303);
    let done = format!("/checkout/{}?done", top_up.token);
    assert_eq!(answer.header("location"), Some(done.as_str()));
    let page = payer.look(&top_up, "?done").await.expect_status(200);
    let way = format!("https://shop.example/ok?a=1&#38;top_up={}", top_up.id);
    assert!(
        page.text.contains(&format!("<meta http-equiv=\"refresh\" content=\"0; url={way}\">")),
        "{}",
        page.text
    );
    assert_eq!(payer.available("USD").await.as_deref(), Some("25.5"));

    // The back button, and pressing again.
    let page = payer.look(&top_up, "").await.expect_status(200);
    assert!(page.text.contains("Payment received") && !page.text.contains("http-equiv"));
    let page = payer.pay(&top_up, VISA, &[]).await.expect_status(200);
    assert!(page.text.contains("Payment received"));
    assert_eq!(payer.available("USD").await.as_deref(), Some("25.5"));
    paid(&payer, &top_up).await;
}

#[tokio::test]
async fn whoever_presses_twice_pays_once() {
    let payer = Payer::open().await;
    let top_up = payer.top_up("10", json!({})).await;
    let mut presses = JoinSet::new();
    for _ in 0..8 {
        let card = [("action", "pay"), ("number", VISA), ("exp", "12/34"), ("cvc", "123")];
        let request = payer.browser.request(Method::POST, &format!("/checkout/{}", top_up.token));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form(&card));
        let browser = payer.browser.clone();
        presses.spawn(async move { browser.send(request).await.status });
    }
    for status in presses.join_all().await {
        assert!(matches!(status, 200 | 303), "{status}");
    }
    assert_eq!(payer.available("USD").await.as_deref(), Some("10"));
    paid(&payer, &top_up).await;
}

#[tokio::test]
async fn a_decline_is_told_and_another_card_pays() {
    let payer = Payer::open().await;
    let top_up = payer.top_up("10", json!({})).await;
    for (number, message) in [
        (DECLINED, "Your card was declined."),
        (NO_FUNDS, "Your card has insufficient funds."),
        ("4000000000000069", "Your card has expired."),
        ("4111111111111111", "Only test cards are taken here."),
    ] {
        payer.pay(&top_up, number, &[]).await.expect_status(303);
        let page = payer.look(&top_up, "").await.expect_status(200);
        assert!(page.text.contains("role=\"alert\"") && page.text.contains(message), "{}", page.text);
        assert_eq!(payer.status(&top_up).await, "pending", "{message}");
        assert_eq!(payer.available("USD").await.unwrap_or("0".into()), "0");
    }
    payer.pay(&top_up, VISA, &[]).await.expect_status(303);
    assert_eq!(payer.available("USD").await.as_deref(), Some("10"));
    paid(&payer, &top_up).await;
}

#[tokio::test]
async fn a_mistyped_card_is_told_at_its_field_and_nobody_is_asked() {
    let payer = Payer::open().await;
    let top_up = payer.top_up("10", json!({})).await;
    let typed =
        [("action", "pay"), ("number", "4242424242424241"), ("exp", "13/34"), ("cvc", "1"), ("name", "Zoë")];
    let page = payer.submit(&top_up, &typed).await.expect_status(200);
    for field in ["number", "exp", "cvc"] {
        assert!(page.text.contains(&format!("aria-describedby=\"{field}-mistake\"")), "{field}");
    }
    assert!(page.text.contains("value=\"Zoë\"") && !page.text.contains("4242424242424241"));
    assert_eq!(payer.status(&top_up).await, "initiated");
    for odd in [&[][..], &[("action", "confirm"), ("method", "pm_x")], &[("action", "pay_saved")]] {
        payer.submit(&top_up, odd).await.expect_status(400);
    }
    assert_eq!(payer.status(&top_up).await, "initiated");
}

#[tokio::test]
async fn a_card_that_asks_pays_when_the_payer_confirms() {
    let payer = Payer::open().await;
    let top_up = payer.top_up("10", json!({})).await;
    let page = payer.pay(&top_up, ASKS, &[("save_card", "1")]).await.expect_status(200);
    assert!(page.text.contains("Confirm your payment") && !page.text.contains(ASKS));
    assert_eq!(payer.status(&top_up).await, "initiated");
    let card = [("method", "pm_card_authenticationRequired"), ("exp", "12/2034"), ("save_card", "1")];
    payer.submit(&top_up, &[&[("action", "refuse")], &card[..]].concat()).await.expect_status(303);
    let page = payer.look(&top_up, "").await;
    assert!(page.text.contains("The payment was not confirmed."), "{}", page.text);
    payer.submit(&top_up, &[&[("action", "confirm")], &card[..]].concat()).await.expect_status(303);
    paid(&payer, &top_up).await;
}

#[tokio::test]
async fn a_saved_card_is_offered_and_pays_without_being_typed() {
    let payer = Payer::open().await;
    let first = payer.top_up("10", json!({})).await;
    payer.pay(&first, VISA, &[]).await.expect_status(303);
    let second = payer.top_up("10", json!({})).await;
    assert!(!payer.look(&second, "").await.text.contains("saved card"), "it was not to be saved");
    payer.pay(&second, VISA, &[("save_card", "1")]).await.expect_status(303);
    let third = payer.top_up("10", json!({})).await;
    let page = payer.look(&third, "").await;
    assert!(page.text.contains("Visa ending in 4242, expires 12/34"), "{}", page.text);
    payer.submit(&third, &[("action", "pay_saved")]).await.expect_status(303);
    assert_eq!(payer.available("USD").await.as_deref(), Some("30"));
    paid(&payer, &third).await;
}

#[tokio::test]
async fn who_cancels_is_led_back_and_the_link_is_used_up() {
    let payer = Payer::open().await;
    let top_up = payer.top_up("10", json!({})).await;
    payer.submit(&top_up, &[("action", "cancel")]).await.expect_status(303);
    let page = payer.look(&top_up, "?done").await.expect_status(200);
    let way = format!("https://shop.example/no?top_up={}", top_up.id);
    assert!(page.text.contains(&format!("0; url={way}")), "{}", page.text);
    assert_eq!(payer.status(&top_up).await, "failed");
    payer.look(&top_up, "").await.expect_status(410);
    let page = payer.pay(&top_up, VISA, &[]).await.expect_status(410);
    assert!(page.text.contains("Nothing was charged."));
    assert_eq!(payer.available("USD").await.unwrap_or("0".into()), "0");
}

#[tokio::test]
async fn a_link_ends_and_an_unknown_one_never_was() {
    let payer = Payer::open().await;
    let top_up = payer.top_up("10", json!({})).await;
    payer.sql("update topup.payment set expires_at = clock_timestamp(), created_at = created_at - interval '1 day'").await;
    let page = payer.look(&top_up, "").await.expect_status(410);
    assert!(
        page.text.contains("This link has expired") && page.text.contains("https://shop.example/no?top_up=")
    );
    payer.pay(&top_up, VISA, &[]).await.expect_status(410);
    assert_ne!(payer.status(&top_up).await, "succeeded");

    let long = "a".repeat(65);
    for token in ["abc", long.as_str(), "a-b", "%00", "a%27"] {
        let unknown = TopUp { id: String::new(), token: token.to_owned() };
        let page = payer.look(&unknown, "").await.expect_status(404);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{token}");
        payer.pay(&unknown, VISA, &[]).await.expect_status(404);
    }
}

#[tokio::test]
async fn the_page_loads_nothing_is_kept_nowhere_and_takes_forms_only() {
    let payer = Payer::open().await;
    let top_up = payer.top_up("10", json!({})).await;
    let page = payer.look(&top_up, "").await.expect_status(200);
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    for (header, value) in
        [("cache-control", "no-store"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY")]
    {
        assert_eq!(page.header(header), Some(value));
    }
    assert!(
        !page.text.contains("<script") && !page.text.contains(" style=") && !page.text.contains("http://")
    );
    let path = format!("/checkout/{}", top_up.token);
    let json = payer.browser.post(&path, json!({"action": "pay"})).await;
    assert_eq!(json.status, 400, "{}", json.text);
    let huge = "x".repeat(20_000);
    payer.submit(&top_up, &[("number", huge.as_str())]).await.expect_status(400);
    assert!(!payer.till.shop.gateway.log().contains(&top_up.token), "the log has the way to pay");
}

#[tokio::test]
async fn the_worker_charges_a_saved_card() {
    let payer = Payer::open().await;
    payer.save_card(VISA).await;
    let id = payer.charge_saved_card("10").await;
    wait_until(LIMIT, "the charge is through", async || {
        (payer.status(&id).await == "succeeded").then_some(())
    })
    .await;
    assert_eq!(payer.available("USD").await.as_deref(), Some("15"));
    payer.save_card(LATER_DECLINED).await;
    let id = payer.charge_saved_card("10").await;
    wait_until(LIMIT, "the charge is refused", async || (payer.status(&id).await == "failed").then_some(()))
        .await;
    assert_eq!(payer.available("USD").await.as_deref(), Some("20"));
    payer.till.shop.database.check().await;
}

#[tokio::test]
async fn an_account_that_runs_low_is_filled_from_the_saved_card() {
    let payer = Payer::open().await;
    payer.save_card(VISA).await;
    let app = payer.till.shop.database.app(&payer.till.shop.key).await;
    let set = format!("topup.set_auto_top_up(20, 4, '{}')", payer.till.customer);
    assert_eq!(call(&app, &set).await["code"], 1000);
    payer.till.charge("c-1", "USD", "2").await.expect_status(201);
    wait_until(LIMIT, "the account is filled", async || {
        (payer.available("USD").await.as_deref() == Some("23")).then_some(())
    })
    .await;
    payer.till.shop.database.check().await;
}
