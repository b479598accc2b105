//! Sends of one key that come at once: they share transactions, and nobody can tell by what is answered.

use crate::support::{Client, LIMIT, Reply, Shop, Wire, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_postgres::Client as Session;

const NO_LIMIT: [&str; 2] = ["--rate-limit", "0"];
const PROMPTLY: Duration = Duration::from_secs(2);

/// What to send, and under which key, if any.
type Order = (Value, Option<String>);

fn order(cents: i64) -> Order {
    (json!({"platform": "claude", "amount_cents": cents}), None)
}

async fn post(client: &Client, (request, key): &Order) -> Reply {
    match key {
        Some(key) => client.post_once("/topup/send", request.clone(), key).await,
        None => client.post("/topup/send", request.clone()).await,
    }
}

fn begin(client: &Client, order: Order) -> JoinHandle<Reply> {
    let client = client.clone();
    tokio::spawn(async move { post(&client, &order).await })
}

async fn in_flight(shop: &Shop, count: usize) {
    wait_until(LIMIT, "so many requests are in flight", async || {
        (shop.gateway.metric("topup_http_in_flight").await == Some(count as f64)).then_some(())
    })
    .await;
}

/// Begins these while the wallet is held: the first is alone, and the others wait together.
async fn begin_together(shop: &Shop, orders: impl IntoIterator<Item = Order>) -> Vec<JoinHandle<Reply>> {
    let mut begun = Vec::new();
    for order in orders {
        begun.push(begin(&shop.client, order));
        if begun.len() == 1 {
            shop.database.wait_for_waiting(1).await;
        }
    }
    in_flight(shop, begun.len()).await;
    begun
}

async fn answers(begun: Vec<JoinHandle<Reply>>) -> Vec<Reply> {
    let mut replies = Vec::new();
    for reply in begun {
        replies.push(reply.await.unwrap());
    }
    replies
}

async fn transactions_of_sends(shop: &Shop) -> f64 {
    shop.gateway.metric("topup_send_batch_calls_count").await.unwrap_or(0.0)
}

/// What does not depend on who was first.
fn told(reply: &Reply) -> (u16, Value) {
    let mut json = reply.json.clone();
    json["timestamp"].take();
    if json["success"] == true {
        json["transaction_id"].take();
        for field in ["voucher_code", "new_balance_cents"] {
            json["data"][field].take();
        }
    }
    (reply.status, json)
}

/// Good ones, bad ones of every kind, and three times each key.
fn mixed() -> Vec<Order> {
    (0..90)
        .map(|n| {
            let key = (n % 5 < 3).then(|| format!("key-{}", n % 15));
            let request = match n % 5 {
                0 => json!({"platform": "claude", "amount_cents": 100 + n % 15}),
                1 => json!({"platform": "gemini", "amount_cents": 200, "recipient_email": format!("c{}@example.com", n % 15)}),
                2 => json!({"platform": "nobody", "amount_cents": 100}),
                3 => json!({"platform": "claude", "amount_cents": 300, "recipient_email": "ann+pending@example.com"}),
                _ => json!({"platform": "claude", "amount_cents": 7, "colour": "red"}),
            };
            (request, key)
        })
        .collect()
}

#[tokio::test]
async fn together_they_are_answered_as_one_after_the_other() {
    let together = Shop::open_with(&NO_LIMIT).await;
    let apart = Shop::open_with(&NO_LIMIT).await;
    let mut one_by_one = Vec::new();
    for order in mixed() {
        one_by_one.push(post(&apart.client, &order).await);
    }
    let holder = together.database.hold_wallets().await;
    let begun = begin_together(&together, mixed()).await;
    holder.batch_execute("rollback").await.unwrap();
    let at_once = answers(begun).await;

    let mut by_key: BTreeMap<String, Vec<&Reply>> = BTreeMap::new();
    for ((order, apart), together) in mixed().iter().zip(&one_by_one).zip(&at_once) {
        assert_eq!(told(together), told(apart), "{order:?}");
        if let (Some(key), 200) = (&order.1, together.status) {
            by_key.entry(key.clone()).or_default().push(together);
        }
    }
    for (key, replies) in by_key {
        let replayed = replies.iter().filter(|reply| reply.header("idempotent-replayed").is_some()).count();
        assert_eq!(replayed, replies.len() - 1, "{key}");
        assert!(replies.iter().all(|reply| reply.text == replies[0].text), "{key}");
    }
    assert_eq!(together.balance_cents().await, apart.balance_cents().await);
    assert_eq!(together.database.top_ups().await, apart.database.top_ups().await);
    assert_eq!(transactions_of_sends(&apart).await, 90.0);
    assert_eq!(transactions_of_sends(&together).await, 2.0);
    together.database.check().await;
}

#[tokio::test]
async fn without_help_those_that_come_at_once_share_transactions_too() {
    let shop = Shop::open_with(&NO_LIMIT).await;
    let begun = (0..400).map(|_| begin(&shop.client, order(100))).collect();
    let mut left: Vec<i64> = answers(begun)
        .await
        .into_iter()
        .map(|reply| reply.expect(200, 1001).data()["new_balance_cents"].as_i64().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left, (0..400).map(|n| 60_000 + n * 100).collect::<Vec<_>>());
    assert!(transactions_of_sends(&shop).await < 300.0);
    assert_eq!(shop.gateway.metric("topup_send_batch_calls_sum").await, Some(400.0));
    shop.database.check().await;
}

/// Lets Postgres fail at every send of 666 cents.
async fn break_at_666(admin: &Session) {
    let script = "create function public.broken() returns trigger language plpgsql as
                      $$ begin raise exception 'broken at 666'; end $$;
                  create trigger broken before insert on topup.top_up for each row
                      when (new.amount_cents = 666) execute function public.broken()";
    admin.batch_execute(script).await.unwrap();
}

#[tokio::test]
async fn a_fault_in_one_is_its_own() {
    let shop = Shop::open_with(&NO_LIMIT).await;
    break_at_666(&shop.database.admin().await).await;
    let holder = shop.database.hold_wallets().await;
    let cents = |n| if n == 7 { 666 } else { 100 };
    let keyed = |n: i64| (order(cents(n)).0, Some(format!("key-{n}")));
    let begun = begin_together(&shop, (0..30).map(keyed)).await;
    holder.batch_execute("rollback").await.unwrap();
    for (n, reply) in answers(begun).await.into_iter().enumerate() {
        match n {
            7 => reply.expect(500, 5000),
            _ => reply.expect(200, 1001),
        };
    }
    assert_eq!(shop.balance_cents().await, 100_000 - 29 * 100);
    assert_eq!(shop.database.top_ups().await, 29);
    shop.database.check().await;
}

#[tokio::test]
async fn a_wallet_that_is_empty_half_way_refuses_the_rest() {
    let shop = Shop::open_with(&NO_LIMIT).await;
    let holder = shop.database.hold_wallets().await;
    let begun = begin_together(&shop, (0..20).map(|_| order(9_000))).await;
    holder.batch_execute("rollback").await.unwrap();
    let codes: Vec<i64> = answers(begun).await.iter().map(Reply::code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 1001).count(), 11);
    assert_eq!(codes.iter().filter(|code| **code == 2002).count(), 9);
    assert_eq!(shop.balance_cents().await, 1_000);
    shop.database.check().await;
}

fn raw(key: &str, cents: i64) -> String {
    let body = order(cents).0.to_string();
    format!(
        "POST /api/public/v1/topup/send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn who_goes_away_while_waiting_takes_nobody_along() {
    let shop = Shop::open_with(&NO_LIMIT).await;
    let holder = shop.database.hold_wallets().await;
    let begun = begin_together(&shop, (0..10).map(|_| order(100))).await;
    let mut leaving = Vec::new();
    for _ in 0..5 {
        let mut wire = Wire::open(&shop.gateway.url).await;
        wire.write(raw(&shop.key, 500)).await;
        leaving.push(wire);
    }
    in_flight(&shop, 15).await;
    drop(leaving);
    in_flight(&shop, 10).await;
    holder.batch_execute("rollback").await.unwrap();
    for reply in answers(begun).await {
        reply.expect(200, 1001);
    }
    assert_eq!(shop.balance_cents().await, 99_000, "nothing was sent for who had left before its turn");
    shop.database.check().await;
}

#[tokio::test]
async fn the_first_may_go_away_and_the_others_have_their_turn() {
    let shop = Shop::open_with(&NO_LIMIT).await;
    let holder = shop.database.hold_wallets().await;
    let mut first = Wire::open(&shop.gateway.url).await;
    first.write(raw(&shop.key, 500)).await;
    shop.database.wait_for_waiting(1).await;
    let begun: Vec<_> = (0..10).map(|_| begin(&shop.client, order(100))).collect();
    in_flight(&shop, 11).await;
    drop(first);
    in_flight(&shop, 10).await;
    holder.batch_execute("rollback").await.unwrap();
    for reply in answers(begun).await {
        reply.expect(200, 1001);
    }
    shop.database.check().await;
}

#[tokio::test]
async fn those_that_wait_go_in_the_order_in_which_they_came() {
    let shop = Shop::open_with(&NO_LIMIT).await;
    let holder = shop.database.hold_wallets().await;
    let mut begun = begin_together(&shop, [order(100)]).await;
    for n in 1..8 {
        begun.push(begin(&shop.client, order(100)));
        in_flight(&shop, n + 1).await;
    }
    holder.batch_execute("rollback").await.unwrap();
    for (n, reply) in answers(begun).await.into_iter().enumerate() {
        assert_eq!(reply.expect(200, 1001).data()["new_balance_cents"], 99_900 - 100 * n as i64);
    }
}

#[tokio::test]
async fn a_key_whose_wallet_is_held_keeps_no_other_waiting() {
    let shop = Shop::open_with(&NO_LIMIT).await;
    let other = shop.gateway.client(&shop.database.staging_key().await);
    let app = shop.database.app(&shop.key).await;
    app.batch_execute("begin; select topup.send('claude', 100)").await.unwrap();
    // More than there are connections.
    let begun = begin_together(&shop, (0..60).map(|_| order(100))).await;
    let start = Instant::now();
    post(&other, &order(100)).await.expect(200, 1001);
    shop.client.get("/topup/balance").await.expect(200, 1000);
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
    app.batch_execute("commit").await.unwrap();
    for reply in answers(begun).await {
        reply.expect(200, 1001);
    }
    assert_eq!(shop.balance_cents().await, 100_000 - 6_100);
    shop.database.check().await;
}

#[tokio::test]
async fn a_batch_whose_end_is_unknown_is_not_sent_again() {
    let shop = Shop::open_with(&NO_LIMIT).await;
    let admin = shop.database.admin().await;
    let end = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
                where datname = current_database() and application_name = 'topup-gateway' and wait_event_type = 'Lock'";
    let holder = shop.database.hold_wallets().await;
    let begun = begin_together(&shop, (0..12).map(|_| order(100))).await;
    for _ in 0..2 {
        shop.database.wait_for_waiting(1).await;
        assert_eq!(admin.query_one(end, &[]).await.unwrap().get::<_, i64>(0), 1);
    }
    for reply in answers(begun).await {
        reply.expect(503, 5003);
    }
    holder.batch_execute("rollback").await.unwrap();
    post(&shop.client, &order(100)).await.expect(200, 1001);
    assert_eq!(shop.database.top_ups().await, 1);
    shop.database.check().await;
}

#[tokio::test]
async fn a_gateway_that_is_stopped_answers_those_that_wait() {
    let mut shop = Shop::open_with(&NO_LIMIT).await;
    let holder = shop.database.hold_wallets().await;
    let begun = begin_together(&shop, (0..120).map(|_| order(100))).await;
    shop.gateway.terminate();
    wait_until(LIMIT, "new connections are refused", async || Wire::try_open(&shop.gateway.url).await.err())
        .await;
    holder.batch_execute("rollback").await.unwrap();
    for reply in answers(begun).await {
        reply.expect(200, 1001);
    }
    assert_eq!(shop.gateway.ended().await.code(), Some(0));
    assert_eq!(shop.database.top_ups().await, 120);
    shop.database.check().await;
}
