//! The billing portal in Debian's Chromium, driven by playwright-core, on a desktop and on a phone.

use crate::support::{Answer, Receiver, Visitor, browse, link_of};
use serde_json::{Value, json};

const ICON: &str = "<!doctype html><html lang=en><title>Shop</title><link rel=icon href=data:,>";

/// What the browser saw, and who it was.
async fn visit(name: &str, screen: Value) -> (Visitor, Value) {
    let visitor = Visitor::open().await;
    let gateway = visitor.payer.till.shop.gateway.url.clone();
    visitor.serve_at(&gateway).await;
    let till = &visitor.payer.till;
    let expiring = r#"{"transaction_id":"a","asset":"USD","amount":100,"reason":"gift","expires_at":"2090-01-02T03:04:05Z"}"#;
    till.root.post_text(&till.path("/adjustments"), expiring.to_owned()).await.expect_status(201);
    let voucher = till.shop.send().await.data()["voucher_code"].as_str().unwrap().to_owned();
    let old = link_of(&till.root, &till.customer).await;
    visitor
        .payer
        .sql("update topup.portal_session set created_at = created_at - interval '10 minutes', expires_at = expires_at - interval '10 minutes'")
        .await;

    // Under another name, so that it is another site.
    let elsewhere = |receiver: &Receiver| receiver.url.replace("127.0.0.1", "localhost");
    let home = Receiver::start_with([Answer::Page(format!("{ICON}<h1>Shop</h1>"))]).await;
    let urls = json!({"customer_id": till.customer, "return_url": elsewhere(&home), "failure_url": elsewhere(&home)});
    let made = till.root.post("/billing-portal/sessions", urls.clone()).await.expect_status(200);
    let bob =
        till.root.post("/customers", json!({"name": "Bob"})).await.expect_status(201).json["id"].clone();
    let urls =
        json!({"customer_id": bob, "return_url": urls["return_url"], "failure_url": urls["failure_url"]});
    let second = till.root.post("/billing-portal/sessions", urls).await.expect_status(200);
    let enter = made.json["redirect_url"].as_str().unwrap().to_owned();
    assert!(enter.starts_with(&gateway), "{enter}");
    let shop =
        Receiver::start_with([Answer::Page(format!("{ICON}<h1>Shop</h1><a href='{enter}'>Your credit</a>"))])
            .await;
    let form = format!(
        "<form method=post action='{gateway}/portal/card/remove'><input type=hidden name=csrf value=00><button>Win</button></form>"
    );
    let evil = Receiver::start_with([Answer::Page(format!("{ICON}{form}"))]).await;
    let plan = json!({"screen": screen, "voucher": voucher, "links": {"shop": elsewhere(&shop), "evil": elsewhere(&evil),
        "enter": enter, "old": format!("{gateway}{old}"), "second": second.json["redirect_url"], "portal": format!("{gateway}/portal")}});
    let seen = browse("portal", name, plan).await;
    (visitor, seen)
}

async fn the_whole_story(name: &str, screen: Value) {
    let (visitor, seen) = visit(name, screen).await;
    let amount = "Write the amount in digits, such as 25 or 25.50.";
    let is = |step: &str, field: &str, wanted: Value| {
        assert_eq!(seen[step][field], wanted, "{name}: {step}: {}", seen[step])
    };
    is("enter", "heading", json!("Your credit"));
    is("enter", "balance", json!("100.00 USD"));
    is("enter", "link", json!("Open your credit"));
    is("enter", "linkSmall", json!([]));
    is("enter", "linkFits", json!(true));
    let cookie = &seen["enter"]["cookie"];
    assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&json!(true), &json!("Lax")), "{cookie}");
    assert_eq!((&cookie["path"], &cookie["expires"]), (&json!("/portal"), &json!(-1)), "{cookie}");
    for part in [
        "main:",
        "img \"Balance of default in USD",
        "textbox \"Amount to pay\"",
        "combobox \"Account\"",
        "banner:",
        "contentinfo:",
    ] {
        assert!(seen["enter"]["tree"].as_str().unwrap().contains(part), "{part}: {}", seen["enter"]["tree"]);
    }
    for step in ["enter", "history"] {
        is(step, "small", json!([]));
        is(step, "fits", json!(true));
    }
    is("pay", "said", json!("You paid 25.50 USD and have got 25.50 USD."));
    is("pay", "balance", json!("125.50 USD"));
    is("pay", "card", json!("Visa ending in 4242, expires 12/34"));
    is("pay", "back", json!("Payment received"));
    is("pay", "forms", json!(0));
    assert!(seen["declineAndRetry"]["alert"].as_str().unwrap().starts_with("Your card was declined."));
    is("declineAndRetry", "said", json!("You paid 10.00 USD and have got 10.00 USD."));
    is("declineAndRetry", "balance", json!("135.50 USD"));
    is("mistake", "alert", json!(amount));
    is("mistake", "focused", json!("amount"));
    is("mistake", "seen", json!(true));
    is("mistake", "described", json!("amount-mistake limits"));
    let doubtful = "Does 1.000 mean 1 or 1000? Write it without a comma or point.";
    is(
        "mistakes",
        "views",
        json!([[doubtful, true], [amount, true], [amount, true], ["There is no such voucher.", true]]),
    );
    is("typed", "heading", json!("Pay 12.50 USD"));
    is("another", "stayed", json!("Ann"));
    is("another", "went", json!("Bob"));
    is("another", "small", json!([]));
    is("another", "fits", json!(true));
    assert!(seen["another"]["alert"].as_str().unwrap().contains("the credit of Ann with Acme is open"));
    is("mistake", "back", json!("Your credit"));
    is("autoTopUp", "said", json!("Auto top-up is on."));
    is("autoTopUp", "text", json!("When the balance falls below 150.00 USD, the saved card pays 50.00 USD."));
    is("autoTopUp", "balance", json!("185.50 USD"));
    is("autoTopUp", "off", json!("Auto top-up is off."));
    is("autoTopUp", "left", json!(0));
    is("voucher", "alert", json!("There is no such voucher."));
    is("voucher", "kept", json!("ATU-NONE"));
    is("voucher", "balances", json!(["185.50 USD", "10.00 USD"]));
    is("history", "heading", json!("History of default in USD"));
    is("history", "file", json!("default_USD.csv"));
    is("history", "back", json!("Your credit"));
    assert_eq!(seen["history"]["lines"].as_array().unwrap().len(), 4, "{}", seen["history"]);
    is("figures", "days", json!(30));
    is("keyboard", "first", json!("To the content"));
    is("keyboard", "said", json!("Nothing was charged of the 30.00 USD."));
    is("removeCard", "card", json!(1));
    is("forged", "heading", json!("That did not work"));
    is("fromElsewhere", "heading", json!("You are not signed in"));
    for (step, status, heading) in [
        ("used", 410, "This link no longer works"),
        ("old", 410, "This link no longer works"),
        ("left", 403, "You are not signed in"),
    ] {
        is(step, "status", json!(status));
        is(step, "heading", json!(heading));
    }
    is("leave", "heading", json!("Shop"));
    // A browser says itself that a page came with 403 or 410; nothing else is on the console.
    for (step, said) in seen.as_object().unwrap() {
        let expected =
            usize::from(["forged", "fromElsewhere", "used", "old", "left"].contains(&step.as_str()));
        assert_eq!(said["troubles"].as_array().unwrap().len(), expected, "{step}: {}", said["troubles"]);
    }
    visitor.payer.till.shop.database.check().await;
}

#[tokio::test]
async fn on_a_desktop_a_customer_finds_its_way_through_the_portal() {
    the_whole_story("desktop", json!({"viewport": {"width": 1280, "height": 800}})).await;
}

#[tokio::test]
async fn on_a_phone_without_scripts_a_customer_finds_its_way_through_the_portal() {
    let screen = json!({"viewport": {"width": 360, "height": 740}, "deviceScaleFactor": 2, "isMobile": true,
        "hasTouch": true, "javaScriptEnabled": false, "colorScheme": "dark"});
    the_whole_story("phone", screen).await;
}
