//! Replies come as the `jsonb` that Postgres would have made of their text, to the byte.

use crate::support::{Database, call};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// Whether a reply is, bit by bit, what Postgres reads from its text, and what it says.
async fn is_stored_alike(app: &Client, expression: &str) -> (bool, Value) {
    let query = format!(
        "with reply as materialized (select {expression} as reply)
         select record_image_eq(row(reply), row(reply::text::jsonb)), reply from reply"
    );
    let row = app.query_one(&query, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

/// Objects, as text: what a client may keep with an adjustment.
fn documents() -> Vec<String> {
    let many = |count: usize| -> Vec<String> {
        (0..count).map(|n| format!("\"{}{n}\": {}", "k".repeat(n % 5), n * 37)).collect()
    };
    let mut documents = vec![
        "{}".to_owned(),
        r#"{"": "", "a": null, "b": true, "c": false, "d": [], "e": {}, "f": [[]], "g": [{}, {"h": [1, "2", [3]]}]}"#.to_owned(),
        r#"{"n": [0, -1, 1, 9999, 10000, 10001, 123456789, 100000000, -9223372036854775808, 9223372036854775807]}"#.to_owned(),
        r#"{"beyond": [9223372036854775808, -9223372036854775809, 1e3, 0.10, -0.000000001, 12345678901234567890123]}"#.to_owned(),
        r#"{"text": "quote \" back \\ slash \/ tab \t line \n é € 😀 \u0001", "é": "accent", "zz": "z", "b": "b", "aaa": "a"}"#.to_owned(),
        format!(r#"{{"long": "{}", "x": [1]}}"#, "x".repeat(3000)),
    ];
    // Postgres keeps every 32nd place, counted through keys and values alike.
    for count in [1, 15, 16, 17, 31, 32, 33, 64, 65, 100] {
        documents.push(format!("{{{}}}", many(count).join(", ")));
        let items: Vec<String> =
            (0..count).map(|n| if n % 3 == 0 { format!("\"{n}\"") } else { n.to_string() }).collect();
        documents.push(format!(r#"{{"items": [{}], "after": "x"}}"#, items.join(", ")));
    }
    documents
}

#[tokio::test]
async fn whatever_a_client_keeps_comes_back_to_the_byte() {
    let database = Database::new().await;
    let app = database.app(&database.staging_key().await).await;
    let customer = call(&app, "topup.customer_create('Ann')").await;
    let customer = customer["data"]["id"].as_str().unwrap();
    for (n, document) in documents().iter().enumerate() {
        let adjust =
            format!("topup.adjust('t{n}', 'USD', 1, 'gift', '{customer}', metadata => '{document}')");
        let adjusted = call(&app, &adjust).await;
        assert_eq!(adjusted["code"], 1000, "{adjusted}");
        let transaction = format!("topup.wallet_transaction('{customer}', 't{n}')");
        let (alike, reply) = is_stored_alike(&app, &transaction).await;
        assert_eq!((alike, &reply["code"]), (true, &json!(1000)), "{document}: {reply}");
        // A search by key goes by halves through what is sorted.
        let equal = format!(
            "select bool_and(kept = '{document}' and kept -> key is not distinct from value)
               from jsonb_each('{document}'), lateral (select {transaction} -> 'data' -> 'metadata') k (kept)"
        );
        let is_equal: Option<bool> = app.query_one(&equal, &[]).await.unwrap().get(0);
        assert_ne!(is_equal, Some(false), "{document}");
    }
    database.check().await;
}

#[tokio::test]
async fn replies_and_refusals_are_stored_as_postgres_would() {
    let database = Database::new().await;
    let app = database.app(&database.staging_key().await).await;
    for (expression, code) in [
        ("topup.send('claude', 1000)", 1001),
        ("topup.send('claude', 1000, 'ann+pending@example.com')", 1002),
        ("topup.send('nobody', 1000)", 2003),
        ("topup.balance()", 1000),
        ("topup.status('txn_nothing')", 3003),
        ("topup.history()", 1000),
        ("topup.adjust('gift', 'USD', 0.000001, 'gift', description => 'é \"')", 1000),
        ("topup.asset_list()", 1000),
    ] {
        let (alike, reply) = is_stored_alike(&app, expression).await;
        assert_eq!((alike, &reply["code"]), (true, &json!(code)), "{expression}: {reply}");
    }
}
