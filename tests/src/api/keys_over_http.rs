//! Keys in headers, and connections that carry several requests, good and bad.

use crate::support::{Reply, Shop, Wire};
use serde_json::json;

const BALANCE: &str = "/api/public/v1/topup/balance";

/// The balance asked for with these header lines.
async fn balance_with(shop: &Shop, headers: &str) -> Reply {
    Wire::ask(&shop.gateway.url, format!("GET {BALANCE} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn a_key_is_taken_from_either_header_in_any_letter_case() {
    let shop = Shop::open().await;
    let key = &shop.key;
    for headers in [
        format!("Authorization: Bearer {key}\r\n"),
        format!("authorization: bearer {key}\r\n"),
        format!("AUTHORIZATION: BEARER {key}\r\n"),
        format!("Authorization:   bEaReR   {key}  \r\n"),
        format!("X-CREDYT-API-KEY: {key}\r\n"),
        format!("x-credyt-api-key: {key}\r\n"),
        format!("Authorization: Bearer {key}\r\nX-CREDYT-API-KEY: {key}\r\n"),
    ] {
        balance_with(&shop, &headers).await.expect(200, 1000);
    }
}

#[tokio::test]
async fn without_a_good_key_the_door_stays_shut_and_says_how_to_open_it() {
    let shop = Shop::open().await;
    let other = shop.database.staging_key().await;
    let key = &shop.key;
    let cut = &key[..key.len() - 1];
    for headers in [
        String::new(),
        "Authorization: \r\n".to_owned(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: {key}\r\n"),
        format!("Authorization: Basic {key}\r\n"),
        format!("Authorization: Bearer {cut}\r\n"),
        format!("Authorization: Bearer {key}x\r\n"),
        format!("Authorization: Bearer {}\r\n", key.to_uppercase()),
        format!("Authorization: Bearer {}\r\n", key.replace("staging", "live")),
        format!("Authorization: Bearer {key} {key}\r\n"),
        format!("Authorization: Bearer {}\r\n", "x".repeat(8000)),
        "Authorization: Bearer ' or 1=1 --\r\n".to_owned(),
        format!("X-CREDYT-API-KEY: Bearer {key}\r\n"),
        format!("X-API-KEY: {key}\r\n"),
        format!("Cookie: api_key={key}\r\n"),
        format!("Authorization: Bearer {key}\r\nX-CREDYT-API-KEY: {other}\r\n"),
        format!("Authorization: Bearer {key}\r\nAuthorization: Bearer {other}\r\n"),
        format!("Authorization: Bearer {cut}\r\nX-CREDYT-API-KEY: {key}\r\n"),
    ] {
        let reply = balance_with(&shop, &headers).await;
        assert_eq!((reply.status, reply.code()), (401, 2001), "{headers}: {}", reply.text);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{headers}");
        assert!(!reply.text.contains(cut), "the reply repeats the key");
    }
    shop.gateway.client(&other).get("/topup/balance").await.expect(200, 1000);
    // Nor is a key taken from where logs would keep it.
    shop.gateway.stranger().get(&format!("/topup/balance?api_key={key}")).await.expect(401, 2001);
}

#[tokio::test]
async fn header_bytes_that_are_no_text_are_refused_and_harm_nothing() {
    let shop = Shop::open().await;
    let mut request = format!("GET {BALANCE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ").into_bytes();
    request.extend([0xff, 0xfe, b'\r', b'\n', b'\r', b'\n']);
    Wire::ask(&shop.gateway.url, request).await.expect(401, 2001);
    shop.client.get("/topup/balance").await.expect(200, 1000);
}

#[tokio::test]
async fn a_revoked_key_is_refused_from_the_next_request_on() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Fickle").await;
    let (key_id, key) = tenant.key("staging", "").await;
    let client = shop.gateway.client(&key);
    client.get("/topup/balance").await.expect(200, 1000);
    shop.database.admin().await.execute("select topup.revoke_key($1)", &[&key_id]).await.unwrap();
    let refused = client.get("/topup/balance").await.expect(401, 2001);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    shop.client.get("/topup/balance").await.expect(200, 1000);
}

#[tokio::test]
async fn a_bad_idempotency_key_is_refused_before_anything_happens() {
    let shop = Shop::open().await;
    let order = json!({"platform": "claude", "amount_cents": 100});
    for bad in ["", " ", "two words", "tab\there", "caf\u{e9}", &"k".repeat(256)] {
        let reply = shop.client.post_once("/topup/send", order.clone(), bad).await.expect(400, 2000);
        assert_eq!(reply.data()["field"], "Idempotency-Key", "{bad:?}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    shop.client.post_with("/topup/send", order.clone(), &twice).await.expect(400, 2000);
    assert_eq!(shop.balance_cents().await, 100_000);

    let longest = "~".repeat(255);
    let first = shop.client.post_once("/topup/send", order.clone(), &longest).await.expect(200, 1001);
    let again = shop.client.post_once("/topup/send", order, &longest).await.expect(200, 1001);
    assert_eq!(first.text, again.text);
    assert_eq!(
        (first.header("idempotent-replayed"), again.header("idempotent-replayed")),
        (None, Some("true"))
    );
    assert_eq!(shop.balance_cents().await, 99_900);
}

/// Requests of one connection with what each is answered. The last one shows that the connection still serves.
fn mixed_requests(key: &str) -> Vec<(String, u16, i64)> {
    let auth = format!("Host: x\r\nAuthorization: Bearer {key}\r\n");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{auth}\r\n");
    let post = |path: &str, kind: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\n{auth}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let json = "application/json";
    let send = "/api/public/v1/topup/send";
    vec![
        (get(BALANCE), 200, 1000),
        (post(send, json, "{"), 400, 2000),
        (post(send, "text/plain", "GET / HTTP/1.1\r\n\r\n"), 415, 4005),
        (post("/nowhere", json, "{\"a\":1}"), 404, 4000),
        (post(BALANCE, json, "{\"a\":1}"), 405, 4003),
        (post(send, json, &" ".repeat(1_100_000)), 413, 4004),
        (post(send, json, r#"{"platform":"claude","amount_cents":1}"#), 422, 2005),
        (format!("GET {BALANCE} HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{{\"a\":1}}"), 401, 2001),
        (get(BALANCE), 200, 1000),
    ]
}

#[tokio::test]
async fn a_connection_survives_every_refusal() {
    let shop = Shop::open().await;
    let mut wire = Wire::open(&shop.gateway.url).await;
    for (request, status, code) in mixed_requests(&shop.key) {
        wire.write(request).await;
        wire.read().await.expect(status, code);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let shop = Shop::open().await;
    let requests = mixed_requests(&shop.key);
    let all: String = requests.iter().map(|(request, ..)| request.as_str()).collect();
    let mut wire = Wire::open(&shop.gateway.url).await;
    wire.write(all).await;
    for (_, status, code) in requests {
        wire.read().await.expect(status, code);
    }
}

#[tokio::test]
async fn a_request_that_is_no_http_ends_its_connection_and_nothing_else() {
    let shop = Shop::open().await;
    for nonsense in [
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET {BALANCE} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
        format!("POST {BALANCE} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        format!("GET {BALANCE} HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1_000_000)),
    ] {
        let mut wire = Wire::open(&shop.gateway.url).await;
        wire.try_write(nonsense).await;
        let said = wire.rest().await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    shop.client.get("/topup/balance").await.expect(200, 1000);
}
