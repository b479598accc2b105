//! Messages of MCP over Streamable HTTP, good and bad: what JSON-RPC and HTTP say to each.

use crate::support::rpc::{STREAMABLE, error_code, open, open_untouched, request, tool_call, untouched};
use crate::support::{Reply, Wire};
use reqwest::Method;
use serde_json::{Value, json};

const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const PARSE_ERROR: i64 = -32700;

/// An answer that is an error of JSON-RPC, to the request with id 1.
#[track_caller]
fn assert_error(reply: &Reply, code: i64) {
    assert_eq!((reply.status, error_code(reply)), (200, code), "{}", reply.text);
    assert_eq!(reply.json["id"], 1, "{}", reply.text);
}

#[tokio::test]
async fn unknown_tools_unknown_methods_and_unfit_params_are_errors_of_the_protocol() {
    let (shop, rpc, before) = open_untouched().await;
    for name in ["", "nothing", "Send_topup", "send", "topup.send", "redeem"] {
        assert_error(&rpc.ask("tools/call", json!({"name": name, "arguments": {}})).await, INVALID_PARAMS);
    }
    for method in ["", "nothing", "tools/Call", "sampling/createMessage", "notifications/initialized"] {
        assert_error(&rpc.ask(method, json!({})).await, METHOD_NOT_FOUND);
    }
    // What the gateway does not declare is not there.
    for method in ["resources/list", "resources/templates/list", "prompts/list", "tasks/list"] {
        assert_error(&rpc.ask(method, json!({})).await, METHOD_NOT_FOUND);
    }
    for params in [
        json!({}),
        json!({"arguments": {}}),
        json!({"name": 7, "arguments": {}}),
        json!({"name": "check_balance", "arguments": "x"}),
        json!({"name": "check_balance", "arguments": [1]}),
        json!({"name": null}),
    ] {
        assert_error(&rpc.ask("tools/call", params).await, INVALID_PARAMS);
    }
    assert_error(&rpc.ask("initialize", json!({"protocolVersion": 7})).await, INVALID_PARAMS);
    assert_error(&rpc.ask("tools/list", json!({"cursor": "x"})).await, INVALID_PARAMS);
    assert_eq!(rpc.result("ping", json!({})).await, json!({}));
    untouched(&shop, &before).await;
}

#[tokio::test]
async fn what_is_no_message_is_400_and_says_so_in_json_rpc() {
    let (shop, rpc, before) = open_untouched().await;
    let deep = "[".repeat(60_000);
    for bad in ["", "{", "nonsense", r#"{"jsonrpc":"2.0","id":1,"#, "\u{feff}{}", deep.as_str()] {
        let refused = rpc.post(bad).await;
        assert_eq!((refused.status, error_code(&refused)), (400, PARSE_ERROR), "{bad:.60}");
        assert_eq!((&refused.json["jsonrpc"], &refused.json["id"]), (&json!("2.0"), &Value::Null));
        assert_eq!(refused.header("content-type"), Some("application/json"), "{bad:.60}");
    }
    let order = tool_call(1, "send_topup", json!({"platform": "claude", "amount_cents": 1000})).to_string();
    for bad in [
        "null".to_owned(),
        "7".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        format!("[{order}]"),
        format!("[{order},{order}]"),
        order.replace("\"2.0\"", "\"1.0\""),
        order.replace("\"id\":1", "\"id\":{}"),
        order.replace("\"id\":1", "\"id\":[1]"),
        order.replace("\"tools/call\"", "7"),
        order.replace("\"id\":1", &format!("\"id\":\"{}\"", "x".repeat(257))),
        r#"{"id":1,"method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1}"#.to_owned(),
    ] {
        let refused = rpc.post(bad.as_str()).await;
        assert_eq!((refused.status, error_code(&refused)), (400, INVALID_REQUEST), "{bad}");
    }
    untouched(&shop, &before).await;
}

#[tokio::test]
async fn an_answer_carries_the_id_of_its_request() {
    let (_shop, rpc) = open().await;
    for id in [json!(0), json!(-1), json!(9_007_199_254_740_993_i64), json!("a"), json!(""), json!("1")] {
        let answer = rpc.post(request(id.clone(), "ping", json!({})).to_string()).await;
        assert_eq!((&answer.json["id"], &answer.json["result"]), (&id, &json!({})), "{}", answer.text);
        let answer = rpc.post(request(id.clone(), "nothing", json!({})).to_string()).await;
        assert_eq!(answer.json["id"], id, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_call_without_an_id_is_no_call() {
    let (shop, rpc, before) = open_untouched().await;
    let mut call = tool_call(1, "send_topup", json!({"platform": "claude", "amount_cents": 1000}));
    call["id"] = Value::Null;
    let refused = rpc.post(call.to_string()).await;
    assert_eq!((refused.status, error_code(&refused)), (400, INVALID_REQUEST));
    call.as_object_mut().unwrap().remove("id");
    let notice = rpc.post(call.to_string()).await;
    assert_eq!((notice.status, notice.text.as_str()), (202, ""));
    rpc.call("check_balance", json!({})).await.expect(1000);
    untouched(&shop, &before).await;
}

#[tokio::test]
async fn the_same_rules_of_http_hold_as_for_the_rest() {
    let (shop, rpc) = open().await;
    let ping = request(1, "ping", json!({})).to_string();
    let too_long = format!("{ping}{}", " ".repeat(66_000));
    let refused = rpc.post(too_long).await;
    assert_eq!((refused.status, &refused.json["error"]["data"]["code"]), (413, &json!(4004)));
    let as_type = async |content_type: Option<&str>| {
        let mut post = rpc.client.request(Method::POST, STREAMABLE).body(ping.clone());
        if let Some(content_type) = content_type {
            post = post.header("content-type", content_type);
        }
        rpc.client.send(post).await
    };
    for bad in [Some("text/plain"), Some("application/x-www-form-urlencoded"), None] {
        let refused = as_type(bad).await;
        assert_eq!((refused.status, &refused.json["error"]["data"]["code"]), (415, &json!(4005)), "{bad:?}");
    }
    for good in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        assert_eq!(as_type(Some(good)).await.status, 200, "{good}");
    }
    for (accept, status) in [
        ("application/json, text/event-stream", 200),
        ("application/json", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, */*;q=0.1", 200),
        ("Application/JSON", 200),
        ("text/html", 406),
        ("text/event-stream", 406),
        ("application/json;q=0", 406),
        ("application/jsonp", 406),
    ] {
        let reply = rpc.post_with(ping.clone(), &[("accept", accept)]).await;
        assert_eq!(reply.status, status, "{accept}: {}", reply.text);
    }
    // The client of the tests sends an Accept with everything; some send none.
    let bare = format!(
        "POST {STREAMABLE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{ping}",
        shop.key,
        ping.len()
    );
    let reply = Wire::ask(&shop.gateway.url, bare).await;
    assert_eq!((reply.status, &reply.json["result"]), (200, &json!({})));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}
