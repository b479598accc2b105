//! Requests that are wrong: each is refused with the right code and field, nothing is written,
//! and the gateway lives on.

use crate::support::{Reply, Shop};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const NO_RATE_LIMIT: [&str; 3] = ["--allow-private-webhooks", "--rate-limit", "0"];

/// How many rows each table of the extension has.
async fn row_counts(shop: &Shop) -> BTreeMap<String, i64> {
    let query = "select c.relname::text, (xpath('/row/n/text()', query_to_xml(
                        format('select count(*) as n from topup.%I', c.relname), false, true, '')))[1]::text::bigint
                   from pg_class c where c.relnamespace = 'topup'::regnamespace and c.relkind = 'r'";
    let rows = shop.database.admin().await.query(query, &[]).await.unwrap();
    let counts: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(counts.len() > 15 && counts["tenant"] == 1);
    counts
}

/// A shop whose tables must be as they were when the test is over.
struct Untouched {
    shop: Shop,
    before: BTreeMap<String, i64>,
}

impl Untouched {
    async fn open() -> Untouched {
        let shop = Shop::open_with(&NO_RATE_LIMIT).await;
        let before = row_counts(&shop).await;
        Untouched { shop, before }
    }

    /// Sends a body as it is, under an idempotency key.
    async fn send_raw(&self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        let request = self.shop.client.request(Method::POST, path).header("content-type", "application/json");
        let reply = self.shop.client.send(request.header("idempotency-key", "bad").body(body.into())).await;
        assert!((400..500).contains(&reply.status), "{path}: {} {}", reply.status, reply.text);
        reply
    }

    /// A refused send: its code, and the field it names.
    async fn send(&self, body: impl Into<Vec<u8>>) -> (i64, Value) {
        let reply = self.send_raw("/topup/send", body).await;
        (reply.code(), reply.data()["field"].clone())
    }

    async fn close(self) {
        assert_eq!(row_counts(&self.shop).await, self.before);
        // The gateway is alive, and the refused requests' key is free.
        let order = json!({"platform": "claude", "amount_cents": 100});
        self.shop.client.post_once("/topup/send", order, "bad").await.expect(200, 1001);
        assert!(!self.shop.gateway.log().contains("panicked"));
        self.shop.database.check().await;
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let untouched = Untouched::open().await;
    let good = r#"{"platform":"claude","amount_cents":100}"#;
    for body in [
        "{",
        "}",
        "[]",
        "[1]",
        "null",
        "true",
        "7",
        "\"text\"",
        "nope",
        "{}{}",
        "{} x",
        "{'a':1}",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "// x\n{}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":0x64}",
        "{\"a\":+1}",
        "{\"a\":01}",
        "{\"a\":.5}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x\"}",
        "\u{feff}{}",
        "<xml/>",
        "a=1&b=2",
    ] {
        assert_eq!(untouched.send(body).await.0, 2000, "{body}");
    }
    for end in 1..good.len() {
        assert_eq!(untouched.send(&good[..end]).await.0, 2000, "{}", &good[..end]);
    }
    for listed in
        [format!("[{good}]"), format!("{good},{good}"), format!("\"{}\"", good.replace('"', "\\\""))]
    {
        assert_eq!(untouched.send(listed).await.0, 2000);
    }
    for nothing in ["", " ", "\r\n\t", "{}"] {
        assert_eq!(untouched.send(nothing).await, (2000, json!("platform")), "{nothing:?}");
    }
    untouched.close().await;
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let untouched = Untouched::open().await;
    let order = |platform: &[u8]| {
        [br#"{"amount_cents":100,"platform":""#.as_slice(), platform, br#""}"#.as_slice()].concat()
    };
    for bytes in
        [&[0xff][..], &[0xc3], &[0xc0, 0x80], &[0xed, 0xa0, 0x80], &[0xf5, 0x80, 0x80, 0x80], b"claude\0"]
    {
        assert_eq!(untouched.send(order(bytes)).await.0, 2000, "{bytes:?}");
    }
    for bytes in [&b"\0"[..], b"\xff", b"\0{}", b"{}\0", b"\xff\xfe{\0}\0", b"\x1f\x8b\x08\x00"] {
        assert_eq!(untouched.send(bytes).await.0, 2000, "{bytes:?}");
    }
    untouched.close().await;
}

#[tokio::test]
async fn an_amount_that_is_no_whole_number_of_cents_in_range_is_refused() {
    let untouched = Untouched::open().await;
    let ten_to_the_30 = format!("1{}", "0".repeat(30));
    for (amount, code) in [
        ("0", 2005),
        ("-1", 2005),
        ("-1000", 2005),
        ("99", 2005),
        ("100001", 2005),
        ("9223372036854775807", 2005),
        ("9223372036854775808", 2005),
        ("-9223372036854775809", 2005),
        ("18446744073709551616", 2005),
        (ten_to_the_30.as_str(), 2005),
        ("1e30", 2005),
        ("-1e30", 2005),
        ("1.5", 2000),
        ("100.01", 2000),
        ("0.1", 2000),
        ("\"100\"", 2000),
        ("\"\"", 2000),
        ("null", 2000),
        ("true", 2000),
        ("[]", 2000),
        ("[100]", 2000),
        ("{}", 2000),
        ("{\"cents\":100}", 2000),
    ] {
        let body = format!(r#"{{"platform":"claude","amount_cents":{amount}}}"#);
        assert_eq!(untouched.send(body).await, (code, json!("amount_cents")), "{amount}");
    }
    for endless in ["-0", "1e400", "-1e400", &"9".repeat(100_000)] {
        let body = format!(r#"{{"platform":"claude","amount_cents":{endless}}}"#);
        let (code, field) = untouched.send(body).await;
        assert!(matches!(code, 2000 | 2005), "{code}");
        assert_eq!(field, "amount_cents", "{endless:.40}");
    }
    untouched.close().await;
}

#[tokio::test]
async fn each_wrong_field_of_a_send_has_its_own_code() {
    let untouched = Untouched::open().await;
    let order = |name: &str, value: Value| {
        let mut order = json!({"platform": "claude", "amount_cents": 100});
        order[name] = value;
        order.to_string()
    };
    for platform in ["", "Claude", "claude ", "bard", "'; drop table topup.top_up; --", &"x".repeat(500_000)]
    {
        let refused = untouched.send(order("platform", json!(platform))).await;
        assert_eq!(refused, (2003, json!("platform")), "{platform:.40}");
    }
    for email in [
        "",
        "ann",
        "ann@",
        "@example.com",
        "a b@example.com",
        "ann@exa mple.com",
        "anncrate::example.com",
        "ann@example.com\r\nBcc: eve@example.com",
        "<ann@example.com>",
        &format!("{}@example.com", "a".repeat(500_000)),
    ] {
        let refused = untouched.send(order("recipient_email", json!(email))).await;
        assert_eq!(refused, (2004, json!("recipient_email")), "{email:.40}");
    }
    for metadata in [json!([]), json!("x"), json!(1), json!({"x": "y".repeat(4096)})] {
        let refused = untouched.send(order("metadata", metadata)).await;
        assert_eq!(refused, (2000, json!("metadata")));
    }
    for name in ["color", "Platform", "amount", "idempotency_key", "api_key", "", "platform ", "\u{e9}"] {
        let refused = untouched.send(order(name, json!("x"))).await;
        assert_eq!(refused.0, 2000, "{name:?}");
        assert!(refused.1 == name || name.is_empty(), "{name:?}: {}", refused.1);
    }
    untouched.close().await;
}

#[tokio::test]
async fn a_field_given_twice_is_refused() {
    let untouched = Untouched::open().await;
    for body in [
        r#"{"platform":"claude","amount_cents":100,"amount_cents":100}"#,
        r#"{"platform":"claude","amount_cents":100,"amount_cents":90000}"#,
        r#"{"platform":"claude","amount_cents":100,"amount\u005fcents":90000}"#,
    ] {
        assert_eq!(untouched.send(body).await, (2000, json!("amount_cents")), "{body}");
    }
    let reply =
        untouched.send_raw("/webhooks/whk_00000000000000000000000000/rotate", r#"{"id":"whk_1"}"#).await;
    assert_eq!((reply.code(), reply.data()["field"].as_str()), (2000, Some("id")));
    untouched.close().await;
}

#[tokio::test]
async fn large_and_deep_bodies_are_refused() {
    let untouched = Untouched::open().await;
    let two_mib = 2 * 1024 * 1024;
    let large =
        format!(r#"{{"platform":"claude","amount_cents":100,"metadata":{{"x":"{}"}}}}"#, "y".repeat(two_mib));
    assert_eq!(untouched.send(large).await.0, 4004);
    assert_eq!(untouched.send(vec![0; two_mib]).await.0, 4004);

    for depth in [200, 5_000, 200_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let middle = if open == "[" { "" } else { "1" };
            let nested = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            let with =
                |field: &str| format!(r#"{{"platform":"claude","amount_cents":100,"{field}":{nested}}}"#);
            if nested.len() < 1_000_000 {
                assert_eq!(untouched.send(nested.clone()).await.0, 2000, "{depth}");
                assert_eq!(untouched.send(with("metadata")).await.0, 2000, "{depth}");
                assert_eq!(untouched.send(with("other")).await.0, 2000, "{depth}");
                assert_eq!(untouched.send(with("recipient_email")).await.0, 2000, "{depth}");
            }
            assert_eq!(untouched.send(open.repeat(depth.min(150_000))).await.0, 2000, "{depth}");
        }
    }
    let wide: Vec<String> = (0..50_000).map(|n| format!("\"f{n}\":{n}")).collect();
    assert_eq!(untouched.send(format!("{{{}}}", wide.join(","))).await.0, 2000);
    untouched.close().await;
}
