//! Who may speak MCP, and from where: keys, scopes, Host and Origin.

use crate::support::rpc::{Rpc, STREAMABLE, request};
use crate::support::sse::{SSE, Session};
use crate::support::{LIMIT, Reply, Shop, Wire, wait_until};
use reqwest::Method;
use serde_json::{Value, json};

const MESSAGES: &str = "/api/public/mcp/messages?session_id=00000000-0000-4000-8000-000000000000";

/// All ways in, as method and path.
const DOORS: [(&str, &str); 6] = [
    ("POST", STREAMABLE),
    ("GET", STREAMABLE),
    ("DELETE", STREAMABLE),
    ("GET", SSE[0]),
    ("GET", SSE[1]),
    ("POST", MESSAGES),
];

/// A request byte by byte, with these header lines; Host and key are among them or absent.
async fn knock(shop: &Shop, method: &str, path: &str, headers: &str) -> Reply {
    let body = match method {
        "POST" => request(1, "ping", json!({})).to_string(),
        _ => String::new(),
    };
    let text = format!(
        "{method} {path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Wire::ask(&shop.gateway.url, text).await
}

async fn revoked_key(shop: &Shop) -> String {
    let (id, key) = shop.database.tenant("Gone").await.key("staging", "").await;
    shop.database.admin().await.execute("select topup.revoke_key($1)", &[&id]).await.unwrap();
    key
}

#[tokio::test]
async fn without_one_good_key_every_way_in_is_401() {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    let other = shop.database.staging_key().await;
    let (key, revoked) = (&shop.key, revoked_key(&shop).await);
    for headers in [
        String::new(),
        "Authorization: Bearer ak_staging_wrong\r\n".to_owned(),
        format!("Authorization: Bearer {revoked}\r\n"),
        format!("Authorization: Basic {key}\r\n"),
        format!("X-CREDYT-API-KEY: {revoked}\r\n"),
        format!("Authorization: Bearer {key}\r\nX-CREDYT-API-KEY: {other}\r\n"),
        format!("Authorization: Bearer {key}\r\nAuthorization: Bearer {other}\r\n"),
    ] {
        for (method, path) in DOORS {
            let refused = knock(&shop, method, path, &format!("Host: localhost\r\n{headers}")).await;
            assert_eq!(refused.status, 401, "{method} {path} {headers}: {}", refused.text);
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"), "{method} {path}");
            assert_eq!(refused.header("cache-control"), Some("no-store"), "{method} {path}");
            assert_eq!(refused.json["error"]["data"]["code"], 2001, "{}", refused.text);
        }
    }
    assert_eq!(shop.gateway.metric("topup_mcp_sessions").await.unwrap_or(0.0), 0.0);
}

#[tokio::test]
async fn either_header_may_carry_the_key() {
    let shop = Shop::open().await;
    let key = &shop.key;
    for headers in [
        format!("Authorization: Bearer {key}\r\n"),
        format!("authorization: bearer {key}\r\n"),
        format!("X-CREDYT-API-KEY: {key}\r\n"),
        format!("Authorization: Bearer {key}\r\nX-CREDYT-API-KEY: {key}\r\n"),
    ] {
        let reply = knock(&shop, "POST", STREAMABLE, &format!("Host: localhost\r\n{headers}")).await;
        assert_eq!((reply.status, &reply.json["result"]), (200, &json!({})), "{headers}");
    }
    let stranger = shop.gateway.stranger().at_root();
    let opening = stranger.request(Method::GET, SSE[1]).header("x-credyt-api-key", key);
    assert_eq!(opening.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_key_of_other_addresses_is_403() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Careful").await;
    let far = tenant.key("staging", "allowed_ips => '{203.0.113.0/24}'").await.1;
    for (method, path) in DOORS {
        let headers = format!("Host: localhost\r\nAuthorization: Bearer {far}\r\n");
        let refused = knock(&shop, method, path, &headers).await;
        assert_eq!(
            (refused.status, &refused.json["error"]["data"]["code"]),
            (403, &json!(4002)),
            "{method} {path}"
        );
    }
    let near = tenant.key("staging", "allowed_ips => '{127.0.0.0/8}'").await.1;
    Rpc::new(&shop.gateway, &near).call("check_balance", json!({})).await.expect(1000);
}

#[tokio::test]
async fn other_methods_are_405_and_there_is_no_oauth() {
    let shop = Shop::open().await;
    let headers = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", shop.key);
    for method in ["GET", "DELETE", "PUT", "PATCH"] {
        let refused = knock(&shop, method, STREAMABLE, &headers).await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")), "{method}");
    }
    for path in SSE {
        let refused = knock(&shop, "POST", path, &headers).await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET,HEAD")), "{path}");
    }
    let refused = knock(&shop, "GET", MESSAGES, &headers).await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/api/public/mcp",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/api/public/mcp",
        "/.well-known/openid-configuration",
        "/register",
    ] {
        for client in [shop.gateway.stranger(), shop.gateway.client(&shop.key)] {
            client.at_root().get(path).await.expect(404, 4000);
        }
    }
}

/// With a good key, and these Host and Origin.
async fn from(shop: &Shop, method: &str, path: &str, host: &str, origin: Option<&str>) -> Reply {
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    let headers = format!("Host: {host}\r\n{origin}Authorization: Bearer {}\r\n", shop.key);
    if method == "GET" && SSE.contains(&path) {
        return stream_head(shop, path, &headers).await;
    }
    knock(shop, method, path, &headers).await
}

/// The head of the reply to a request for a stream.
async fn stream_head(shop: &Shop, path: &str, headers: &str) -> Reply {
    let mut wire = Wire::open(&shop.gateway.url).await;
    wire.write(format!("GET {path} HTTP/1.1\r\n{headers}\r\n")).await;
    wire.read_headers_only().await
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_403_on_every_path() {
    let shop = Shop::open().await;
    let doors = DOORS.into_iter().chain([
        ("OPTIONS", STREAMABLE),
        ("OPTIONS", SSE[0]),
        ("OPTIONS", SSE[1]),
        ("OPTIONS", MESSAGES),
    ]);
    for (method, path) in doors {
        for (host, origin) in [
            ("localhost", Some("https://evil.example")),
            ("localhost", Some("http://localhost.evil.example")),
            ("localhost", Some("null")),
            ("evil.example", None),
            ("evil.example:8080", Some("http://localhost")),
            ("evil.example", Some("http://evil.example")),
            ("127.0.0.1.evil.example", None),
        ] {
            let refused = from(&shop, method, path, host, origin).await;
            assert_eq!(refused.status, 403, "{method} {path} {host} {origin:?}: {}", refused.text);
            assert_eq!(refused.header("access-control-allow-origin"), None, "{method} {path}");
        }
    }
    let nowhere = format!("Authorization: Bearer {}\r\n", shop.key);
    assert_eq!(knock(&shop, "POST", STREAMABLE, &nowhere).await.status, 403);
    // Without a key as well: a page must not learn whether one would do.
    let stranger = "Host: localhost\r\nOrigin: https://evil.example\r\n";
    assert_eq!(knock(&shop, "POST", STREAMABLE, stranger).await.status, 403);
    // The REST surface is for servers: it does not look.
    for headers in ["Host: evil.example\r\n", "Host: evil.example\r\nOrigin: https://evil.example\r\n"] {
        let headers = format!("{headers}Authorization: Bearer {}\r\n", shop.key);
        knock(&shop, "GET", "/api/public/v1/topup/balance", &headers).await.expect(200, 1000);
    }
}

#[tokio::test]
async fn loopback_and_our_own_origin_come_in() {
    let shop = Shop::open().await;
    let own = shop.gateway.url.trim_start_matches("http://");
    for (host, origin) in [
        ("localhost", None),
        ("localhost:8080", Some("http://localhost:6274")),
        ("127.0.0.1", Some("http://127.0.0.1:3000")),
        ("[::1]:8080", Some("https://localhost")),
        (own, Some(shop.gateway.url.as_str())),
    ] {
        let reply = from(&shop, "POST", STREAMABLE, host, origin).await;
        assert_eq!(reply.status, 200, "{host} {origin:?}: {}", reply.text);
        assert_eq!(reply.header("access-control-allow-origin"), origin, "{host}");
        for path in SSE {
            assert_eq!(from(&shop, "GET", path, host, origin).await.status, 200, "{path} {host} {origin:?}");
        }
    }
}

#[tokio::test]
async fn flags_let_other_hosts_and_origins_in_and_no_more() {
    let flags = [
        "--mcp-allowed-host",
        "api.example.com",
        "--mcp-allowed-host",
        "other.example:8443",
        "--mcp-allowed-origin",
        "https://app.example.com",
    ];
    let shop = Shop::open_with(&flags).await;
    for (host, origin, status) in [
        ("api.example.com", None, 200),
        ("API.Example.com:444", None, 200),
        ("other.example:8443", None, 200),
        ("other.example", None, 403),
        ("evil.example", None, 403),
        ("api.example.com", Some("https://app.example.com"), 200),
        ("localhost", Some("https://app.example.com"), 200),
        ("api.example.com", Some("https://api.example.com"), 200),
        ("api.example.com", Some("http://app.example.com"), 403),
        ("api.example.com", Some("https://app.example.com:444"), 403),
        ("api.example.com", Some("https://evil.example"), 403),
    ] {
        for (method, path) in [("POST", STREAMABLE), ("GET", SSE[0]), ("GET", SSE[1])] {
            let reply = from(&shop, method, path, host, origin).await;
            assert_eq!(reply.status, status, "{method} {path} {host} {origin:?}");
        }
    }
    let shop = Shop::open_with(&["--mcp-allowed-host", "*", "--mcp-allowed-origin", "*"]).await;
    assert_eq!(
        from(&shop, "POST", STREAMABLE, "any.example", Some("https://some.example")).await.status,
        200
    );
}

#[tokio::test]
async fn a_browser_hears_what_its_page_may_send() {
    let shop = Shop::open_with(&["--mcp-allowed-origin", "https://app.example.com"]).await;
    let asked = "authorization,content-type,mcp-protocol-version,mcp-method";
    for path in [STREAMABLE, SSE[0], SSE[1], MESSAGES] {
        let headers = format!(
            "Host: localhost\r\nOrigin: https://app.example.com\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: {asked}\r\n"
        );
        // A preflight carries no key.
        let reply = knock(&shop, "OPTIONS", path, &headers).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.com"), "{path}");
        assert_eq!(reply.header("access-control-allow-headers"), Some(asked), "{path}");
        let methods = reply.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("GET") && methods.contains("POST"), "{methods}");
        assert!(reply.header("vary").unwrap().to_lowercase().contains("origin"));
    }
    let reply = from(&shop, "POST", STREAMABLE, "localhost", Some("https://app.example.com")).await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(reply.header("access-control-expose-headers").unwrap().contains("retry-after"));
    let without = from(&shop, "POST", STREAMABLE, "localhost", None).await;
    assert_eq!((without.status, without.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn a_tool_outside_the_scopes_of_its_key_is_refused() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Acme").await;
    let key = tenant.key("staging", "scopes => '{read}'").await.1;
    let rpc = Rpc::new(&shop.gateway, &key);
    assert_eq!(rpc.tools().await.len(), 4);
    let before = shop.database.contents().await;
    let order = json!({"platform": "claude", "amount_cents": 1000});
    rpc.call("send_topup", order.clone()).await.refused(2008);
    rpc.call("check_balance", json!({})).await.expect(1000);
    Session::open(&shop.gateway, &key).await.call("send_topup", order).await.refused(2008);
    assert!(shop.database.contents().await == before, "something was written");
}

#[tokio::test]
async fn no_key_and_nothing_private_is_ever_logged() {
    let shop = Shop::open_with(&["--log-level", "debug"]).await;
    let revoked = revoked_key(&shop).await;
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    let order = json!({"platform": "claude", "amount_cents": 1000, "idempotency_key": "idem-private"});
    let sent = rpc.call("send_topup", order).await.expect(1001);
    let to = json!({"platform": "claude", "amount_cents": 500, "recipient_email": "private@example.com"});
    rpc.call("send_topup", to).await.expect(1001);
    rpc.ask("tools/call", json!({"name": "tool-private", "arguments": {}})).await;
    rpc.ask("method-private", json!({})).await;
    rpc.post("{\"body-private").await;
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    session.call("check_balance", json!({})).await.expect(1000);
    for key in [revoked.as_str(), "ak_staging_guessed"] {
        let rejected = Rpc::new(&shop.gateway, key).ask("ping", json!({})).await;
        assert_eq!(rejected.status, 401);
        assert_eq!(
            session.post_as(&shop.gateway.client(key), &request(9, "ping", json!({}))).await.status,
            401
        );
    }
    let id = session.messages.split_once('=').unwrap().1.to_owned();
    let last = shop.client.request(Method::GET, "/topup/balance").header("x-request-id", "the-last");
    shop.client.send(last).await.expect(200, 1000);
    let log = wait_until(LIMIT, "the last request is logged", async || {
        Some(shop.gateway.log()).filter(|log| log.contains("the-last"))
    })
    .await;
    let voucher = sent.data()["voucher_code"].as_str().unwrap();
    let words = ["ak_staging_guessed", "idem-private", "private@example.com", "body-private"];
    for private in words.into_iter().chain([&shop.key, revoked.as_str(), voucher, id.as_str()]) {
        assert!(!log.contains(private), "the log shows {private}");
    }
    let calls: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["message"] == "tool call")
        .collect();
    assert_eq!(calls.len(), 3);
    let first = &calls[0];
    assert_eq!(
        (&first["tool"], &first["operation"], &first["code"]),
        (&json!("send_topup"), &json!("send"), &json!(1001))
    );
}
