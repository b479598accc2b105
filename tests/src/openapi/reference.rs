//! The page at /docs: an API reference that is served whole by the gateway, in Debian's Chromium on a desktop, a phone and
//! in the dark.

use crate::support::{Shop, browse};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn the_page_runs_and_shows_only_what_carries_its_nonce() {
    let shop = Shop::open().await;
    let root = shop.gateway.stranger().at_root();
    let page = root.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let front = root.get("/").await;
    assert_eq!((front.status, front.header("location")), (303, Some("/docs")));

    let policy = page.header("content-security-policy").unwrap();
    let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
    let nonce = directives
        .iter()
        .find_map(|part| part.strip_prefix("script-src 'nonce-")?.strip_suffix('\''))
        .unwrap();
    let styles = format!("style-src 'nonce-{nonce}'");
    for wanted in
        ["default-src 'none'", "connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", &styles]
    {
        assert!(directives.contains(&wanted), "{policy}: {wanted}");
    }
    for loose in ["unsafe", "http", "*", "strict-dynamic"] {
        assert!(!policy.contains(loose), "{policy}");
    }
    assert!(
        nonce.len() >= 32 && page.text.matches(&format!("nonce=\"{nonce}\"")).count() == 1,
        "{}",
        page.text
    );
    let again = root.get("/docs").await;
    assert!(!again.text.contains(nonce), "a nonce is used twice");
    for away in ["http://", "https://", "//cdn"] {
        assert!(!page.text.contains(away), "{}", page.text);
    }

    let script = root.get("/docs/reference.js").await;
    assert_eq!(script.header("content-encoding"), Some("gzip"));
    let tag = script.header("etag").unwrap();
    let known = root.request(Method::GET, "/docs/reference.js").header("if-none-match", tag);
    let known = root.send(known).await;
    assert_eq!((known.status, known.text.len()), (304, 0));
}

/// Reads the page as a visitor with a staging key does, and tries an operation.
async fn visit(name: &str, screen: Value) {
    let shop = Shop::open().await;
    let document = shop.client.at_root().get("/openapi.json").await.json;
    let groups: Vec<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let links = json!({"docs": format!("{}/docs", shop.gateway.url)});
    let plan = json!({"screen": screen, "key": shop.key, "links": links, "origin": shop.gateway.url, "groups": groups});
    let seen = browse("docs", name, plan).await;
    for (step, told) in seen.as_object().unwrap() {
        assert_eq!(told["troubles"], json!([]), "{name}: {step}");
    }
    assert_eq!(seen["groups"]["shown"], json!(groups), "{name}");
    assert_eq!((&seen["read"]["status"], &seen["read"]["fits"]), (&json!(200), &json!(true)), "{name}");
    assert!(
        seen["languages"]["python"].as_str().unwrap().contains("requests.get("),
        "{name}: {}",
        seen["languages"]
    );
    assert_eq!(seen["find"]["found"], json!(true), "{name}");
    let tried = &seen["try"];
    assert_eq!((&tried["status"], &tried["reply"]["code"]), (&json!(200), &json!(1000)), "{name}: {tried}");
    assert_eq!(tried["reply"]["data"]["balance_cents"], 100_000, "{name}: {tried}");
    for step in ["read", "try"] {
        assert_eq!(seen[step]["strangers"], json!([]), "{name}: {step}");
    }
}

#[tokio::test]
async fn the_reference_works_on_a_desktop() {
    visit("desktop", json!({"viewport": {"width": 1280, "height": 900}})).await;
}

#[tokio::test]
async fn the_reference_works_on_a_phone() {
    visit("phone", json!({"viewport": {"width": 375, "height": 740}, "hasTouch": true, "isMobile": true}))
        .await;
}

#[tokio::test]
async fn the_reference_works_in_the_dark() {
    visit("dark", json!({"viewport": {"width": 1280, "height": 900}, "colorScheme": "dark"})).await;
}
