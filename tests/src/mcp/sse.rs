//! MCP over legacy SSE: a stream for the answers, and the sessions behind it.

use crate::support::rpc::{NO_RATE_LIMIT, Rpc, hello, request, tool_call};
use crate::support::sse::{SSE, Session, sessions_are};
use crate::support::{LIMIT, Shop, wait_until};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;

async fn open() -> Shop {
    Shop::open_with(&NO_RATE_LIMIT).await
}

#[tokio::test]
async fn both_paths_open_a_stream_on_which_messages_are_answered() {
    let shop = open().await;
    for path in SSE {
        let mut session = Session::open_at(&shop.client, path).await;
        assert!(session.messages.starts_with("/api/public/mcp/messages?session_id="), "{}", session.messages);
        assert_eq!(session.header("cache-control"), Some("no-store"));
        assert_eq!(session.header("x-accel-buffering"), Some("no"));

        let greeting = session.result("initialize", hello("2024-11-05")).await;
        assert_eq!(greeting["protocolVersion"], "2024-11-05");
        assert_eq!(greeting["serverInfo"]["name"], "pg_topup");
        session.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        assert_eq!(session.result("ping", json!({})).await, json!({}));
        let tools = session.result("tools/list", json!({})).await["tools"].clone();
        assert_eq!(tools, json!(Rpc::new(&shop.gateway, &shop.key).tools().await));

        session.call("check_balance", json!({})).await.expect(1000);
        let order =
            json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "a+pending@example.com"});
        let id =
            json!({"transaction_id": session.call("send_topup", order).await.expect(1002).transaction_id()});
        session.call("get_status", id.clone()).await.expect(1002);
        session.call("cancel_topup", id).await.expect(3001);
        session.call("send_topup", json!({})).await.refused(2000);
        assert_eq!(session.ask("nothing", json!({})).await["error"]["code"], -32601);
        assert_eq!(session.ask("tools/call", json!({"name": "nothing"})).await["error"]["code"], -32602);
        assert_eq!(session.ask("tools/call", json!({"name": 7})).await["error"]["code"], -32602);
    }
}

#[tokio::test]
async fn each_revision_of_the_handshake_is_spoken_on_a_stream_too() {
    let shop = open().await;
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut session = Session::open(&shop.gateway, &shop.key).await;
        let greeting = session.result("initialize", hello(revision)).await;
        assert_eq!(greeting["protocolVersion"], revision);
    }
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    let offered = session.result("initialize", hello("1999-01-01")).await;
    assert!(
        ["2025-06-18", "2025-11-25"].contains(&offered["protocolVersion"].as_str().unwrap()),
        "{offered}"
    );
}

#[tokio::test]
async fn what_is_no_message_is_refused_where_it_is_posted_and_the_stream_goes_on() {
    let shop = open().await;
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    let root = shop.client.at_root();
    let ping = request(1, "ping", json!({})).to_string();
    let long = format!("{ping}{}", " ".repeat(1_100_000));
    for (body, kind, status, code) in [
        ("{", "application/json", 400, -32700),
        ("", "application/json", 400, -32700),
        ("7", "application/json", 400, -32600),
        ("[]", "application/json", 400, -32600),
        (ping.as_str(), "text/plain", 415, -32000),
        (long.as_str(), "application/json", 413, -32000),
    ] {
        let post = root.request(Method::POST, &session.messages).header("content-type", kind);
        let refused = root.send(post.body(body.to_owned())).await;
        assert_eq!((refused.status, &refused.json["error"]["code"]), (status, &json!(code)), "{:.60}", body);
    }
    // Nothing of that is on the stream.
    assert_eq!(session.result("ping", json!({})).await, json!({}));
}

#[tokio::test]
async fn a_new_stream_goes_on_without_a_new_handshake() {
    let shop = open().await;
    let mut first = Session::open(&shop.gateway, &shop.key).await;
    first.result("initialize", hello("2024-11-05")).await;
    drop(first);
    let mut second = Session::open(&shop.gateway, &shop.key).await;
    second.call("check_balance", json!({})).await.expect(1000);
}

#[tokio::test]
async fn nobody_else_reaches_a_session() {
    let shop = open().await;
    let tenant = shop.database.tenant("Acme").await;
    let (own, sister) = (tenant.key("staging", "").await.1, tenant.key("staging", "").await.1);
    let mut session = Session::open(&shop.gateway, &own).await;
    let order = json!({"platform": "claude", "amount_cents": 1000});
    for key in [&shop.key, &sister] {
        let client = shop.gateway.client(key);
        let refused = session.post_as(&client, &tool_call(7, "send_topup", order.clone())).await;
        assert_eq!((refused.status, &refused.json["error"]["data"]["code"]), (404, &json!(4000)));
        // Somebody who has no key at all cannot end it either.
        assert_eq!(
            session.post_as(&shop.gateway.client("ak_x"), &request(7, "ping", json!({}))).await.status,
            401
        );
    }
    let unknown = "/api/public/mcp/messages?session_id=";
    let other = format!("{unknown}00000000-0000-4000-8000-000000000000");
    let bare = "/api/public/mcp/messages";
    for path in [other.as_str(), unknown, "/api/public/mcp/messages?session_id=x", bare] {
        let refused = shop.gateway.client(&own).at_root().post(path, request(7, "ping", json!({}))).await;
        assert_eq!((refused.status, &refused.json["error"]["data"]["code"]), (404, &json!(4000)), "{path}");
    }
    // The first thing on the stream is the answer to its own message.
    session.call("check_balance", json!({})).await.expect(1000);
    let sent = "select count(*) from topup.top_up";
    assert_eq!(shop.database.admin().await.query_one(sent, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_revoked_key_is_401_at_its_next_message_and_its_stream_ends() {
    let shop = open().await;
    let (id, key) = shop.database.tenant("Gone").await.key("staging", "").await;
    let mut session = Session::open(&shop.gateway, &key).await;
    let mut other = Session::open(&shop.gateway, &shop.key).await;
    session.call("check_balance", json!({})).await.expect(1000);
    shop.database.admin().await.execute("select topup.revoke_key($1)", &[&id]).await.unwrap();
    let refused = session.post(&request(7, "ping", json!({}))).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    session.ends().await;
    assert_eq!(Session::try_open(&shop.gateway.client(&key), SSE[0]).await.err().unwrap().status, 401);
    other.call("check_balance", json!({})).await.expect(1000);
    sessions_are(&shop.gateway, 1).await;
}

#[tokio::test]
async fn a_session_is_gone_with_its_client() {
    let shop = open().await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(Session::open(&shop.gateway, &shop.key).await);
    }
    sessions_are(&shop.gateway, 10).await;
    // Who asks for the head only has no stream.
    let head = shop.client.at_root().request(Method::HEAD, SSE[1]).send().await.unwrap();
    assert_eq!(head.status(), 200);
    sessions_are(&shop.gateway, 10).await;
    let messages = sessions[0].messages.clone();
    drop(sessions);
    sessions_are(&shop.gateway, 0).await;
    let late = shop.client.at_root().post(&messages, request(1, "ping", json!({}))).await;
    assert_eq!(late.status, 404);
}

#[tokio::test]
async fn a_session_that_nobody_uses_is_closed() {
    let shop = Shop::open_with(&["--mcp-session-idle-s", "1"]).await;
    let mut idle = Session::open(&shop.gateway, &shop.key).await;
    let mut busy = Session::open(&shop.gateway, &shop.key).await;
    let using = async {
        wait_until(LIMIT, "the other session is closed", async || {
            busy.result("ping", json!({})).await;
            (shop.gateway.metric("topup_mcp_sessions").await == Some(1.0)).then_some(())
        })
        .await;
        // In use, it outlives the limit.
        busy.call("check_balance", json!({})).await.expect(1000);
    };
    tokio::join!(idle.ends(), using);
    let late = idle.post(&request(1, "ping", json!({}))).await;
    assert_eq!(late.status, 404, "{}", late.text);
    busy.ends().await;
    sessions_are(&shop.gateway, 0).await;
}

#[tokio::test]
async fn sessions_are_limited_for_a_key_and_for_the_gateway() {
    let shop = Shop::open_with(&["--mcp-sessions", "3", "--mcp-sessions-per-key", "2"]).await;
    let other = shop.gateway.client(&shop.database.staging_key().await);
    let first = Session::open(&shop.gateway, &shop.key).await;
    let mut second = Session::open(&shop.gateway, &shop.key).await;
    let refused = Session::try_open(&shop.client, SSE[0]).await.err().unwrap();
    assert_eq!((refused.status, &refused.json["error"]["data"]["code"]), (429, &json!(4001)));
    assert!(refused.header("retry-after").is_some());
    let _third = Session::open_at(&other, SSE[1]).await;
    let refused = Session::try_open(&other, SSE[1]).await.err().unwrap();
    assert_eq!((refused.status, &refused.json["error"]["data"]["code"]), (503, &json!(5003)));
    assert!(refused.header("retry-after").is_some());
    // Those that are open work, and a place that is left is given away.
    second.call("check_balance", json!({})).await.expect(1000);
    drop(first);
    sessions_are(&shop.gateway, 2).await;
    Session::open_at(&other, SSE[0]).await.call("check_balance", json!({})).await.expect(1000);
}

#[tokio::test]
async fn who_does_not_read_is_refused_and_loses_nothing_that_was_accepted() {
    const MESSAGES_MAX: i64 = 20_000;
    let shop = open().await;
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    let (mut accepted, mut refused) = (BTreeSet::new(), None);
    for id in 1..MESSAGES_MAX {
        let reply = session.post(&request(id, "tools/list", json!({}))).await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.status, 202, "{}", reply.text);
        accepted.insert(id);
    }
    let refused = refused.expect("somebody who never reads is refused at last");
    assert_eq!(refused.json["error"]["data"]["code"], 4001, "{}", refused.text);
    assert!(refused.header("retry-after").is_some());
    assert!(accepted.len() >= 64, "{}", accepted.len());
    while !accepted.is_empty() {
        let answer = session.message().await;
        assert!(accepted.remove(&answer["id"].as_i64().unwrap()), "answered twice: {}", answer["id"]);
    }
    session.call("check_balance", json!({})).await.expect(1000);
}
