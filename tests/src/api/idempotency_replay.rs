//! Calls other than send under an Idempotency-Key: which repeat, which refuse, and for how long.

use crate::support::{Client, Database, Hook, LIMIT, Receiver, Reply, Shop, wait_for_deliveries, wait_until};
use serde_json::{Value, json};

/// Posts twice under one key; the second reply is the first, byte for byte, and says so.
async fn repeats(client: &Client, path: &str, body: Value, idempotency_key: &str) -> Reply {
    let first = client.post_once(path, body.clone(), idempotency_key).await;
    assert_eq!(first.status, 200, "{path}: {}", first.text);
    assert_eq!(first.header("idempotent-replayed"), None, "{path}");
    let again = client.post_once(path, body, idempotency_key).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text), "{path}");
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
    assert_eq!(again.header("content-type"), first.header("content-type"), "{path}");
    first
}

/// Lets every reply that is not kept for good run out, as 24 hours would.
async fn let_a_day_pass(database: &Database) {
    let age = "update topup.idempotency set expires_at = expires_at - interval '24 hours 1 second'";
    database.admin().await.execute(age, &[]).await.unwrap();
}

#[tokio::test]
async fn a_key_used_for_a_send_cannot_cancel() {
    let shop = Shop::open().await;
    let request =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    let sent = shop.client.post_once("/topup/send", request.clone(), "order-1").await.expect(202, 1002);
    let cancel = json!({"transaction_id": sent.transaction_id()});
    let before = shop.database.contents().await;
    shop.client.post_once("/topup/cancel", cancel.clone(), "order-1").await.expect(409, 2006);
    assert_eq!(shop.database.contents().await, before);

    shop.client.post_once("/topup/cancel", cancel, "order-2").await.expect(200, 3001);
    shop.client.post_once("/topup/send", request, "order-2").await.expect(409, 2006);
    assert_eq!(shop.balance_cents().await, 100_000);
    shop.database.check().await;
}

#[tokio::test]
async fn top_up_calls_repeat_their_reply_byte_for_byte() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Bolt").await;
    let (_, key) = tenant.key("staging", "scopes => '{send,read,cancel,redeem,fulfil}'").await;
    let client = shop.gateway.client(&key);
    let pending =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(client.post("/topup/send", pending.clone()).await.expect(202, 1002).transaction_id());
    }
    let cancelled = repeats(&client, "/topup/cancel", json!({"transaction_id": ids[0]}), "cancel-1").await;
    assert_eq!(cancelled.code(), 3001);
    let delivered = repeats(&client, "/topup/deliver", json!({"transaction_id": ids[1]}), "deliver-1").await;
    assert_eq!(delivered.code(), 1001);
    let fail = json!({"transaction_id": ids[2], "reason": "the platform is down"});
    assert_eq!(repeats(&client, "/topup/fail", fail, "fail-1").await.code(), 1003);

    let voucher = client.post("/topup/send", json!({"platform": "claude", "amount_cents": 500})).await;
    let redeem = json!({"voucher_code": voucher.data()["voucher_code"], "email": "bob@example.com"});
    repeats(&client, "/topup/redeem", redeem.clone(), "redeem-1").await.expect(200, 1000);
    client.post_once("/topup/redeem", redeem, "redeem-2").await.expect(409, 3006);
    let balance = client.get("/topup/balance").await;
    assert_eq!(balance.data()["balance_cents"], 100_000 - 1000 - 500);
    shop.database.check().await;
}

#[tokio::test]
async fn webhook_calls_repeat_their_reply_byte_for_byte() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let register = json!({"url": receiver.url, "description": "orders"});
    let registered = repeats(&shop.client, "/webhooks/register", register, "register-1").await;
    let id = registered.data()["id"].as_str().unwrap();
    let list = shop.client.get("/webhooks").await.expect(200, 1000);
    assert_eq!(list.text.matches(id).count(), 1);
    assert_eq!(list.text.matches("whk_").count(), 1, "{}", list.text);

    let path = format!("/webhooks/{id}/rotate");
    let rotated = repeats(&shop.client, &path, json!({"overlap_seconds": 60}), "rotate-1").await;
    assert_ne!(rotated.data()["secret"], registered.data()["secret"]);

    shop.send().await.expect(200, 1001);
    let log = wait_for_deliveries(&shop.client, "succeeded", 1).await;
    let path = format!("/webhooks/deliveries/{}/replay", log[0]["id"].as_str().unwrap());
    repeats(&shop.client, &path, json!({}), "replay-1").await;
    assert_eq!(receiver.wait_for(2, LIMIT).await.len(), 2);
    wait_for_deliveries(&shop.client, "succeeded", 1).await;

    let range = json!({"since": "2020-01-01T00:00:00Z"});
    let replayed = repeats(&shop.client, &format!("/webhooks/{id}/replay"), range, "range-1").await;
    assert_eq!(replayed.data()["replayed"], 1);
    let requests = receiver.wait_for(3, LIMIT).await;
    assert!(requests.iter().all(|each| each.header("webhook-id") == requests[0].header("webhook-id")));

    // Once more everything settles: what is not repeated by a client is not sent by us either.
    wait_for_deliveries(&shop.client, "succeeded", 1).await;
    assert_eq!(receiver.requests().len(), 3);
    shop.database.check().await;
}

#[tokio::test]
async fn a_webhook_key_cannot_be_used_for_another_webhook() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let one = Hook::register(&shop.client, &receiver.url).await;
    let two = Hook::register(&shop.client, &receiver.url).await;
    repeats(&shop.client, &format!("/webhooks/{}/rotate", one.id), json!({}), "rotate-1").await;
    let other = format!("/webhooks/{}/rotate", two.id);
    shop.client.post_once(&other, json!({}), "rotate-1").await.expect(409, 2006);
}

#[tokio::test]
async fn a_send_is_remembered_for_good_and_other_calls_for_a_day() {
    let shop = Shop::open().await;
    let request =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    let sent = shop.client.post_once("/topup/send", request.clone(), "order-1").await.expect(202, 1002);
    let cancel = json!({"transaction_id": sent.transaction_id()});
    repeats(&shop.client, "/topup/cancel", cancel.clone(), "cancel-1").await;
    let receiver = Receiver::start().await;
    let register = json!({"url": receiver.url});
    let first = repeats(&shop.client, "/webhooks/register", register.clone(), "register-1").await;
    let day = "select extract(epoch from min(expires_at) - now())::float8, extract(epoch from max(expires_at) - now())::float8
                 from topup.idempotency where expires_at is not null";
    let row = shop.database.admin().await.query_one(day, &[]).await.unwrap();
    let (least, most): (f64, f64) = (row.get(0), row.get(1));
    assert!(least > 86_300.0 && most <= 86_400.0, "{least} to {most} s");

    let_a_day_pass(&shop.database).await;
    let again = shop.client.post_once("/webhooks/register", register, "register-1").await.expect(200, 1000);
    assert_eq!(again.header("idempotent-replayed"), None);
    assert_ne!(again.data()["id"], first.data()["id"]);
    // The key is free again, also for another request.
    let small = json!({"platform": "claude", "amount_cents": 100});
    shop.client.post_once("/topup/send", small, "cancel-1").await.expect(200, 1001);

    let kept = shop.client.post_once("/topup/send", request, "order-1").await.expect(202, 1002);
    assert_eq!(kept.text, sent.text);
    assert_eq!(kept.header("idempotent-replayed"), Some("true"));
    assert_eq!(shop.balance_cents().await, 99_900);
    shop.database.check().await;
}

#[tokio::test]
async fn replies_that_ran_out_are_cleared_away_and_those_of_sends_are_not() {
    let shop = Shop::open().await;
    let request =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    let sent = shop.client.post_once("/topup/send", request.clone(), "order-1").await.expect(202, 1002);
    let cancel = json!({"transaction_id": sent.transaction_id()});
    shop.client.post_once("/topup/cancel", cancel, "cancel-1").await.expect(200, 3001);
    let_a_day_pass(&shop.database).await;

    let admin = shop.database.admin().await;
    let left = "select string_agg(key, ' ' order by key) from topup.idempotency where namespace = 'key'";
    wait_until(LIMIT, "the old reply is cleared away", async || {
        // As the worker does, whenever something is due.
        admin.execute("select topup.run_due(100)", &[]).await.unwrap();
        let keys: Option<String> = admin.query_one(left, &[]).await.unwrap().get(0);
        (keys.as_deref() == Some("order-1")).then_some(())
    })
    .await;
    let again = shop.client.post_once("/topup/send", request, "order-1").await;
    assert_eq!(again.text, sent.text);
}
