//! The life of a customer, as the official Credyt client from PyPI tells it to the real gateway.

use crate::support::{Shop, python_client};
use serde_json::{Value, json};

/// What the client read of a refusal of one field: the status, and the fields that are named.
fn fields(refusal: &Value) -> (i64, Vec<&str>) {
    let errors = refusal["is"]["errors"].as_object();
    let named = errors.map(|errors| errors.keys().map(String::as_str).collect()).unwrap_or_default();
    (refusal["status"].as_i64().unwrap(), named)
}

#[tokio::test]
async fn the_official_client_tells_the_whole_story_unmodified() {
    let shop = Shop::open().await;
    let (url, key) = (shop.gateway.url.clone(), shop.key.clone());
    let told =
        tokio::task::spawn_blocking(move || python_client("credyt/story.py", &[&url], &key)).await.unwrap();
    let seen: Value = serde_json::from_str(&told).unwrap();

    assert_eq!((&seen["asset"], &seen["assets"]), (&json!(0), &json!(["TOKENS"])));
    assert_eq!(seen["quotes"], json!(["1250", "625"]));
    assert_eq!(seen["draft"], json!([1, "draft", false]));
    assert_eq!(seen["published"], json!(["published", true, ["Input", "Output", "Setup"]]));
    assert_eq!((&seen["default_version"], &seen["products"]), (&json!(1), &json!(["completions"])));
    assert_eq!(seen["simulated"], "0.34991125");
    assert_eq!(seen["customers"], json!([1, "Anne", true]));
    assert_eq!(seen["metadata"], json!({"plan": "a"}));
    assert_eq!(seen["transaction"], json!(["adjustment", "default:USD", "2", {"campaign": "spring"}]));
    assert_eq!((&seen["subscription"], &seen["subscribers"]), (&json!(["active", 1]), &json!([[true, 1]])));
    assert_eq!(
        seen["fees"],
        json!([["Input", "0.00294125", {"model": "large"}], ["Output", "0.34697", {"model": "large"}]])
    );
    assert_eq!(seen["events"], json!([["e-1", "0.34991125", true], ["e-2", "0", true]]));
    // 2 + 10 - 0.5 of credit, 1 for the set-up, 0.34991125 of usage, 0.25 of a charge.
    assert_eq!(seen["wallet"], json!([["default:TOKENS", "500"], ["default:USD", "9.90008875"]]));
    assert_eq!(seen["account"], json!(["9.90008875", "0", "0"]));
    assert_eq!(seen["grants"], json!([["paid", "9.90008875"], ["promotional", "0"]]));
    assert_eq!(seen["entitlement"], json!([["bundled", "500"]]));
    assert_eq!((&seen["context"], &seen["ended"]), (&json!(["test", "acct_"]), &json!("inactive")));
    assert_eq!(seen["top_up"], json!(["initiated", "initiated", "25.1", "USD", "100"]));
    assert_eq!(seen["checkout"], "http://127.0.0.1:8080/checkout");
    assert_eq!(fields(&seen["refused rate"]), (422, vec!["destination.exchange_rate"]));
    assert_eq!(seen["portal"], json!([true, true]));
    refusals_are_read_as_they_are_meant(&seen["refusals"]);
    the_statement_says_the_same(&shop, seen["customer"].as_str().unwrap()).await;
    shop.database.check().await;
}

fn refusals_are_read_as_they_are_meant(refusals: &Value) {
    for (what, status) in [
        ("no key", 401),
        ("no customer", 404),
        ("no account", 404),
        ("same id, other charge", 409),
        ("same external id", 409),
        ("subscribed", 409),
        ("same event, other content", 409),
    ] {
        assert_eq!(refusals[what]["status"], status, "{what}: {}", refusals[what]);
    }
    assert_eq!(refusals["not covered"]["model"], "ValidationProblem");
    assert_eq!(fields(&refusals["not covered"]), (422, vec!["amount"]));
    assert_eq!(fields(&refusals["one bad event"]), (422, vec!["events[1].data.input_tokens"]));
    assert_eq!(
        (&refusals["malformed"]["model"], &refusals["malformed"]["status"]),
        (&json!("ProblemDetails"), &json!(400))
    );
}

async fn the_statement_says_the_same(shop: &Shop, customer: &str) {
    let path = format!("/customers/{customer}/wallet/default%3AUSD/statement");
    let statement = shop.client.at_root().get(&path).await.expect_status(200).json;
    let entries = statement["entries"].as_array().unwrap();
    let kinds: Vec<&str> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["adjust", "adjust", "adjust", "subscription", "usage", "charge"]);
    assert_eq!(statement["closing_balance"].to_string(), "9.90008875");
}
