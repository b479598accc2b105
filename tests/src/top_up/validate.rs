//! The dry run gives exactly the refusal or the price that a send would, and writes nothing.

use crate::support::{Database, wire};
use serde_json::{Value, json};

/// Requests good and bad, and combinations of faults, in which the first to be named matters.
fn requests() -> Vec<Value> {
    let mut requests: Vec<Value> = [99, 100, 101, 5_000, 20_000, 20_001, 100_000, 100_001, 0, -1, i64::MAX]
        .map(|cents| json!({"platform": "claude", "amount_cents": cents}))
        .into();
    for email in ["ann@example.com", "ann+pending@example.com", "ann+fail@example.com", "nobody", "", "a@b"] {
        for cents in [100, 100_001] {
            requests.push(json!({"platform": "slow", "amount_cents": cents, "recipient_email": email}));
        }
    }
    requests.extend([
        json!({}),
        json!({"platform": "claude"}),
        json!({"amount_cents": 1000}),
        json!({"platform": "nobody", "amount_cents": 1000}),
        json!({"platform": "nobody", "amount_cents": -1, "recipient_email": "nobody"}),
        json!({"platform": "", "amount_cents": 1000}),
        json!({"platform": 7, "amount_cents": 1000}),
        json!({"platform": null, "amount_cents": 1000}),
        json!({"platform": "claude", "amount_cents": 1.5}),
        json!({"platform": "claude", "amount_cents": "1000"}),
        json!({"platform": "claude", "amount_cents": 1e30}),
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": null}),
        json!({"platform": "claude", "amount_cents": 1000, "color": "red"}),
        json!({"platform": "claude", "amount_cents": 1000, "metadata": {"order": 7}}),
        json!({"platform": "claude", "amount_cents": 1000, "metadata": []}),
        json!({"platform": "claude", "amount_cents": 1000, "metadata": {"long": "x".repeat(5000)}}),
        json!([]),
        json!("send"),
    ]);
    requests
}

/// Validates every request, then sends each; returns the codes that came.
async fn compare(database: &Database, key: &str) -> Vec<i64> {
    let admin = database.admin().await;
    let before = database.contents().await;
    let mut foretellings = Vec::new();
    for request in requests() {
        foretellings.push(wire(&admin, key, "validate", &request).await);
    }
    assert!(database.contents().await == before, "validate wrote something");
    let mut codes = Vec::new();
    for (request, (foretold_http, foretold)) in requests().into_iter().zip(foretellings) {
        // Undone each time, so that every request meets the same wallet and cap.
        admin.batch_execute("begin").await.unwrap();
        let (http_status, sent) = wire(&admin, key, "send", &request).await;
        admin.batch_execute("rollback").await.unwrap();
        codes.push(sent["code"].as_i64().unwrap());
        if sent["success"] == false {
            assert_eq!((foretold_http, &foretold["code"]), (http_status, &sent["code"]), "{request}");
            assert_eq!(foretold["data"], sent["data"], "{request}");
            continue;
        }
        assert_eq!((foretold_http, &foretold["code"]), (200, &json!(1000)), "{request}: {foretold}");
        assert_eq!(foretold["data"]["valid"], true);
        for field in ["platform", "amount_cents", "cost_cents", "discount_bps", "new_balance_cents"] {
            assert_eq!(foretold["data"][field], sent["data"][field], "{field} of {request}");
        }
        assert_eq!((&foretold["transaction_id"], &foretold["status"]), (&Value::Null, &Value::Null));
    }
    codes
}

fn has(codes: &[i64], wanted: &[i64]) {
    for code in wanted {
        assert!(codes.contains(code), "no request gave {code}: {codes:?}");
    }
}

async fn database() -> Database {
    let database = Database::new().await;
    let deferred = "select topup.set_platform('slow', 'Slow', delivery => 'deferred')";
    database.admin().await.execute(deferred, &[]).await.unwrap();
    database
}

#[tokio::test]
async fn validate_says_what_send_says() {
    let database = database().await;
    let (_, key) = database.tenant("Acme").await.key("staging", "tier => 'gold'").await;
    has(&compare(&database, &key).await, &[1001, 1002, 2000, 2003, 2004, 2005]);
}

#[tokio::test]
async fn validate_knows_the_wallet() {
    let database = database().await;
    let tenant = database.tenant("Acme").await;
    let (_, key) = tenant.key("live", "tier => 'gold'").await;
    // 5,000 cents at the gold price: covered to the cent.
    let fund = "select topup.fund($1, 'live', 4150, 'f')";
    database.admin().await.execute(fund, &[&tenant.id]).await.unwrap();
    has(&compare(&database, &key).await, &[1001, 2002]);
}

#[tokio::test]
async fn validate_knows_the_cap() {
    let database = database().await;
    let (_, key) = database.tenant("Acme").await.key("staging", "cap_cents => 20000").await;
    has(&compare(&database, &key).await, &[1001, 2007]);
}

#[tokio::test]
async fn validate_needs_the_key_that_send_needs() {
    let database = database().await;
    let (_, key) = database.tenant("Acme").await.key("staging", "scopes => '{read}'").await;
    assert!(compare(&database, &key).await.iter().all(|code| *code == 2008));
    assert!(compare(&database, "ak_staging_wrong").await.iter().all(|code| *code == 2001));
}
