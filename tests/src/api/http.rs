//! The gateway's door: routes, methods, headers and keys, as HTTP clients of every kind meet them.

use crate::support::{LIMIT, Reply, Shop, Wire, wait_until};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const API: &str = "/api/public/v1";
/// A well-formed id of nothing.
const NO_ID: &str = "txn_00000000000000000000000000";

/// A path of the catalog, its fields filled in.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { NO_ID } else { part }).collect::<Vec<_>>().join("/")
}

/// A refusal looks like every other reply: six fields in order, JSON, and an id to ask about it.
#[track_caller]
fn assert_envelope(reply: &Reply) {
    let text = reply.text.replace(' ', "");
    let mut rest = text.as_str();
    for field in ["success", "code", "transaction_id", "status", "timestamp", "data"] {
        let lead = format!("\"{field}\":");
        rest = rest.split_once(&lead).unwrap_or_else(|| panic!("no {field} in its place: {text}")).1;
    }
    assert_eq!(reply.json.as_object().unwrap().len(), 6, "{text}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{text}");
    assert!(reply.header("x-request-id").is_some_and(|id| !id.is_empty()), "{text}");
    let timestamp = reply.json["timestamp"].as_str().unwrap();
    assert!(timestamp.len() == 24 && timestamp.ends_with('Z'), "{text}");
    if reply.json["success"] == false {
        assert!(reply.data()["message"].as_str().is_some_and(|message| message.len() > 8), "{text}");
    }
}

/// What Cloudflare's clients find around an error.
#[track_caller]
fn assert_enclosed(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("application/json"), "{}", reply.text);
    assert_eq!(
        (&reply.json["success"], &reply.json["result"]),
        (&json!(false), &Value::Null),
        "{}",
        reply.text
    );
    assert!(reply.json["errors"][0]["message"].is_string(), "{}", reply.text);
}

/// RFC 7807, with our code.
#[track_caller]
fn assert_problem(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{}", reply.text);
    assert_eq!(reply.json["status"], reply.status, "{}", reply.text);
    for field in ["type", "title", "detail"] {
        assert!(reply.json[field].as_str().is_some_and(|text| !text.is_empty()), "{}", reply.text);
    }
}

#[tokio::test]
async fn every_operation_of_the_catalog_is_reached_by_its_path() {
    let shop = Shop::open().await;
    let operations = shop.operations().await;
    let root = shop.client.at_root();
    assert!(operations.len() >= 17);
    for operation in &operations {
        let name = operation["name"].as_str().unwrap();
        let method = Method::from_bytes(operation["method"].as_str().unwrap().as_bytes()).unwrap();
        let path = filled(operation["path"].as_str().unwrap());
        let request = root.request(method.clone(), &path).header("x-request-id", format!("to-{name}"));
        let request = match method {
            Method::POST | Method::PATCH => request.header("content-type", "application/json").body("{}"),
            _ => request,
        };
        let reply = root.send(request).await;
        assert!(!matches!(reply.json["code"].as_i64(), Some(4000..=5003)), "{name}: {}", reply.text);
        let line = wait_until(LIMIT, name, async || {
            shop.gateway
                .log()
                .lines()
                .find(|line| line.contains(&format!("\"to-{name}\"")))
                .map(str::to_owned)
        })
        .await;
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["operation"], name);
    }
}

#[tokio::test]
async fn an_unknown_path_is_refused_in_the_envelope() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    for path in [
        "/nope",
        "/api",
        "/api/public/v1",
        "/api/public/v2/topup/balance",
        "/api/public/v1/topup/balance/",
        "/api/public/v1//topup/balance",
        "/api/public/v1/topup/Balance",
        "/api/public/v1/topup/status",
        "/api/public/v1/topup/status/",
        "/api/public/v1/topup/status/a/b",
        "/api/public/v1/topup/adjust",
        "/health",
        "/metrics",
        "/.well-known/oauth-authorization-server",
    ] {
        let reply = root.get(path).await.expect(404, 4000);
        assert_envelope(&reply);
        let reply = root.post(path, json!({"a": 1})).await.expect(404, 4000);
        assert_envelope(&reply);
    }
}

#[tokio::test]
async fn another_method_is_refused_and_told_which_ones_are_allowed() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let mut allowed: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for operation in shop.operations().await {
        let surface = operation["surface"].as_str().unwrap().to_owned();
        let path = (filled(operation["path"].as_str().unwrap()), surface);
        let methods = allowed.entry(path).or_default();
        let method = operation["method"].as_str().unwrap();
        methods.insert(method.to_owned());
        if method == "GET" {
            methods.insert("HEAD".to_owned());
        }
    }
    for ((path, surface), methods) in &allowed {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if methods.contains(method) {
                continue;
            }
            let reply = root.send(root.request(Method::from_bytes(method.as_bytes()).unwrap(), path)).await;
            let reply = reply.expect(405, 4003);
            match surface.as_str() {
                "envelope" => assert_envelope(&reply),
                "cloudflare" => assert_enclosed(&reply),
                _ => assert_problem(&reply),
            }
            let allow: BTreeSet<String> =
                reply.header("allow").unwrap().split(", ").map(str::to_owned).collect();
            assert_eq!(allow, *methods, "{method} {path}");
        }
    }
    for page in ["/docs", "/openapi.json", "/health/live", "/health/ready"] {
        let reply = root.post(page, json!({})).await.expect(405, 4003);
        assert_envelope(&reply);
        assert_eq!(reply.header("allow"), Some("GET,HEAD"), "{page}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_whether_declared_or_chunked() {
    let shop = Shop::open_with(&["--body-limit-bytes", "1000"]).await;
    let order = json!({"platform": "claude", "amount_cents": 100}).to_string();
    let of_length = |length: usize| format!("{order}{}", " ".repeat(length - order.len()));
    let head = format!(
        "POST {API}/topup/send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        shop.key
    );
    let declared = |length| format!("{head}Content-Length: {length}\r\n\r\n{}", of_length(length));
    let chunked = |length: usize| {
        let body = of_length(length);
        let (first, second) = body.split_at(length / 2);
        let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(first), chunk(second))
    };
    for request in [declared(1000), chunked(1000)] {
        Wire::ask(&shop.gateway.url, request).await.expect(200, 1001);
    }
    for request in [declared(1001), chunked(1001), declared(3_000_000), chunked(3_000_000)] {
        let reply = Wire::ask(&shop.gateway.url, request).await.expect(413, 4004);
        assert_envelope(&reply);
    }
    assert_eq!(shop.balance_cents().await, 99_800);
}

#[tokio::test]
async fn who_asks_before_sending_a_large_body_hears_no_at_once() {
    let shop = Shop::open().await;
    let head = format!(
        "POST {API}/topup/send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n",
        shop.key
    );
    Wire::ask(&shop.gateway.url, head).await.expect(413, 4004);
}

#[tokio::test]
async fn a_body_must_be_announced_as_json() {
    let shop = Shop::open().await;
    let body = json!({"platform": "claude", "amount_cents": 100}).to_string();
    let send = async |content_type: Option<&str>| {
        let mut request = shop.client.request(Method::POST, "/topup/validate").body(body.clone());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        shop.client.send(request).await
    };
    for good in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON;charset=\"UTF-8\""]
    {
        send(Some(good)).await.expect(200, 1000);
    }
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "json",
        "",
        "application/xml",
    ] {
        let reply = send(Some(bad)).await.expect(415, 4005);
        assert_envelope(&reply);
    }
    send(None).await.expect(415, 4005);
    // Without a body there is nothing to announce.
    let nothing = shop.client.request(Method::POST, "/topup/validate");
    assert_eq!(shop.client.send(nothing).await.expect(400, 2000).data()["field"], "platform");
}

#[tokio::test]
async fn every_reply_is_the_same_envelope_and_carries_a_request_id() {
    let shop = Shop::open().await;
    let (client, stranger) = (&shop.client, shop.gateway.stranger());
    let id = "client-id_42/é".replace('é', "~");
    for (with_key, method, path, body) in [
        (true, Method::POST, "/topup/send", r#"{"platform":"claude","amount_cents":100}"#),
        (true, Method::POST, "/topup/send", r#"{"platform":"nobody","amount_cents":100}"#),
        (true, Method::POST, "/topup/send", "{"),
        (true, Method::POST, "/topup/sent", "{}"),
        (true, Method::PUT, "/topup/send", "{}"),
        (false, Method::POST, "/topup/send", "{}"),
        (true, Method::GET, "/topup/balance", ""),
        (true, Method::GET, "/topup/history?limit=0", ""),
    ] {
        let client = if with_key { client } else { &stranger };
        let ask =
            || client.request(method.clone(), path).header("content-type", "application/json").body(body);
        let echoed = client.send(ask().header("x-request-id", &id)).await;
        assert_envelope(&echoed);
        assert_eq!(echoed.header("x-request-id"), Some(id.as_str()), "{method} {path}");

        let (first, second) = (client.send(ask()).await, client.send(ask()).await);
        assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
        for silly in ["two words", &"x".repeat(200), ""] {
            let made = client.send(ask().header("x-request-id", silly)).await;
            assert_envelope(&made);
            assert_ne!(made.header("x-request-id"), Some(silly));
        }
    }
    let page = client.at_root().get("/health/live").await;
    assert!(page.header("x-request-id").is_some());
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let shop = Shop::open().await;
    for (path, status) in [("/topup/balance", 200), ("/topup/history?limit=0", 400), ("/topup/nope", 404)] {
        let mut wire = Wire::open(&shop.gateway.url).await;
        let request = |method| {
            format!("{method} {API}{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", shop.key)
        };
        wire.write(request("HEAD")).await;
        let head = wire.read_headers_only().await;
        wire.write(request("GET")).await;
        let get = wire.read().await;
        assert_eq!((head.status, get.status), (status, status), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.header("content-type"), Some("application/json"), "{path}");
    }
}

#[tokio::test]
async fn ids_in_a_path_may_be_percent_encoded() {
    let shop = Shop::open().await;
    let id = shop.send().await.expect(200, 1001).transaction_id();
    let encoded: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for path in [id.replace('_', "%5F"), encoded] {
        let found = shop.client.get(&format!("/topup/status/{path}")).await.expect(200, 1001);
        assert_eq!(found.transaction_id(), id);
    }
    for strange in ["txn%2F1", "%C3%A9", "%25", "..%2F..", "a%20b", "%22%7D", &"x".repeat(5000)] {
        shop.client.get(&format!("/topup/status/{strange}")).await.expect(404, 3003);
    }
    for unreadable in ["%FF", "%00", "txn%00"] {
        let reply = shop.client.get(&format!("/topup/status/{unreadable}")).await.expect(400, 2000);
        assert_envelope(&reply);
    }
}

#[tokio::test]
async fn what_a_query_says_is_read_by_its_type() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        shop.send().await.expect(200, 1001);
    }
    for (query, count) in [
        ("", 3),
        ("?limit=2", 2),
        ("?limit=%32", 2),
        ("?limit=2.0", 2),
        ("?limit=1e1", 3),
        ("?platform=claude&status=delivered", 3),
        ("?platform=%63laude&limit=1", 1),
        ("?status=pending", 0),
        ("?platform=no+such+platform", 0),
    ] {
        let page = shop.client.get(&format!("/topup/history{query}")).await.expect(200, 1000);
        assert_eq!(page.data()["transactions"].as_array().unwrap().len(), count, "{query}");
    }
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=51", "limit"),
        ("?limit=-1", "limit"),
        ("?limit=two", "limit"),
        ("?limit=1.5", "limit"),
        ("?limit=1e-1", "limit"),
        ("?limit=1e400", "limit"),
        ("?limit=", "limit"),
        ("?limit=99999999999999999999", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?status=gone", "status"),
        ("?cursor=x", "cursor"),
        ("?color=red", "color"),
        ("?limit=1&Limit=1", "Limit"),
        ("?platform=a%00b", "platform"),
    ] {
        let reply = shop.client.get(&format!("/topup/history{query}")).await.expect(400, 2000);
        assert_eq!(reply.data()["field"], field, "{query}");
    }
    let reply = shop.client.get("/topup/balance?verbose=1").await.expect(400, 2000);
    assert_eq!(reply.data()["field"], "verbose");
    let reply = shop.client.get(&format!("/topup/status/{NO_ID}?transaction_id=x")).await.expect(400, 2000);
    assert_eq!(reply.data()["field"], "transaction_id");
}
