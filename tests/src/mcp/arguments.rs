//! Arguments of tools as clients really send them: with extras of their own, as one string, and with numbers in any
//! spelling.

use crate::support::rpc::{self, NO_RATE_LIMIT, Rpc, ToolResult, open};
use crate::support::sse::Session;
use crate::support::{Shop, call};
use serde_json::{Value, json};

/// What n8n's client adds to every call.
fn n8n(mut arguments: Value) -> Value {
    let extras = json!({"sessionId": "s-1", "action": "sendMessage", "chatInput": "Send Ann credit", "toolCallId": "c-1"});
    arguments.as_object_mut().unwrap().extend(extras.as_object().unwrap().clone());
    arguments
}

#[tokio::test]
async fn what_n8n_adds_is_ignored_and_what_is_misspelt_is_refused() {
    let (shop, rpc) = open().await;
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    let order = json!({"platform": "claude", "amount_cents": 1000, "idempotency_key": "once"});
    let sent = rpc.call("send_topup", n8n(order.clone())).await.expect(1001);
    // It is the same request with and without them.
    assert_eq!(session.call("send_topup", order.clone()).await.expect(1001).text, sent.text);
    session.call("check_balance", n8n(json!({}))).await.expect(1000);
    rpc.call("get_status", n8n(json!({"transaction_id": sent.transaction_id()}))).await.expect(1001);
    for name in [
        "amount",
        "amountCents",
        "amount_cent",
        "recipientEmail",
        "recipient",
        "sessionid",
        "session_id",
        "query",
        "tool",
    ] {
        let mut wrong = n8n(json!({"platform": "claude", "amount_cents": 1000}));
        wrong[name] = json!("ann@example.com");
        let refused = rpc.call("send_topup", wrong.clone()).await.refused(2000);
        assert_eq!(refused.data()["field"], name);
        assert_eq!(session.call("send_topup", wrong).await.refused(2000).data()["field"], name);
    }
    // They are n8n's over MCP only.
    let mut order = json!({"platform": "claude", "amount_cents": 1000});
    order["sessionId"] = json!("s-1");
    assert_eq!(shop.client.post("/topup/send", order).await.expect(400, 2000).data()["field"], "sessionId");
    assert_eq!((shop.balance_cents().await, shop.database.top_ups().await), (99_000, 1));
}

/// A call whose arguments are this very text.
async fn call_with(rpc: &Rpc, tool: &str, arguments: &str) -> ToolResult {
    let params = format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#);
    let reply =
        rpc.post(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)).await;
    assert_eq!(reply.status, 200, "{arguments}: {}", reply.text);
    ToolResult::of(&rpc::result(reply.json))
}

#[tokio::test]
async fn arguments_in_one_json_string_are_understood() {
    let (shop, rpc) = open().await;
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    let order = json!({"platform": "claude", "amount_cents": 1000, "idempotency_key": "once"});
    let sent = rpc.call("send_topup", json!(order.to_string())).await.expect(1001);
    let spaced = format!(" {} \n", n8n(order.clone()));
    assert_eq!(session.call("send_topup", json!(spaced)).await.expect(1001).text, sent.text);
    for empty in ["{}", "", " "] {
        rpc.call("check_balance", json!(empty)).await.expect(1000);
    }
    let wrong = json!({"platform": "claude", "amount": 1000}).to_string();
    assert_eq!(rpc.call("send_topup", json!(wrong)).await.refused(2000).data()["field"], "amount");
    // A number in a string is no number, and a string in a string no object.
    let quoted = json!({"platform": "claude", "amount_cents": "1000"}).to_string();
    assert_eq!(rpc.call("send_topup", json!(quoted)).await.refused(2000).data()["field"], "amount_cents");
    for text in
        [json!(json!(order.to_string()).to_string()), json!("[]"), json!("null"), json!("{"), json!("7")]
    {
        let reply = rpc.ask("tools/call", json!({"name": "send_topup", "arguments": text})).await;
        assert_eq!(rpc::error_code(&reply), -32602, "{text}");
    }
    assert_eq!(shop.database.top_ups().await, 1);
}

#[tokio::test]
async fn numbers_and_double_fields_come_as_they_were_written() {
    let (shop, rpc) = open().await;
    for (amount, code) in [
        ("9007199254740993.0", 2005),
        ("1e400", 2000),
        ("100.00000000000000000001", 2000),
        ("1000.5", 2000),
        ("\"1000\"", 2000),
    ] {
        let order = format!(r#"{{"platform":"claude","amount_cents":{amount}}}"#);
        let over_rest = shop.client.post_text("/topup/send", order.clone()).await;
        assert_eq!(
            (over_rest.code(), over_rest.data()["field"].as_str()),
            (code, Some("amount_cents")),
            "{amount}"
        );
        // JSON that no reader of MCP's takes is refused before it is a call.
        if amount != "1e400" {
            let refused = call_with(&rpc, "send_topup", &order).await.refused(code);
            assert_eq!(refused.data(), over_rest.data(), "{amount}");
        }
        let quoted = call_with(&rpc, "send_topup", &json!(order).to_string()).await;
        assert_eq!((quoted.code(), quoted.is_error), (code, true), "{amount}");
    }
    let twice = r#"{"platform":"claude","amount_cents":100,"amount_cents":90000}"#;
    assert_eq!(call_with(&rpc, "send_topup", twice).await.refused(2000).data()["field"], "amount_cents");
    assert_eq!(shop.database.top_ups().await, 0);
}

#[tokio::test]
async fn one_amount_is_one_request_however_it_is_written_and_wherever_it_comes() {
    let shop = Shop::open_with(&NO_RATE_LIMIT).await;
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    let app = shop.database.app(&shop.key).await;
    let order = |amount: &str| format!(r#"{{"platform":"claude","amount_cents":{amount}}}"#);
    let first =
        shop.client.post_once("/topup/send", json!({"platform": "claude", "amount_cents": 1000}), "k");
    let first = first.await.expect(200, 1001).transaction_id();
    for amount in ["1000.0", "1e3", "1E+3", "10.00e2", "100000e-2", "1000.000000000000000000000000"] {
        let request = shop.client.request(reqwest::Method::POST, "/topup/send");
        let request = request.header("content-type", "application/json").header("idempotency-key", "k");
        let again = shop.client.send(request.body(order(amount))).await.expect(200, 1001);
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{amount}");
        assert_eq!(again.transaction_id(), first, "{amount}");
        let with_key = order(amount).replace('}', r#","idempotency_key":"k"}"#);
        assert_eq!(call_with(&rpc, "send_topup", &with_key).await.expect(1001).transaction_id(), first);
        let many = format!("topup.send_many('[{with_key}]')");
        assert_eq!(call(&app, &many).await["transaction_id"], first.as_str(), "{amount}");
        let query = "select body from topup.call($1, 'send', $2, 'k')";
        let admin = shop.database.admin().await;
        let body: String = admin.query_one(query, &[&shop.key, &order(amount)]).await.unwrap().get(0);
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap()["transaction_id"],
            first.as_str(),
            "{amount}"
        );
    }
    assert_eq!((shop.balance_cents().await, shop.database.top_ups().await), (99_000, 1));
    shop.database.check().await;
}
