//! Gateways as deliverers: side by side, beside slow receivers, stopped and killed.

use crate::support::{
    Answer, Database, Gateway, Hook, LIMIT, Receiver, Shop, call, deliveries, wait_for_deliveries, wait_until,
};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Clients of this gateway are not held back.
const FLAGS: &[&str] = &["--allow-private-webhooks", "--rate-limit", "0"];

/// A commit that wakes a sleeping gateway is told within this time; without the wake-up it takes up to a second.
const WAKE_LIMIT: Duration = Duration::from_millis(500);

/// So many top-ups in one transaction.
async fn send_many(database: &Database, key: &str, count: usize) {
    let request = json!({"platform": "claude", "amount_cents": 100});
    let requests = Value::from(vec![request; count]);
    let app = database.app(key).await;
    let sent = app.query("select topup.send_many($1)", &[&requests]).await.unwrap();
    assert!(sent.iter().all(|row| row.get::<_, Value>(0)["code"] == 1001));
}

/// The ids of the events that a receiver got; fails when one came twice.
fn ids(receiver: &Receiver) -> HashSet<String> {
    let requests = receiver.requests();
    let ids: HashSet<String> =
        requests.iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), requests.len(), "an event came twice");
    ids
}

/// How many attempts each delivery of the first page took.
fn attempts(log: &[Value]) -> Vec<usize> {
    log.iter().map(|delivery| delivery["attempts"].as_array().unwrap().len()).collect()
}

#[tokio::test]
async fn gateways_side_by_side_deliver_everything_and_nothing_twice() {
    const EVENTS: usize = 24;
    let shop = Shop::open_with(FLAGS).await;
    let others =
        [Gateway::start_with(&shop.database, FLAGS).await, Gateway::start_with(&shop.database, FLAGS).await];
    let gate = Arc::new(Semaphore::new(0));
    let (quick, slow) = (Receiver::start().await, Receiver::start_with([Answer::Held(gate.clone())]).await);
    Hook::register(&shop.client, &quick.url).await;
    Hook::register(&shop.client, &slow.url).await;
    send_many(&shop.database, &shop.key, EVENTS).await;

    // While the slow one keeps its attempts open, all three look for work, and find it at the quick one.
    slow.wait_for(1, LIMIT).await;
    quick.wait_for(EVENTS, LIMIT).await;
    send_many(&shop.database, &shop.key, EVENTS).await;
    quick.wait_for(2 * EVENTS, LIMIT).await;
    gate.add_permits(2 * EVENTS);
    slow.wait_for(2 * EVENTS, LIMIT).await;

    let client = others[1].client(&shop.key);
    wait_until(LIMIT, "everything is delivered", async || {
        deliveries(&client, "?status=pending").await.is_empty().then_some(())
    })
    .await;
    assert_eq!(ids(&quick), ids(&slow));
    assert_eq!(ids(&quick).len(), 2 * EVENTS);
    assert!(attempts(&deliveries(&client, "").await).iter().all(|&count| count == 1));
    shop.database.check().await;
}

#[tokio::test]
async fn a_slow_receiver_delays_nobody_else() {
    const EVENTS: usize = 60;
    let shop = Shop::open_with(FLAGS).await;
    let (slow, quick) = (Receiver::start_with([Answer::Hang]).await, Receiver::start().await);
    Hook::register(&shop.client, &slow.url).await;
    Hook::register(&shop.client, &quick.url).await;
    let start = Instant::now();
    send_many(&shop.database, &shop.key, EVENTS).await;
    quick.wait_for(EVENTS, LIMIT).await;
    let took = start.elapsed();

    // The first attempts at the slow one are still open: they end after 10 s.
    assert!(took < Duration::from_secs(8), "{took:?}");
    let open = slow.requests().len();
    assert!((1..=8).contains(&open), "{open} at a time are 1 to --delivery-concurrency-per-endpoint");
    assert_eq!(ids(&quick).len(), EVENTS);
}

#[tokio::test]
async fn an_endpoint_gets_no_more_at_a_time_than_the_setting_says() {
    let flags = [FLAGS, &["--delivery-concurrency-per-endpoint", "2"]].concat();
    let shop = Shop::open_with(&flags).await;
    let gate = Arc::new(Semaphore::new(0));
    let (slow, quick) = (Receiver::start_with([Answer::Held(gate.clone())]).await, Receiver::start().await);
    Hook::register(&shop.client, &slow.url).await;
    send_many(&shop.database, &shop.key, 6).await;
    slow.wait_for(2, LIMIT).await;
    // The gateway looks for work again, and finds the quick one's only.
    let hook = Hook::register(&shop.client, &quick.url).await;
    shop.client.post(&format!("/webhooks/{}/test", hook.id), json!({})).await.expect(200, 1000);
    assert_eq!(slow.requests().len(), 2);
    for done in 1..=6 {
        gate.add_permits(1);
        slow.wait_for((done + 2).min(6), LIMIT).await;
        wait_for_deliveries(&shop.client, "succeeded", done + 1).await;
        assert!(slow.requests().len() <= done + 2);
    }
    assert_eq!(ids(&slow).len(), 6);
}

#[tokio::test]
async fn a_gateway_that_is_stopped_finishes_the_deliveries_under_way() {
    let mut shop = Shop::open_with(FLAGS).await;
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::start_with([Answer::Held(gate.clone())]).await;
    Hook::register(&shop.client, &receiver.url).await;
    send_many(&shop.database, &shop.key, 3).await;
    receiver.wait_for(3, LIMIT).await;
    shop.gateway.terminate();
    wait_until(LIMIT, "it is stopping", async || shop.gateway.log().contains("stopping").then_some(())).await;
    gate.add_permits(3);
    assert!(shop.gateway.ended().await.success());

    let successor = Gateway::start_with(&shop.database, &["--no-worker"]).await;
    let log = deliveries(&successor.client(&shop.key), "?status=succeeded").await;
    assert_eq!(attempts(&log), [1, 1, 1]);
    assert_eq!(ids(&receiver).len(), 3);
}

#[tokio::test]
async fn what_a_killed_gateway_had_begun_is_delivered_by_another_when_the_lease_ends() {
    let mut shop = Shop::open_with(FLAGS).await;
    let receiver = Receiver::start_with([Answer::Hang, Answer::Status(204)]).await;
    Hook::register(&shop.client, &receiver.url).await;
    shop.send().await.expect(200, 1001);
    let begun = receiver.wait_for(1, LIMIT).await.remove(0);
    shop.gateway.kill_9();

    let successor = Gateway::start_with(&shop.database, FLAGS).await;
    let client = successor.client(&shop.key);
    // While the lease holds, the successor does other work, but not this.
    let request = json!({"platform": "claude", "amount_cents": 1000});
    client.post("/topup/send", request).await.expect(200, 1001);
    wait_for_deliveries(&client, "succeeded", 1).await;
    assert_eq!(ids(&receiver).len(), 2);
    // The lease ends: by itself it takes half a minute.
    let admin = shop.database.admin().await;
    let ended = "update topup.effect set due_at = clock_timestamp() where leased";
    assert_eq!(admin.execute(ended, &[]).await.unwrap(), 1);

    wait_for_deliveries(&client, "succeeded", 2).await;
    let last = receiver.wait_for(3, LIMIT).await.remove(2);
    assert_eq!((last.header("webhook-id"), &last.body), (begun.header("webhook-id"), &begun.body));
}

/// Waits until the gateway has nothing to do and really sleeps: a second after it said that it would.
async fn asleep(admin: &tokio_postgres::Client) {
    let query = "select exists (select from topup.sleeper
                                 where sleeps_until < clock_timestamp() + interval '28.8 s')";
    wait_until(LIMIT, "the gateway sleeps", async || {
        admin.query_one(query, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_commit_wakes_a_sleeping_gateway() {
    let shop = Shop::open_with(FLAGS).await;
    let receiver = Receiver::start().await;
    Hook::register(&shop.client, &receiver.url).await;
    let (admin, app) = (shop.database.admin().await, shop.database.app(&shop.key).await);
    for count in 1..=3 {
        asleep(&admin).await;
        app.batch_execute("begin").await.unwrap();
        assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 1001);
        app.batch_execute("commit").await.unwrap();
        let committed = Instant::now();
        let told = receiver.wait_for(count, LIMIT).await[count - 1].at;
        let took = told.saturating_duration_since(committed);
        assert!(took < WAKE_LIMIT, "{took:?}");
    }
}

/// How often the gateway has asked for work, by its metrics.
async fn looks_for_work(gateway: &Gateway) -> f64 {
    let metrics = reqwest::get(&gateway.metrics_url).await.unwrap().text().await.unwrap();
    let of_claims = metrics.lines().filter(|line| line.starts_with("topup_worker_claims_total{"));
    of_claims.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn an_idle_gateway_rests() {
    let shop = Shop::open_with(FLAGS).await;
    let admin = shop.database.admin().await;
    asleep(&admin).await;
    let (before, start) = (looks_for_work(&shop.gateway).await, Instant::now());
    wait_until(LIMIT, "two seconds pass", async || (start.elapsed().as_secs() >= 2).then_some(())).await;
    let looks = looks_for_work(&shop.gateway).await - before;
    // Once a second, to be safe; an awake one looks 50 times a second.
    assert!(before > 0.0 && looks <= 4.0, "{looks} looks for work in {:?}", start.elapsed());
    let next_due = admin.query_one("select topup.next_due()", &[]).await.unwrap();
    assert_eq!(next_due.get::<_, Option<f64>>(0), None);
}

#[tokio::test]
async fn a_gateway_without_a_worker_leaves_deliveries_to_another() {
    let shop = Shop::open_with(&["--allow-private-webhooks", "--no-worker"]).await;
    let receiver = Receiver::start().await;
    Hook::register(&shop.client, &receiver.url).await;
    shop.send().await.expect(200, 1001);
    let waiting = deliveries(&shop.client, "?status=pending").await;
    assert_eq!((attempts(&waiting), receiver.connections()), (vec![0], 0));
    let _worker = Gateway::start_with(&shop.database, FLAGS).await;
    receiver.wait_for(1, LIMIT).await;
    wait_for_deliveries(&shop.client, "succeeded", 1).await;
}
