//! MCP under load and in trouble: limits, many clients at once, an orderly stop, and a Postgres that is away.

use crate::support::rpc::{Rpc, hello, request};
use crate::support::sse::{SSE, Session, sessions_are};
use crate::support::{Cluster, Database, Gateway, LIMIT, Reply, Shop, Wire, wait_until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CLIENTS: usize = 100;
/// A refusal must not wait for what it refuses to wait for.
const PROMPTLY: Duration = Duration::from_secs(3);

fn order() -> Value {
    json!({"platform": "claude", "amount_cents": 100})
}

#[tokio::test]
async fn tool_calls_over_the_rate_limit_are_4001_and_take_no_money() {
    let shop = Shop::open_with(&["--rate-limit", "1", "--rate-burst", "2"]).await;
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    let mut sent = 0;
    let limited = loop {
        let result = rpc.call("send_topup", order()).await;
        if result.is_error {
            break result;
        }
        sent += 1;
        assert!(sent < 100, "100 calls were not limited");
    };
    assert!(sent >= 2);
    assert!(limited.refused(4001).data()["message"].as_str().unwrap().contains("Try again"));
    // One bucket for all surfaces; but who is too fast may still look around.
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    wait_until(LIMIT, "the stream is limited by the same bucket", async || {
        let result = session.call("send_topup", order()).await;
        sent += i64::from(!result.is_error);
        result.is_error.then(|| result.refused(4001))
    })
    .await;
    wait_until(LIMIT, "the REST surface is limited by the same bucket", async || {
        let reply = shop.client.post("/topup/send", order()).await;
        sent += i64::from(reply.status == 200);
        (reply.status == 429).then_some(())
    })
    .await;
    assert_eq!(rpc.tools().await.len(), 4);
    assert_eq!(shop.database.top_ups().await, sent);
    let other = Rpc::new(&shop.gateway, &shop.database.staging_key().await);
    other.call("check_balance", json!({})).await.expect(1000);
}

/// Posts until the key is limited; panics when it never is.
async fn flood(post: impl AsyncFn() -> Reply) -> Reply {
    for _ in 0..1000 {
        let reply = post().await;
        if reply.status == 429 {
            return reply;
        }
        assert!(matches!(reply.status, 200 | 202), "{}", reply.text);
    }
    panic!("1000 messages were not limited");
}

#[tokio::test]
async fn a_flood_of_messages_is_429_with_retry_after() {
    let shop = Shop::open_with(&["--rate-limit", "1", "--rate-burst", "1"]).await;
    let other = shop.database.staging_key().await;
    let (rpc, session) = (Rpc::new(&shop.gateway, &shop.key), Session::open(&shop.gateway, &other).await);
    let ping = request(1, "ping", json!({}));
    for limited in [
        flood(async || rpc.post(ping.to_string()).await).await,
        flood(async || session.post(&ping).await).await,
        Session::try_open(&shop.gateway.client(&other), SSE[1]).await.err().unwrap(),
    ] {
        assert_eq!((limited.status, &limited.json["error"]["data"]["code"]), (429, &json!(4001)));
        assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    let third = Rpc::new(&shop.gateway, &shop.database.staging_key().await);
    assert_eq!(third.ask("ping", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_key_has_so_many_calls_under_way_and_the_next_is_refused_at_once() {
    let shop = Shop::open_with(&["--rate-limit", "0", "--mcp-calls-per-key", "1"]).await;
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    let mut session = Session::open(&shop.gateway, &shop.key).await;
    let other = Rpc::new(&shop.gateway, &shop.database.staging_key().await);
    let holder = shop.database.hold_wallets().await;
    let waiting = rpc.clone();
    let waiting = tokio::spawn(async move { waiting.call("send_topup", order()).await });
    shop.database.wait_for_waiting(1).await;

    let start = Instant::now();
    rpc.call("check_balance", json!({})).await.refused(4001);
    rpc.call("send_topup", order()).await.refused(4001);
    session.call("check_balance", json!({})).await.refused(4001);
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
    // Neither other keys nor other messages nor the REST surface are held up.
    other.call("check_balance", json!({})).await.expect(1000);
    assert_eq!(rpc.tools().await.len(), 4);
    shop.client.get("/topup/balance").await.expect(200, 1000);

    assert!(!waiting.is_finished());
    holder.batch_execute("rollback").await.unwrap();
    waiting.await.unwrap().expect(1001);
    rpc.call("check_balance", json!({})).await.expect(1000);
    session.call("send_topup", order()).await.expect(1001);
    assert_eq!(shop.database.top_ups().await, 2);
    shop.database.check().await;
}

/// One of many: greets, looks around, and sends.
async fn use_streamable(rpc: Rpc) {
    rpc.initialize("2025-11-25").await;
    assert_eq!(rpc.tools().await.len(), 4);
    rpc.call("check_balance", json!({})).await.expect(1000);
    rpc.call("send_topup", order()).await.expect(1001);
}

async fn use_stream(mut session: Session) {
    session.result("initialize", hello("2024-11-05")).await;
    assert_eq!(session.result("tools/list", json!({})).await["tools"].as_array().unwrap().len(), 4);
    session.call("check_balance", json!({})).await.expect(1000);
    session.call("send_topup", order()).await.expect(1001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_of_one_key_are_served_at_once_on_each_transport() {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(use_streamable(Rpc::new(&shop.gateway, &shop.key)));
    }
    clients.join_all().await;
    assert_eq!(shop.balance_cents().await, 100_000 - 100 * CLIENTS as i64);

    // All streams are open before the first of them is used.
    let mut opening = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = shop.client.clone();
        opening.spawn(async move { Session::open_at(&client, SSE[0]).await });
    }
    let sessions = opening.join_all().await;
    sessions_are(&shop.gateway, CLIENTS).await;
    let mut clients = JoinSet::new();
    for session in sessions {
        clients.spawn(use_stream(session));
    }
    clients.join_all().await;
    assert_eq!(shop.balance_cents().await, 100_000 - 200 * CLIENTS as i64);
    assert_eq!(shop.database.top_ups().await, 2 * CLIENTS as i64);
    sessions_are(&shop.gateway, 0).await;
    let told = r#"topup_mcp_calls_total{tool="send_topup",code="1001"}"#;
    assert_eq!(shop.gateway.metric(told).await, Some(2.0 * CLIENTS as f64));
    shop.database.check().await;
}

#[tokio::test]
async fn a_gateway_that_is_stopped_answers_what_is_under_way_and_ends_its_streams() {
    let mut shop = Shop::open_with(&["--rate-limit", "0"]).await;
    let mut idle = Vec::new();
    for path in SSE {
        idle.push(Session::open_at(&shop.client, path).await);
    }
    let mut busy = Session::open(&shop.gateway, &shop.key).await;
    busy.call("check_balance", json!({})).await.expect(1000);
    let holder = shop.database.hold_wallets().await;
    busy.begin(77, "send_topup", order()).await;
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    let in_flight = tokio::spawn(async move { rpc.call("send_topup", order()).await });
    shop.database.wait_for_waiting(1).await;
    wait_until(LIMIT, "both calls are under way", async || {
        (shop.gateway.metric("topup_http_in_flight").await >= Some(1.0)).then_some(())
    })
    .await;

    shop.gateway.terminate();
    wait_until(LIMIT, "new connections are refused", async || Wire::try_open(&shop.gateway.url).await.err())
        .await;
    // Who waits for nothing is let go first. An end without the last chunk would be an error here.
    for session in &mut idle {
        session.ends().await;
    }
    // Longer than rmcp by itself waits for a call when its input has ended.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!in_flight.is_finished());
    holder.batch_execute("rollback").await.unwrap();
    let start = Instant::now();
    let answer = busy.message().await;
    assert_eq!((&answer["id"], &answer["result"]["structuredContent"]["code"]), (&json!(77), &json!(1001)));
    busy.ends().await;
    in_flight.await.unwrap().expect(1001);
    assert_eq!(shop.gateway.ended().await.code(), Some(0));
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
    assert!(!shop.gateway.log().contains("unfinished"));
    assert_eq!(shop.database.top_ups().await, 2);
    shop.database.check().await;
}

#[tokio::test]
async fn a_call_that_never_ends_does_not_keep_a_gateway_from_stopping() {
    let mut shop = Shop::open_with(&["--shutdown-grace-s", "1"]).await;
    let session = Session::open(&shop.gateway, &shop.key).await;
    let _holder = shop.database.hold_wallets().await;
    session.begin(1, "send_topup", order()).await;
    shop.database.wait_for_waiting(1).await;
    let start = Instant::now();
    shop.gateway.terminate();
    shop.gateway.ended().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// What an MCP request hears while Postgres is away.
#[track_caller]
fn is_unavailable(reply: &Reply) {
    assert_eq!((reply.status, &reply.json["error"]["data"]["code"]), (503, &json!(5003)), "{}", reply.text);
    assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    for inner in ["postgres", "127.0.0.1", "connection", "refused", "pool"] {
        assert!(!reply.text.to_lowercase().contains(inner), "{}", reply.text);
    }
}

#[tokio::test]
async fn while_postgres_is_away_mcp_says_later_and_then_goes_on() {
    let mut cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let (rpc, client) = (Rpc::new(&gateway, &key), gateway.client(&key));
    let mut session = Session::open(&gateway, &key).await;
    session.call("send_topup", order()).await.expect(1001);
    for crash in [false, true] {
        if crash {
            cluster.kill_9()
        } else {
            cluster.stop().await
        }
        let start = Instant::now();
        for (method, params) in [
            ("tools/call", json!({"name": "check_balance"})),
            ("tools/call", json!({"name": "send_topup", "arguments": order()})),
            ("tools/list", json!({})),
            ("initialize", hello("2025-11-25")),
        ] {
            is_unavailable(&rpc.ask(method, params).await);
        }
        is_unavailable(&session.post(&request(1, "ping", json!({}))).await);
        is_unavailable(&Session::try_open(&client, SSE[0]).await.err().unwrap());
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        cluster.start().await;
        wait_until(LIMIT, "MCP is served again", async || {
            (rpc.ask("ping", json!({})).await.status == 200).then_some(())
        })
        .await;
        rpc.call("send_topup", order()).await.expect(1001);
        // The stream has lived through it.
        session.call("send_topup", order()).await.expect(1001);
    }
    let balance = rpc.call("check_balance", json!({})).await.expect(1000);
    assert_eq!(balance.data()["balance_cents"], 100_000 - 500);
    database.check().await;
}
