//! What agents do with money over MCP: whatever they repeat, lose or guess, it is paid once and only by its owner.

use crate::support::rpc::{Rpc, STREAMABLE, open, tool_call};
use crate::support::sse::{Session, sessions_are};
use crate::support::{LIMIT, Shop, wait_until};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::task::JoinSet;

const AT_ONCE: usize = 20;

fn order() -> Value {
    json!({"platform": "claude", "amount_cents": 1000})
}

/// An order with an idempotency key among its arguments.
fn order_once(key: &str) -> Value {
    json!({"platform": "claude", "amount_cents": 1000, "idempotency_key": key})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_idempotency_key_is_paid_once_however_often_and_wherever_it_comes() {
    let (shop, rpc) = open().await;
    let mut sessions = Vec::new();
    for _ in 0..AT_ONCE {
        sessions.push(Session::open(&shop.gateway, &shop.key).await);
    }
    let mut calls = JoinSet::new();
    for (number, mut session) in sessions.into_iter().enumerate() {
        let (rpc, client) = (rpc.clone(), shop.client.clone());
        calls.spawn(async move {
            match number % 3 {
                0 => rpc.call("send_topup", order_once("one")).await.expect(1001).text,
                1 => session.call("send_topup", order_once("one")).await.expect(1001).text,
                _ => client.post_once("/topup/send", order(), "one").await.expect(200, 1001).text,
            }
        });
    }
    let envelopes: BTreeSet<String> = calls.join_all().await.into_iter().collect();
    assert_eq!(envelopes.len(), 1, "{envelopes:?}");
    assert_eq!((shop.balance_cents().await, shop.database.top_ups().await), (99_000, 1));

    // Later, and from another session, it is still the same answer.
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    let again = session.call("send_topup", order_once("one")).await.expect(1001);
    assert!(envelopes.contains(&again.text));
    let call = json!({"name": "send_topup", "arguments": order_once("one")});
    assert_eq!(rpc.result("tools/call", call).await["_meta"], json!({"pg_topup/idempotent-replayed": true}));
    let call = json!({"name": "send_topup", "arguments": order_once("new")});
    assert!(rpc.result("tools/call", call).await.get("_meta").is_none());
    shop.client.post_once("/topup/send", order(), "new").await.expect(200, 1001);
    for (field, value) in [
        ("amount_cents", json!(2000)),
        ("platform", json!("gemini")),
        ("recipient_email", json!("ann@example.com")),
    ] {
        let mut other = order_once("one");
        other[field] = value;
        rpc.call("send_topup", other.clone()).await.refused(2006);
        session.call("send_topup", other.clone()).await.refused(2006);
        other.as_object_mut().unwrap().remove("idempotency_key");
        shop.client.post_once("/topup/send", other, "one").await.expect(409, 2006);
    }
    assert_eq!((shop.balance_cents().await, shop.database.top_ups().await), (98_000, 2));
    shop.database.check().await;
}

#[tokio::test]
async fn without_an_idempotency_key_each_call_is_a_top_up() {
    let (shop, rpc) = open().await;
    let first = rpc.call("send_topup", order()).await.expect(1001);
    let second = rpc.call("send_topup", order()).await.expect(1001);
    assert_ne!(first.transaction_id(), second.transaction_id());
    // A header is of no use here: agents give arguments.
    let post = tool_call(1, "send_topup", order()).to_string();
    for _ in 0..2 {
        let reply = rpc.post_with(post.clone(), &[("idempotency-key", "header")]).await;
        assert_eq!(reply.json["result"]["structuredContent"]["code"], 1001);
    }
    assert_eq!((shop.balance_cents().await, shop.database.top_ups().await), (96_000, 4));
}

#[tokio::test]
async fn a_refused_send_leaves_its_idempotency_key_free() {
    let (shop, rpc) = open().await;
    let mut wrong = order_once("one");
    wrong["amount_cents"] = json!(1);
    rpc.call("send_topup", wrong).await.refused(2005);
    rpc.call("send_topup", order_once("one")).await.expect(1001);
    assert_eq!(shop.balance_cents().await, 99_000);
}

#[tokio::test]
async fn an_agent_spends_up_to_the_cap_of_its_key_and_no_more() {
    let (shop, _) = open().await;
    let options = "name => 'agent', tier => 'gold', cap_cents => 2000, cap_period => 'day'";
    let key = shop.database.tenant("Acme").await.key("staging", options).await.1;
    let rpc = Rpc::new(&shop.gateway, &key);
    let mut session = Session::open(&shop.gateway, &key).await;
    let left = async || {
        let balance = rpc.call("check_balance", json!({})).await.expect(1000);
        let key = &balance.data()["key"];
        assert_eq!((&key["cap_cents"], &key["cap_period"]), (&json!(2000), &json!("day")));
        key["cap_remaining_cents"].as_i64().unwrap()
    };
    assert_eq!(left().await, 2000);
    // Gold pays 83 percent of the list price.
    assert_eq!(rpc.call("send_topup", order()).await.expect(1001).data()["cost_cents"], 830);
    let pending =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    let pending = session.call("send_topup", pending).await.expect(1002);
    assert_eq!(left().await, 340);
    let before = shop.database.contents().await;
    rpc.call("send_topup", order_once("over")).await.refused(2007);
    session.call("send_topup", order_once("over")).await.refused(2007);
    assert!(shop.database.contents().await == before, "something was written");
    let balance = session.call("check_balance", json!({})).await.expect(1000);
    assert_eq!(balance.data()["key"]["cap_remaining_cents"], 340);
    assert_eq!(balance.data()["balance_cents"], 100_000 - 2 * 830);

    let id = json!({"transaction_id": pending.transaction_id()});
    session.call("cancel_topup", id).await.expect(3001);
    assert_eq!(left().await, 1170);
    rpc.call("send_topup", order_once("over")).await.expect(1001);
    shop.database.check().await;
}

#[tokio::test]
async fn many_agents_of_one_key_do_not_get_past_its_cap() {
    let (shop, _) = open().await;
    let options = "cap_cents => 5499, cap_period => 'total'";
    let key = shop.database.tenant("Acme").await.key("staging", options).await.1;
    let mut calls = JoinSet::new();
    for _ in 0..AT_ONCE {
        let rpc = Rpc::new(&shop.gateway, &key);
        calls.spawn(async move { rpc.call("send_topup", order()).await.code() });
    }
    let codes = calls.join_all().await;
    let count = |code: i64| codes.iter().filter(|each| **each == code).count();
    assert_eq!((count(1001), count(2007)), (5, AT_ONCE - 5), "{codes:?}");
    shop.database.check().await;
}

#[tokio::test]
async fn more_than_the_wallet_holds_is_refused() {
    let (shop, rpc) = open().await;
    let all = json!({"platform": "claude", "amount_cents": 100_000});
    rpc.call("send_topup", all).await.expect(1001);
    rpc.call("send_topup", order()).await.refused(2002);
    let balance = rpc.call("check_balance", json!({})).await.expect(1000);
    assert_eq!(balance.data()["balance_cents"], 0);
    shop.database.check().await;
}

#[tokio::test]
async fn nobody_sees_or_takes_what_is_another_tenants() {
    let (shop, rpc) = open().await;
    let tenant = shop.database.tenant("Bolt").await;
    let (staging, live) = (tenant.key("staging", "").await.1, tenant.key("live", "").await.1);
    let to = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com",
                    "idempotency_key": "same"});
    let pending = rpc.call("send_topup", to.clone()).await.expect(1002);
    let id = json!({"transaction_id": pending.transaction_id()});
    for key in [&staging, &live] {
        let other = Rpc::new(&shop.gateway, key);
        let mut session = Session::open(&shop.gateway, key).await;
        for tool in ["get_status", "cancel_topup"] {
            other.call(tool, id.clone()).await.refused(3003);
            session.call(tool, id.clone()).await.refused(3003);
        }
    }
    // The same idempotency key is another one for somebody else.
    let own = Rpc::new(&shop.gateway, &staging).call("send_topup", to).await.expect(1002);
    assert_ne!(own.transaction_id(), pending.transaction_id());
    assert_eq!(own.data()["new_balance_cents"], 99_000);
    rpc.call("get_status", id).await.expect(1002);
    shop.database.check().await;
}

#[tokio::test]
async fn who_hangs_up_in_mid_call_and_calls_again_pays_once() {
    let (shop, rpc) = open().await;
    let holder = shop.database.hold_wallets().await;
    let post = rpc.client.request(Method::POST, STREAMABLE).header("content-type", "application/json");
    let call = tool_call(1, "send_topup", order_once("over-http")).to_string();
    let first = tokio::spawn(post.body(call).send());
    let session = Session::open(&shop.gateway, &shop.key).await;
    session.begin(1, "send_topup", order_once("over-sse")).await;
    shop.database.wait_for_waiting(1).await;
    // Both clients lose patience, and both transports lose their clients.
    first.abort();
    drop(session);
    sessions_are(&shop.gateway, 0).await;

    let again = rpc.clone();
    let again_http = tokio::spawn(async move { again.call("send_topup", order_once("over-http")).await });
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    session.begin(2, "send_topup", order_once("over-sse")).await;
    holder.batch_execute("rollback").await.unwrap();
    let over_http = again_http.await.unwrap().expect(1001);
    let over_sse = session.message().await;
    assert_eq!(over_sse["result"]["structuredContent"]["code"], 1001, "{over_sse}");
    assert_eq!((shop.balance_cents().await, shop.database.top_ups().await), (98_000, 2));
    assert_eq!(rpc.call("send_topup", order_once("over-http")).await.expect(1001).text, over_http.text);
    shop.database.check().await;
}

#[tokio::test]
async fn a_call_that_its_client_cancels_and_repeats_is_paid_once() {
    let (shop, _) = open().await;
    let holder = shop.database.hold_wallets().await;
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    session.begin(50, "send_topup", order_once("one")).await;
    shop.database.wait_for_waiting(1).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 50}});
    session.tell(&cancel).await;
    // Everything else on the stream goes on.
    assert_eq!(session.result("ping", json!({})).await, json!({}));
    session.begin(51, "send_topup", order_once("one")).await;
    holder.batch_execute("rollback").await.unwrap();
    let mut answer = session.message().await;
    if answer["id"] == 50 {
        answer = session.message().await;
    }
    assert_eq!((&answer["id"], &answer["result"]["structuredContent"]["code"]), (&json!(51), &json!(1001)));
    assert_eq!((shop.balance_cents().await, shop.database.top_ups().await), (99_000, 1));
    shop.database.check().await;
}

#[tokio::test]
async fn who_hangs_up_keeps_its_place_until_the_work_is_done() {
    let shop = Shop::open_with(&["--rate-limit", "0", "--mcp-calls-per-key", "1"]).await;
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    let holder = shop.database.hold_wallets().await;
    let post = rpc.client.request(Method::POST, STREAMABLE).header("content-type", "application/json");
    let call = tool_call(1, "send_topup", order_once("one")).to_string();
    let first = tokio::spawn(post.body(call).send());
    shop.database.wait_for_waiting(1).await;
    first.abort();
    wait_until(LIMIT, "the gateway has noticed", async || {
        (shop.gateway.metric("topup_http_in_flight").await == Some(0.0)).then_some(())
    })
    .await;
    // Otherwise a client that hangs up and calls again could have any number of calls under way.
    rpc.call("check_balance", json!({})).await.refused(4001);
    holder.batch_execute("rollback").await.unwrap();
    wait_until(LIMIT, "the place is free again", async || {
        let result = rpc.call("check_balance", json!({})).await;
        (!result.is_error).then_some(())
    })
    .await;
    rpc.call("send_topup", order_once("one")).await.expect(1001);
    assert_eq!(shop.database.top_ups().await, 1);
}
