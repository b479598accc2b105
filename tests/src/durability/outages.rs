//! Postgres goes away and comes back, and the gateway lives through it. Each test has a cluster of its own.

use crate::support::{Client, Cluster, Database, Gateway, LIMIT, Receiver, Reply, Shop, Wire, wait_until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A refusal must come soon, not when some timeout of the network is over.
const PROMPTLY: Duration = Duration::from_secs(8);
const RECOVERY_LIMIT: Duration = Duration::from_secs(10);

async fn send(client: &Client) -> Reply {
    client.post("/topup/send", json!({"platform": "claude", "amount_cents": 1000})).await
}

/// Everything says "later": requests, with Retry-After, and readiness; but the process is alive.
async fn is_unavailable(client: &Client) {
    let start = Instant::now();
    for reply in [send(client).await, client.get("/topup/balance").await] {
        let reply = reply.expect(503, 5003);
        assert_eq!(reply.json["success"], false);
        assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
        for inner in ["postgres", "127.0.0.1", "connection", "refused", "pool"] {
            assert!(!reply.text.to_lowercase().contains(inner), "{}", reply.text);
        }
    }
    let root = client.at_root();
    wait_until(PROMPTLY, "the gateway is not ready", async || {
        (root.get("/health/ready").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(root.get("/health/live").await.status, 200);
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
}

async fn recovers(client: &Client) {
    wait_until(RECOVERY_LIMIT, "a send is served again", async || {
        let reply = send(client).await;
        if reply.status == 503 {
            return None;
        }
        Some(reply.expect(200, 1001))
    })
    .await;
    wait_until(RECOVERY_LIMIT, "the gateway is ready again", async || {
        (client.at_root().get("/health/ready").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_gateway_recovers_by_itself_when_postgres_comes_back() {
    let mut cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let client = gateway.client(&key);
    let receiver = Receiver::start().await;
    client.post("/webhooks/register", json!({"url": receiver.url})).await.expect(200, 1000);
    send(&client).await.expect(200, 1001);
    receiver.wait_for(1, LIMIT).await;

    for crash in [false, true] {
        if crash {
            cluster.kill_9()
        } else {
            cluster.stop().await
        }
        is_unavailable(&client).await;
        // What needs no database is still there.
        assert_eq!(client.at_root().get("/docs").await.status, 200);
        client.get("/topup/nothing").await.expect(404, 4000);
        wait_until(LIMIT, "the metrics say that Postgres is away", async || {
            let text = Wire::ask(&gateway.metrics_url, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.text;
            text.lines().any(|line| line == "topup_postgres_up 0").then_some(())
        })
        .await;
        let delivered = receiver.requests().len();
        cluster.start().await;
        recovers(&client).await;
        receiver.wait_for(delivered + 1, LIMIT).await;
    }
    let balance = client.get("/topup/balance").await.expect(200, 1000);
    assert_eq!(balance.data()["balance_cents"], 97_000);
    database.check().await;
}

#[tokio::test]
async fn a_gateway_may_be_started_before_its_postgres() {
    let mut cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let key = database.staging_key().await;
    cluster.stop().await;
    let gateway = Gateway::listening(&database.gateway_url(), &["--allow-private-webhooks"]).await;
    let client = gateway.client(&key);
    is_unavailable(&client).await;
    for page in ["/docs", "/openapi.json", "/anything"] {
        client.at_root().get(page).await.expect(503, 5003);
    }
    cluster.start().await;
    recovers(&client).await;
    database.check().await;
}

#[tokio::test]
async fn a_session_that_postgres_ends_is_not_missed() {
    let cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let client = gateway.client(&key);
    let admin = database.admin().await;
    let end_all =
        "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where usename = 'gateway'";
    for _ in 0..5 {
        send(&client).await.expect(200, 1001);
        assert!(admin.query_one(end_all, &[]).await.unwrap().get::<_, i64>(0) > 0);
    }
    send(&client).await.expect(200, 1001);
    database.check().await;
}

#[tokio::test]
async fn each_surface_says_in_its_own_shape_that_postgres_is_away() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let account =
        root.get("/accounts/self").await.expect_status(200).json["account_id"].as_str().unwrap().to_owned();
    let shut =
        "do $$ begin execute format('revoke connect on database %I from public', current_database()); end $$;
                select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and usename = 'gateway'";
    shop.database.admin().await.batch_execute(shut).await.unwrap();
    let enclosed = root
        .post(&format!("/client/v4/accounts/{account}/ai-gateway/billing/topup"), json!({"amount": 1000}))
        .await;
    assert!(enclosed.status >= 500, "{}", enclosed.text);
    assert_eq!((&enclosed.json["success"], &enclosed.json["result"]), (&json!(false), &Value::Null));
    assert!(enclosed.json["errors"][0]["code"].is_i64(), "{}", enclosed.text);
    assert_eq!(enclosed.header("x-should-retry"), Some("false"));
    let plain = root.get("/customers").await;
    assert_eq!(plain.header("content-type"), Some("application/problem+json"));
    assert_eq!(plain.json["status"], plain.status, "{}", plain.text);
    assert!(plain.json["title"].is_string() && plain.json["detail"].is_string(), "{}", plain.text);
}
