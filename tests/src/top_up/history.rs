//! Looking back: status and history in pages, and the shape of every reply.

use crate::support::{Client, Database, Gateway, wire};
use serde_json::{Value, json};
use std::collections::HashSet;

const TOP_UPS: usize = 120;

/// A database, and a staging key under which 120 top-ups were sent: two of three on claude, and every fifth is pending.
async fn history() -> (Database, String, Vec<String>) {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let app = database.app(&key).await;
    let requests: Vec<Value> = (0..TOP_UPS)
        .map(|n| {
            let platform = if n % 3 == 0 { "gemini" } else { "claude" };
            let mut request = json!({"platform": platform, "amount_cents": 100 + n});
            if n % 5 == 0 {
                request["recipient_email"] = json!("ann+pending@example.com");
            }
            request
        })
        .collect();
    let query = "select r->>'transaction_id' from topup.send_many($1) r";
    let rows = app.query(query, &[&Value::from(requests)]).await.unwrap();
    let mut sent: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    sent.reverse();
    (database, key, sent)
}

/// Every page of a filtered history, as one list.
async fn pages(admin: &tokio_postgres::Client, key: &str, filter: Value, limit: usize) -> Vec<Value> {
    let mut request = filter;
    request["limit"] = json!(limit);
    let mut listed = Vec::new();
    loop {
        let envelope = wire(admin, key, "history", &request).await.1;
        assert_eq!(envelope["code"], 1000, "{envelope}");
        let page = envelope["data"]["transactions"].as_array().unwrap();
        assert!(page.len() <= limit);
        listed.extend(page.iter().cloned());
        let cursor = envelope["data"]["next_cursor"].clone();
        if cursor.is_null() {
            return listed;
        }
        assert_eq!(page.len(), limit, "a page with a next one is full");
        request["cursor"] = cursor;
    }
}

fn ids(listed: &[Value]) -> Vec<&str> {
    listed.iter().map(|each| each["transaction_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_pages_of_a_history_have_no_gaps_and_no_repeats() {
    let (database, key, sent) = history().await;
    let admin = database.admin().await;
    for limit in [7, 40, 50] {
        assert_eq!(ids(&pages(&admin, &key, json!({}), limit).await), sent, "pages of {limit}");
    }
    let unlimited = wire(&admin, &key, "history", &json!({})).await.1;
    assert_eq!(unlimited["data"]["transactions"].as_array().unwrap().len(), 50);
    database.check().await;
}

#[tokio::test]
async fn a_page_stays_where_it_was_while_new_top_ups_come() {
    let (database, key, sent) = history().await;
    let admin = database.admin().await;
    let first = wire(&admin, &key, "history", &json!({"limit": 10})).await.1;
    wire(&admin, &key, "send", &json!({"platform": "claude", "amount_cents": 100})).await;
    let cursor = &first["data"]["next_cursor"];
    let second = wire(&admin, &key, "history", &json!({"limit": 10, "cursor": cursor})).await.1;
    assert_eq!(ids(second["data"]["transactions"].as_array().unwrap()), sent[10..20]);
}

#[tokio::test]
async fn a_history_is_filtered_by_status_and_platform() {
    let (database, key, _) = history().await;
    let admin = database.admin().await;
    for (filter, count) in [
        (json!({"status": "pending"}), TOP_UPS / 5),
        (json!({"status": "delivered"}), TOP_UPS - TOP_UPS / 5),
        (json!({"status": "failed"}), 0),
        (json!({"platform": "gemini"}), TOP_UPS / 3),
        (json!({"platform": "gemini", "status": "pending"}), TOP_UPS / 15),
        (json!({"platform": "chatgpt"}), 0),
    ] {
        let listed = pages(&admin, &key, filter.clone(), 9).await;
        assert_eq!(listed.len(), count, "{filter}");
        assert_eq!(ids(&listed).into_iter().collect::<HashSet<_>>().len(), count);
        for (field, wanted) in filter.as_object().unwrap() {
            assert!(listed.iter().all(|each| each[field] == *wanted), "{filter}");
        }
    }
}

#[tokio::test]
async fn a_bad_cursor_limit_or_filter_is_refused_by_name() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let client = gateway.client(&key);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=51", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=whk_00000000000000000000000000", "cursor"),
        ("status=lost", "status"),
        ("color=red", "color"),
    ] {
        let reply = client.get(&format!("/topup/history?{query}")).await.expect(400, 2000);
        assert_eq!(reply.data()["field"], field, "{query}");
    }
    client.get("/topup/history?limit=1&status=pending&platform=claude").await.expect(200, 1000);
}

/// Where each of these names first stands in a text; panics where one is missing.
fn in_order(text: &str, names: &[&str]) {
    let places: Vec<usize> = names
        .iter()
        .map(|name| text.find(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name}: {text}")))
        .collect();
    assert!(places.is_sorted(), "{names:?} in {text}");
}

/// Whether a text is a time as every reply writes it: `2026-01-01T00:00:00.000Z`.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

const TOP_UP: [&str; 7] = [
    "voucher_code",
    "platform",
    "amount_cents",
    "new_balance_cents",
    "cost_cents",
    "discount_bps",
    "recipient_email",
];
const VALIDATE: [&str; 6] =
    ["valid", "platform", "amount_cents", "cost_cents", "discount_bps", "new_balance_cents"];
const BALANCE: [&str; 15] = [
    "balance_cents",
    "currency",
    "low_balance_threshold_cents",
    "environment",
    "key",
    "id",
    "name",
    "tier",
    "discount_bps",
    "cap_cents",
    "cap_period",
    "cap_used_cents",
    "cap_remaining_cents",
    "month_volume_cents",
    "margin_cents",
];

/// One reply of each kind: its text, whether it is about a transaction, and the order of its data.
async fn replies(client: &Client) -> Vec<(String, bool, Vec<&'static str>)> {
    let send = json!({"platform": "claude", "amount_cents": 1000});
    let pending =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    let sent = client.post("/topup/send", send.clone()).await.expect(200, 1001);
    let pending = client.post("/topup/send", pending).await.expect(202, 1002);
    let (sent_id, pending_id) = (sent.transaction_id(), pending.transaction_id());
    let status = client.get(&format!("/topup/status/{sent_id}")).await.expect(200, 1001);
    let still_pending = client.get(&format!("/topup/status/{pending_id}")).await.expect(200, 1002);
    let cancelled =
        client.post("/topup/cancel", json!({"transaction_id": pending_id})).await.expect(200, 3001);
    let validated = client.post("/topup/validate", send).await.expect(200, 1000);
    let balance = client.get("/topup/balance").await.expect(200, 1000);
    let history = client.get("/topup/history").await.expect(200, 1000);
    let refused =
        client.post("/topup/send", json!({"platform": "claude", "amount_cents": 1})).await.expect(422, 2005);
    let unknown = client.get("/topup/nowhere").await.expect(404, 4000);
    vec![
        (sent.text, true, TOP_UP.into()),
        (pending.text, true, TOP_UP.into()),
        (status.text, true, TOP_UP.into()),
        (still_pending.text, true, TOP_UP.into()),
        (cancelled.text, true, vec!["refunded_cents", "new_balance_cents"]),
        (validated.text, false, VALIDATE.into()),
        (balance.text, false, BALANCE.into()),
        (history.text, false, vec!["transactions", "transaction_id", "next_cursor"]),
        (refused.text, false, vec!["message", "field"]),
        (unknown.text, false, vec!["message"]),
    ]
}

#[tokio::test]
async fn every_reply_is_the_envelope_with_its_six_fields_in_order() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    for (text, about_a_transaction, data) in replies(&gateway.client(&key)).await {
        let envelope: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(envelope.as_object().unwrap().len(), 6, "{text}");
        in_order(&text, &["success", "code", "transaction_id", "status", "timestamp", "data"]);
        assert!(is_time(envelope["timestamp"].as_str().unwrap()), "{text}");
        let (id, status) = (&envelope["transaction_id"], &envelope["status"]);
        assert_eq!(
            (id.is_string(), status.is_string()),
            (about_a_transaction, about_a_transaction),
            "{text}"
        );
        assert!(about_a_transaction || id.is_null() && status.is_null(), "{text}");
        in_order(text.split_once("\"data\":").unwrap().1, &data);
        let code = envelope["code"].as_i64().unwrap();
        assert_eq!(envelope["success"], [1000, 1001, 1002, 3001].contains(&code), "{text}");
    }
}

#[tokio::test]
async fn times_in_a_history_have_milliseconds_and_z() {
    let (database, key, _) = history().await;
    let admin = database.admin().await;
    let page = wire(&admin, &key, "history", &json!({"limit": 5})).await.1;
    for each in page["data"]["transactions"].as_array().unwrap() {
        assert!(is_time(each["created_at"].as_str().unwrap()), "{each}");
    }
}
