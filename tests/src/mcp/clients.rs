//! MCP as its published clients see it: each of them, over each transport, uses the four tools.

use crate::support::Shop;
use crate::support::mcp::{HTTP, McpClient, Publisher, SSE, SSE_AT_ROOT, Target, Transport};
use serde_json::{Value, json};

const TOOLS: [&str; 4] = ["cancel_topup", "check_balance", "get_status", "send_topup"];
const UNKNOWN: &str = "txn_01kaj6s0hmfnttn2awnn5jfzv4";

/// A gateway that lets a key do as much as it likes, and its first tenant.
async fn open() -> Shop {
    Shop::open_with(&["--rate-limit", "0"]).await
}

/// What leads a client to the gateway with the key of a new tenant.
async fn target(shop: &Shop, transport: Transport, revision: Option<&'static str>) -> Target {
    let key = shop.database.staging_key().await;
    Target { gateway_url: shop.gateway.url.clone(), transport, key, revision }
}

fn connect(publisher: Publisher, target: &Target) -> McpClient {
    McpClient::connect(publisher, target).unwrap_or_else(|error| panic!("{publisher:?}: {error}"))
}

/// The envelope of a result, which is there twice and says once more whether it is an error.
#[track_caller]
fn envelope(result: &Value) -> &Value {
    let envelope = &result["structuredContent"];
    let [text] = result["content"].as_array().unwrap().as_slice() else { panic!("{result}") };
    assert_eq!(text["type"], "text");
    assert_eq!(&serde_json::from_str::<Value>(text["text"].as_str().unwrap()).unwrap(), envelope);
    let is_error = result.get("isError").is_some_and(|is_error| is_error == true);
    assert_eq!(is_error, envelope["success"] == false, "{result}");
    envelope
}

/// The envelope of a call's result, which must have this code.
#[track_caller]
fn expect(client: &mut McpClient, tool: &str, arguments: Value, code: i64) -> Value {
    let result = client.call(tool, arguments);
    let envelope = envelope(&result);
    assert_eq!(envelope["code"], code, "{tool}: {result}");
    envelope.clone()
}

fn names(client: &McpClient) -> Vec<&str> {
    let mut names: Vec<&str> =
        client.found["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Each tool once: a look at the balance, and a top-up that is sent, looked up and taken back.
fn use_each_tool(client: &mut McpClient) {
    assert_eq!(names(client), TOOLS);
    assert_eq!(expect(client, "check_balance", json!({}), 1000)["data"]["balance_cents"], 100_000);
    let to = "ann+pending@example.com";
    let send = json!({"platform": "gemini", "amount_cents": 2500, "recipient_email": to});
    let pending = expect(client, "send_topup", send, 1002);
    assert_eq!(pending["data"]["new_balance_cents"], 97_500);
    let id = json!({"transaction_id": pending["transaction_id"]});
    assert_eq!(expect(client, "get_status", id.clone(), 1002)["status"], "pending");
    assert_eq!(expect(client, "cancel_topup", id, 3001)["data"]["refunded_cents"], 2500);
}

/// What else happens to an agent: a top-up that is sent a second time, and refusals.
fn repeat_and_be_refused(client: &mut McpClient) {
    let send =
        |amount_cents| json!({"platform": "claude", "amount_cents": amount_cents, "idempotency_key": "a"});
    let sent = expect(client, "send_topup", send(1000), 1001);
    assert_eq!(expect(client, "send_topup", send(1000), 1001), sent);
    expect(client, "send_topup", send(2000), 2006);
    let id = json!({"transaction_id": sent["transaction_id"]});
    assert_eq!(expect(client, "get_status", id.clone(), 1001)["data"]["amount_cents"], 1000);
    expect(client, "cancel_topup", id, 3002);
    let too_much = json!({"platform": "claude", "amount_cents": 99_500});
    assert!(expect(client, "send_topup", too_much, 2002)["data"]["message"].is_string());
    expect(client, "get_status", json!({"transaction_id": UNKNOWN}), 3003);
    assert_eq!(expect(client, "check_balance", json!({}), 1000)["data"]["balance_cents"], 99_000);
}

/// Over each transport, with the revision that the client chooses by itself.
async fn every_transport(publisher: Publisher, revision: &str) {
    let shop = open().await;
    for transport in [HTTP, SSE, SSE_AT_ROOT] {
        let mut client = connect(publisher, &target(&shop, transport, None).await);
        assert_eq!(client.found["revision"], revision, "{transport:?}");
        assert_eq!(client.found["server"]["name"], "pg_topup");
        assert_eq!(client.found["server"]["version"], env!("CARGO_PKG_VERSION"));
        use_each_tool(&mut client);
        repeat_and_be_refused(&mut client);
        client.close();
    }
    shop.database.check().await;
}

#[tokio::test]
async fn the_npm_sdk_uses_all_tools() {
    every_transport(Publisher::Sdk, "2025-11-25").await;
}

#[tokio::test]
async fn the_npm_client_uses_all_tools() {
    every_transport(Publisher::Client, "2025-11-25").await;
}

#[tokio::test]
async fn the_pypi_client_uses_all_tools() {
    every_transport(Publisher::Pypi, "2026-07-28").await;
}

#[tokio::test]
async fn the_inspector_uses_all_tools() {
    let shop = open().await;
    for transport in [HTTP, SSE] {
        let mut client = connect(Publisher::Inspector, &target(&shop, transport, None).await);
        assert_eq!(client.found["revision"], "2025-11-25", "{transport:?}");
        assert_eq!(client.found["server"]["name"], "pg_topup");
        use_each_tool(&mut client);
        expect(&mut client, "get_status", json!({"transaction_id": UNKNOWN}), 3003);
    }
    shop.database.check().await;
}

#[tokio::test]
async fn clients_get_the_revision_that_they_ask_for() {
    let shop = open().await;
    let wishes = [
        (Publisher::Client, HTTP, "2024-11-05"),
        (Publisher::Client, SSE, "2024-11-05"),
        (Publisher::Client, HTTP, "2025-03-26"),
        (Publisher::Client, SSE, "2025-03-26"),
        (Publisher::Client, HTTP, "2025-06-18"),
        (Publisher::Client, SSE, "2025-06-18"),
        (Publisher::Client, HTTP, "2026-07-28"),
        (Publisher::Client, SSE, "2026-07-28"),
        (Publisher::Pypi, HTTP, "2025-11-25"),
        (Publisher::Pypi, SSE, "2025-11-25"),
        (Publisher::Pypi, HTTP, "2026-07-28"),
        (Publisher::Inspector, HTTP, "2026-07-28"),
    ];
    for (publisher, transport, revision) in wishes {
        let mut client = connect(publisher, &target(&shop, transport, Some(revision)).await);
        assert_eq!(client.found["revision"], revision, "{publisher:?}, {transport:?}");
        use_each_tool(&mut client);
        client.close();
    }
}

#[tokio::test]
async fn clients_that_look_for_the_newest_revision_find_it() {
    let shop = open().await;
    for transport in [HTTP, SSE] {
        let mut client = connect(Publisher::Client, &target(&shop, transport, Some("auto")).await);
        assert_eq!(client.found["revision"], "2026-07-28", "{transport:?}");
        use_each_tool(&mut client);
        client.close();
    }
}

#[tokio::test]
async fn a_bad_call_is_answered_and_the_session_goes_on() {
    let shop = open().await;
    for publisher in [Publisher::Sdk, Publisher::Client, Publisher::Pypi] {
        for transport in [HTTP, SSE] {
            let mut client = connect(publisher, &target(&shop, transport, None).await);
            for arguments in [
                json!({"platform": "claude"}),
                json!({"platform": "claude", "amount_cents": "1000"}),
                json!({"platform": "claude", "amount_cents": 1000, "colour": "red"}),
            ] {
                expect(&mut client, "send_topup", arguments, 2000);
            }
            let answer = client.call("mint_key", json!({}));
            assert_eq!(answer["error"]["code"], -32602, "{publisher:?}, {transport:?}: {answer}");
            let balance = expect(&mut client, "check_balance", json!({}), 1000);
            assert_eq!(balance["data"]["balance_cents"], 100_000);
            client.close();
        }
    }
}

#[tokio::test]
async fn without_a_good_key_no_client_gets_in() {
    let shop = open().await;
    for publisher in [Publisher::Sdk, Publisher::Client, Publisher::Pypi, Publisher::Inspector] {
        for transport in [HTTP, SSE] {
            let mut target = target(&shop, transport, None).await;
            target.key.push('x');
            let error = McpClient::connect(publisher, &target).err().unwrap();
            // Some clients show the status, some the message, and the one from PyPI either or neither.
            let reasons = ["401", "The API key is missing", "Server returned an error response"];
            assert!(reasons.iter().any(|reason| error.contains(reason)), "{publisher:?}: {error}");
        }
    }
}
