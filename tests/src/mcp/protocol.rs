//! MCP over Streamable HTTP: its revisions, and the four tools.

use crate::support::rpc::{
    self, NO_RATE_LIMIT, Rpc, ToolResult, error_code, hello, open, open_untouched, request, tool_call,
    untouched,
};
use crate::support::{Gateway, place};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;

const NO_ID: &str = "txn_00000000000000000000000000";
const HEADER_MISMATCH: i64 = -32020;
const UNSUPPORTED_REVISION: i64 = -32022;

#[tokio::test]
async fn each_revision_with_a_handshake_is_spoken_as_asked() {
    let (_shop, rpc) = open().await;
    let output = Command::new(place::built("topup-gateway")).arg("--version").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let version = printed.trim().strip_prefix("topup-gateway ").unwrap();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let greeting = rpc.initialize(revision).await;
        assert_eq!(greeting["protocolVersion"], revision);
        assert_eq!(greeting["serverInfo"]["name"], "pg_topup");
        assert_eq!(greeting["serverInfo"]["version"], version);
        assert!(greeting["capabilities"]["tools"].is_object(), "{greeting}");
        assert!(greeting["instructions"].as_str().unwrap().contains("idempotency_key"), "{greeting}");

        let told = [("mcp-protocol-version", revision)];
        let notice = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
        let accepted = rpc.post_with(notice, &told).await;
        assert_eq!((accepted.status, accepted.text.as_str()), (202, ""));
        let listed = rpc.post_with(request(2, "tools/list", json!({})).to_string(), &told).await;
        assert_eq!(listed.json["result"]["tools"].as_array().unwrap().len(), 4, "{}", listed.text);
        let balance = tool_call(3, "check_balance", json!({})).to_string();
        let called = rpc.post_with(balance, &told).await;
        ToolResult::of(&rpc::result(called.json)).expect(1000);
    }
}

#[tokio::test]
async fn who_asks_for_an_unknown_revision_is_offered_a_known_one() {
    let (_shop, rpc) = open().await;
    for unknown in ["1999-01-01", "2099-01-01", "", "latest"] {
        let offered = rpc.initialize(unknown).await["protocolVersion"].clone();
        assert!(["2025-06-18", "2025-11-25"].contains(&offered.as_str().unwrap()), "{unknown}: {offered}");
    }
    let told = [("mcp-protocol-version", "1999-01-01")];
    let refused = rpc.post_with(request(1, "tools/list", json!({})).to_string(), &told).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}

/// A request of revision 2026-07-28: it carries what the handshake said before.
fn modern(method: &str, mut params: Value) -> String {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    request("m", method, params).to_string()
}

const MODERN: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");

#[tokio::test]
async fn the_revision_without_a_handshake_is_spoken_too() {
    let (_shop, rpc) = open().await;
    let discover = modern("server/discover", json!({}));
    let reply = rpc.post_with(discover, &[MODERN, ("Mcp-Method", "server/discover")]).await;
    let found = rpc::result(reply.json);
    let revisions = found["supportedVersions"].as_array().unwrap();
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
        assert!(revisions.contains(&json!(revision)), "{found}");
    }
    assert!(found["capabilities"]["tools"].is_object(), "{found}");
    assert!(found.to_string().contains(r#""name":"pg_topup""#), "{found}");

    let listed =
        rpc.post_with(modern("tools/list", json!({})), &[MODERN, ("Mcp-Method", "tools/list")]).await;
    assert_eq!(rpc::result(listed.json)["tools"].as_array().unwrap().len(), 4);
    let order = json!({"name": "send_topup", "arguments": {"platform": "claude", "amount_cents": 1000}});
    let headers = [MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", "send_topup")];
    let sent = rpc.post_with(modern("tools/call", order), &headers).await;
    assert_eq!(sent.json["id"], "m");
    ToolResult::of(&rpc::result(sent.json)).expect(1001);
    let refused = json!({"name": "get_status", "arguments": {"transaction_id": NO_ID}});
    let headers = [MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", "get_status")];
    let refused = rpc.post_with(modern("tools/call", refused), &headers).await;
    ToolResult::of(&rpc::result(refused.json)).refused(3003);
}

#[tokio::test]
async fn an_unknown_revision_without_a_handshake_is_400_and_told_which_are_known() {
    let (_shop, rpc) = open().await;
    let future = modern("tools/list", json!({})).replace("2026-07-28", "2099-01-01");
    let headers = [("MCP-Protocol-Version", "2099-01-01"), ("Mcp-Method", "tools/list")];
    let refused = rpc.post_with(future, &headers).await;
    assert_eq!((refused.status, error_code(&refused)), (400, UNSUPPORTED_REVISION), "{}", refused.text);
    assert!(refused.json["error"]["data"].to_string().contains("2026-07-28"), "{}", refused.text);
}

#[tokio::test]
async fn headers_that_contradict_the_body_are_400() {
    let (shop, rpc, before) = open_untouched().await;
    let order = json!({"name": "send_topup", "arguments": {"platform": "claude", "amount_cents": 1000}});
    let (call, name) = (("Mcp-Method", "tools/call"), ("Mcp-Name", "send_topup"));
    for headers in [
        vec![MODERN, ("Mcp-Method", "tools/list"), name],
        vec![MODERN, call, ("Mcp-Name", "check_balance")],
        vec![MODERN, name],
        vec![MODERN, call],
        vec![("MCP-Protocol-Version", "2025-11-25"), call, name],
        vec![call, name],
    ] {
        let refused = rpc.post_with(modern("tools/call", order.clone()), &headers).await;
        assert_eq!((refused.status, error_code(&refused)), (400, HEADER_MISMATCH), "{headers:?}");
    }
    untouched(&shop, &before).await;
}

#[tokio::test]
async fn any_gateway_answers_the_next_message() {
    let (shop, rpc) = open().await;
    let gateway = Gateway::start_with(&shop.database, &NO_RATE_LIMIT).await;
    let other = Rpc::new(&gateway, &shop.key);
    let greeting = rpc.ask("initialize", hello("2025-11-25")).await;
    assert!(greeting.header("mcp-session-id").is_none());
    let order = json!({"platform": "claude", "amount_cents": 1000, "idempotency_key": "one"});
    let sent = other.call("send_topup", order.clone()).await.expect(1001);
    assert_eq!(rpc.call("send_topup", order).await.expect(1001).text, sent.text);
    let id = json!({"transaction_id": sent.transaction_id()});
    assert_eq!(rpc.call("get_status", id).await.expect(1001).data()["amount_cents"], 1000);
}

#[tokio::test]
async fn the_four_tools_do_what_their_operations_do() {
    let (shop, rpc) = open().await;
    let balance = rpc.call("check_balance", json!({})).await.expect(1000);
    assert_eq!(balance.data(), shop.client.get("/topup/balance").await.expect(200, 1000).data());

    let order = json!({"platform": "claude", "amount_cents": 1000});
    let sent = rpc.call("send_topup", order).await.expect(1001);
    assert_eq!(
        (&sent.envelope["status"], &sent.data()["new_balance_cents"]),
        (&json!("delivered"), &json!(99_000))
    );
    assert!(sent.data()["voucher_code"].as_str().unwrap().starts_with("ATU-"));
    let id = json!({"transaction_id": sent.transaction_id()});
    assert_eq!(rpc.call("get_status", id.clone()).await.expect(1001).data(), sent.data());
    rpc.call("cancel_topup", id).await.refused(3002);

    let to = json!({"platform": "gemini", "amount_cents": 500, "recipient_email": "ann+pending@example.com"});
    let pending = rpc.call("send_topup", to).await.expect(1002);
    let id = json!({"transaction_id": pending.transaction_id()});
    rpc.call("get_status", id.clone()).await.expect(1002);
    let cancelled = rpc.call("cancel_topup", id.clone()).await.expect(3001);
    assert_eq!(cancelled.data(), &json!({"refunded_cents": 500, "new_balance_cents": 99_000}));
    rpc.call("cancel_topup", id.clone()).await.expect(3001);
    rpc.call("get_status", id).await.expect(3001);
    shop.database.check().await;
}

#[tokio::test]
async fn a_refusal_is_a_result_with_is_error_that_says_why() {
    let (shop, rpc, before) = open_untouched().await;
    let order = |platform: &str, cents: i64| json!({"platform": platform, "amount_cents": cents});
    for (tool, arguments, code) in [
        ("send_topup", order("claude", 100_000_000), 2005),
        ("send_topup", order("claude", 1), 2005),
        ("send_topup", order("nobody", 1000), 2003),
        ("send_topup", json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "x"}), 2004),
        ("get_status", json!({"transaction_id": NO_ID}), 3003),
        ("get_status", json!({"transaction_id": "nonsense"}), 3003),
        ("cancel_topup", json!({"transaction_id": NO_ID}), 3003),
    ] {
        rpc.call(tool, arguments).await.refused(code);
    }
    untouched(&shop, &before).await;
}

/// A call that is refused as 2000, and for which field.
async fn field_at_fault(rpc: &Rpc, params: Value) -> Value {
    let result = ToolResult::of(&rpc.result("tools/call", params).await).refused(2000);
    result.data()["field"].clone()
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_refused_by_name_and_nothing_is_written() {
    let (shop, rpc, before) = open_untouched().await;
    let order = |name: &str, value: Value| {
        let mut order = json!({"platform": "claude", "amount_cents": 1000, "idempotency_key": "bad"});
        order[name] = value;
        order
    };
    let long = "x".repeat(256);
    for (tool, arguments, field) in [
        ("send_topup", json!({"amount_cents": 1000}), "platform"),
        ("send_topup", json!({"platform": "claude"}), "amount_cents"),
        ("send_topup", order("platform", json!(1)), "platform"),
        ("send_topup", order("platform", Value::Null), "platform"),
        ("send_topup", order("amount_cents", json!("1000")), "amount_cents"),
        ("send_topup", order("amount_cents", json!(10.5)), "amount_cents"),
        ("send_topup", order("amount_cents", Value::Null), "amount_cents"),
        ("send_topup", order("amount_cents", json!([1000])), "amount_cents"),
        ("send_topup", order("platform", json!("cla\0ude")), "platform"),
        ("send_topup", order("idempotency_key", json!("a\0b")), "idempotency_key"),
        ("get_status", json!({"transaction_id": "txn\0"}), "transaction_id"),
        ("send_topup", order("recipient_email", json!(7)), "recipient_email"),
        ("send_topup", order("recipient_email", json!({})), "recipient_email"),
        ("send_topup", order("metadata", json!({"a": 1})), "metadata"),
        ("send_topup", order("surprise", json!(true)), "surprise"),
        ("send_topup", order("Platform", json!("claude")), "Platform"),
        ("send_topup", order("idempotency_key", json!(7)), "idempotency_key"),
        ("send_topup", order("idempotency_key", json!(["a"])), "idempotency_key"),
        ("send_topup", order("idempotency_key", json!("")), "idempotency_key"),
        ("send_topup", order("idempotency_key", json!("two words")), "idempotency_key"),
        ("send_topup", order("idempotency_key", json!(long)), "idempotency_key"),
        ("check_balance", json!({"verbose": true}), "verbose"),
        ("check_balance", json!({"idempotency_key": "a"}), "idempotency_key"),
        ("get_status", json!({}), "transaction_id"),
        ("get_status", json!({"transaction_id": 7}), "transaction_id"),
        ("get_status", json!({"transaction_id": NO_ID, "metadata": {}}), "metadata"),
        ("cancel_topup", json!({}), "transaction_id"),
        ("cancel_topup", json!({"transaction_id": null}), "transaction_id"),
        ("cancel_topup", json!({"transaction_id": NO_ID, "idempotency_key": "a"}), "idempotency_key"),
    ] {
        let params = json!({"name": tool, "arguments": arguments});
        assert_eq!(field_at_fault(&rpc, params.clone()).await, field, "{params}");
    }
    for tool in ["get_status", "cancel_topup"] {
        assert_eq!(field_at_fault(&rpc, json!({"name": tool})).await, "transaction_id");
    }
    for absent in [json!({"name": "send_topup"}), json!({"name": "send_topup", "arguments": null})] {
        assert_eq!(field_at_fault(&rpc, absent).await, "platform");
    }
    untouched(&shop, &before).await;
}

#[tokio::test]
async fn what_need_not_be_said_may_be_null_or_absent() {
    let (shop, rpc) = open().await;
    let order =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": null, "idempotency_key": null});
    let sent = rpc.call("send_topup", order.clone()).await.expect(1001);
    assert!(sent.data()["voucher_code"].is_string());
    let again = rpc.call("send_topup", order).await.expect(1001);
    assert_ne!(again.transaction_id(), sent.transaction_id());
    for params in [json!({"name": "check_balance"}), json!({"name": "check_balance", "arguments": null})] {
        let balance = ToolResult::of(&rpc.result("tools/call", params).await).expect(1000);
        assert_eq!(balance.data()["balance_cents"], 98_000);
    }
    let longest = json!({"platform": "claude", "amount_cents": 1000, "idempotency_key": "~".repeat(255)});
    rpc.call("send_topup", longest).await.expect(1001);
    shop.database.check().await;
}

#[tokio::test]
async fn amounts_are_judged_as_over_rest() {
    let (shop, rpc) = open().await;
    for amount in ["1000.5", "99999999999999999999", "-1", "0", "1e30", "\"1000\""] {
        let order = format!(r#"{{"platform":"claude","amount_cents":{amount}}}"#);
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"send_topup","arguments":{order}}}}}"#
        );
        let called = ToolResult::of(&rpc::result(rpc.post(call).await.json));
        let send =
            shop.client.request(Method::POST, "/topup/send").header("content-type", "application/json");
        let reply = shop.client.send(send.body(order)).await;
        assert_eq!(
            (called.code(), &called.data()["field"]),
            (reply.code(), &reply.data()["field"]),
            "{amount}"
        );
    }
}

#[tokio::test]
async fn a_whole_number_may_be_written_with_a_point() {
    let (shop, rpc) = open().await;
    for amount in ["1000", "1000.0", "1e3"] {
        let order = format!(r#"{{"platform":"claude","amount_cents":{amount}}}"#);
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"send_topup","arguments":{order}}}}}"#
        );
        let sent = ToolResult::of(&rpc::result(rpc.post(call).await.json)).expect(1001);
        assert_eq!(sent.data()["amount_cents"], 1000, "{amount}");
    }
    shop.database.check().await;
}
