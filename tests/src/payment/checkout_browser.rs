//! The checkout page in Debian's Chromium, driven by playwright-core, on a desktop and on a phone.

use crate::support::{Answer, Payer, Receiver, TopUp, browse};
use serde_json::{Value, json};

const SHOP: &str = "<!doctype html><title>Shop</title><link rel=icon href=data:,><h1>Shop</h1>";

const STEPS: [&str; 9] =
    ["pay", "decline", "mistakes", "save", "saved", "confirm", "keyboard", "cancel", "expired"];

/// What the browser saw, and the top-ups that it was sent to, by step.
async fn visit(name: &str, screen: Value) -> (Payer, Value, Vec<TopUp>) {
    let payer = Payer::open().await;
    let shop = Receiver::start_with([Answer::Page(SHOP.to_owned())]).await;
    let (mut links, mut top_ups) = (json!({}), Vec::new());
    let gateway = payer.till.shop.gateway.url.clone();
    for step in STEPS {
        let more = json!({"return_url": format!("{}?paid=1", shop.url), "failure_url": format!("{}?paid=0", shop.url),
            "description": "Credits for a long video, in the best quality that there is"});
        let top_up = payer.top_up("25.5", more).await;
        links[step] = json!(format!("{gateway}/checkout/{}", top_up.token));
        top_ups.push(top_up);
    }
    links["unknown"] = json!(format!("{gateway}/checkout/nobody"));
    let last = &top_ups[STEPS.len() - 1].id;
    payer
        .sql(&format!(
            "update topup.payment set created_at = created_at - interval '1 day', expires_at = clock_timestamp()
              where topup.format_id('top', payment_id) = '{last}'"
        ))
        .await;

    let plan = json!({"screen": screen, "links": links});
    let seen = browse("checkout", name, plan).await;
    (payer, seen, top_ups)
}

async fn the_whole_story(name: &str, screen: Value) {
    let (payer, seen, top_ups) = visit(name, screen).await;
    let landed = |step: &str, paid: u8, of: &str| {
        let id = &top_ups[STEPS.iter().position(|step| *step == of).unwrap()].id;
        let url = seen[step]["landed"].as_str().unwrap();
        assert!(url.ends_with(&format!("/hook?paid={paid}&top_up={id}")), "{step}: {url}");
    };
    for (step, of) in [
        ("pay", "pay"),
        ("declineAndRetry", "decline"),
        ("saveCard", "saved"),
        ("confirm", "confirm"),
        ("keyboard", "keyboard"),
    ] {
        landed(step, 1, of);
    }
    landed("cancel", 0, "cancel");

    let pay = &seen["pay"];
    assert_eq!((&pay["status"], &pay["heading"]), (&json!(200), &json!("Pay 25.50 USD")));
    assert_eq!((&pay["small"], &pay["fits"]), (&json!([]), &json!(true)), "{name}");
    for part in [
        "textbox \"Card number\"",
        "textbox \"Expiry date\"",
        "checkbox \"Save this card",
        "button \"Pay 25.50 USD\"",
    ] {
        assert!(pay["tree"].as_str().unwrap().contains(part), "{part}: {}", pay["tree"]);
    }
    assert_eq!((&pay["back"], &pay["forms"]), (&json!("Payment received"), &json!(0)), "the back button");
    let declined = &seen["declineAndRetry"];
    assert!(declined["alert"].as_str().unwrap().starts_with("Your card was declined."), "{declined}");
    assert!(declined["reloaded"].as_str().unwrap().contains("insufficient funds"), "{declined}");
    assert_eq!(declined["back"], "Pay 25.50 USD");
    let mistakes = &seen["mistakes"];
    assert_eq!((mistakes["mistakes"].as_array().unwrap().len(), &mistakes["described"]), (3, &json!(3)));
    assert_eq!(mistakes["focused"], "number");
    assert_eq!(seen["saveCard"]["note"], "Mastercard ending in 4444, expires 12/34");
    assert_eq!(seen["keyboard"]["order"], json!(["number", "exp", "cvc", "name", "save_card"]));
    assert_eq!(seen["keyboard"]["saved"], true);
    assert_eq!(
        (&seen["expired"]["status"], &seen["expired"]["heading"]),
        (&json!(410), &json!("This link has expired"))
    );
    assert_eq!(
        (&seen["unknown"]["status"], &seen["unknown"]["heading"]),
        (&json!(404), &json!("There is no such checkout"))
    );
    // A browser says itself that a page came with 404 or 410; nothing else is on the console.
    for (step, said) in seen.as_object().unwrap() {
        let expected = usize::from(matches!(step.as_str(), "expired" | "unknown"));
        assert_eq!(said["troubles"].as_array().unwrap().len(), expected, "{step}: {}", said["troubles"]);
    }
    // pay, decline, save, saved, confirm and keyboard were paid, each once.
    assert_eq!(payer.available("USD").await.as_deref(), Some("153"));
    payer.till.shop.database.check().await;
}

#[tokio::test]
async fn on_a_desktop_every_way_through_the_checkout_works() {
    the_whole_story("desktop", json!({"viewport": {"width": 1280, "height": 800}})).await;
}

#[tokio::test]
async fn on_a_phone_without_scripts_every_way_through_the_checkout_works() {
    let screen = json!({"viewport": {"width": 360, "height": 740}, "deviceScaleFactor": 2, "isMobile": true,
        "hasTouch": true, "javaScriptEnabled": false});
    the_whole_story("phone", screen).await;
}
