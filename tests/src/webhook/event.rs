//! What webhooks tell, and to whom: the events of top-ups and wallets.

use crate::support::{Hook, LIMIT, Receiver, Request, Shop, call, deliveries};
use serde_json::{Value, json};

/// The events of these types that a receiver got, as soon as there is one of each, in this order.
async fn events(receiver: &Receiver, types: &[&str]) -> Vec<Value> {
    let bodies: Vec<Value> = receiver.wait_for(types.len(), LIMIT).await.iter().map(Request::json).collect();
    assert_eq!(bodies.len(), types.len(), "{bodies:?}");
    let of_type = |wanted: &&str| bodies.iter().find(|body| body["type"] == *wanted).cloned();
    types.iter().map(|wanted| of_type(wanted).unwrap_or_else(|| panic!("no {wanted}: {bodies:?}"))).collect()
}

fn to(recipient_email: &str) -> Value {
    json!({"platform": "claude", "amount_cents": 1000, "recipient_email": recipient_email})
}

#[tokio::test]
async fn a_delivered_top_up_is_told_with_the_envelope_of_its_send() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    Hook::register(&shop.client, &receiver.url).await;
    let sent = shop.send().await.expect(200, 1001);

    let request = &receiver.wait_for(1, LIMIT).await[0];
    assert_eq!(request.header("content-type"), "application/json");
    let body = request.json();
    let places: Vec<_> = ["id", "type", "created_at", "environment", "data"]
        .map(|field| request.body.find(&format!("\"{field}\":")).unwrap())
        .into();
    assert!(places.is_sorted() && request.body.starts_with("{\"id\":\"evt_"), "{}", request.body);
    assert_eq!(body.as_object().unwrap().len(), 5);
    assert_eq!(body["type"], "topup.delivered");
    assert_eq!(body["environment"], "staging");
    assert_eq!(body["data"], sent.json);
    assert_eq!(body["id"], request.header("webhook-id"));
}

#[tokio::test]
async fn a_cancelled_top_up_is_told_when_pending_and_when_cancelled() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    Hook::register(&shop.client, &receiver.url).await;
    let sent = shop.send_pending().await.expect(202, 1002);
    receiver.wait_for(1, LIMIT).await;
    let cancel = json!({"transaction_id": sent.transaction_id()});
    shop.client.post("/topup/cancel", cancel.clone()).await.expect(200, 3001);

    let told = events(&receiver, &["topup.pending", "topup.cancelled"]).await;
    assert_eq!(told[0]["data"], sent.json);
    assert_ne!(told[0]["id"], told[1]["id"]);
    // The envelope of the transaction, as its status gives it.
    let path = format!("/topup/status/{}", sent.transaction_id());
    let status = shop.client.get(&path).await.expect(200, 3001);
    for field in ["success", "code", "transaction_id", "status", "data"] {
        assert_eq!(told[1]["data"][field], status.json[field], "{field}");
    }

    // Cancelling again changes nothing, so there is nothing to tell.
    shop.client.post("/topup/cancel", cancel).await.expect(200, 3001);
    assert_eq!(deliveries(&shop.client, "").await.len(), 2);
    shop.database.check().await;
}

#[tokio::test]
async fn a_top_up_that_fails_by_itself_is_told_as_pending_and_then_as_failed() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    Hook::register(&shop.client, &receiver.url).await;
    let sent = shop.client.post("/topup/send", to("ann+fail@example.com")).await.expect(202, 1002);

    let told = events(&receiver, &["topup.pending", "topup.failed"]).await;
    for (event, code, status) in [(&told[0], 1002, "pending"), (&told[1], 1003, "failed")] {
        assert_eq!(event["data"]["transaction_id"], sent.transaction_id());
        assert_eq!((&event["data"]["code"], &event["data"]["status"]), (&json!(code), &json!(status)));
    }
    let path = format!("/topup/status/{}", sent.transaction_id());
    shop.client.get(&path).await.expect(200, 1003);
    assert_eq!(shop.balance_cents().await, 100_000);
    shop.database.check().await;
}

#[tokio::test]
async fn a_webhook_hears_only_the_types_it_asked_for() {
    let shop = Shop::open().await;
    let (all, failures) = (Receiver::start().await, Receiver::start().await);
    Hook::register(&shop.client, &all.url).await;
    let some = json!({"url": failures.url, "events": ["topup.failed"]});
    Hook::register_with(&shop.client, some).await;
    shop.send().await.expect(200, 1001);
    shop.client.post("/topup/send", to("ann+fail@example.com")).await.expect(202, 1002);

    events(&all, &["topup.delivered", "topup.pending", "topup.failed"]).await;
    events(&failures, &["topup.failed"]).await;
    assert_eq!(deliveries(&shop.client, "").await.len(), 4);
}

#[tokio::test]
async fn a_low_balance_is_told_once_until_the_wallet_recovers() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let tenant = shop.database.tenant("Thrifty").await;
    let client = shop.gateway.client(&tenant.key("staging", "").await.1);
    Hook::register_with(&client, json!({"url": receiver.url, "events": ["balance.low"]})).await;
    let admin = shop.database.admin().await;
    let threshold = "select topup.set_low_balance($1, 'staging', 98000)";
    admin.execute(threshold, &[&tenant.id]).await.unwrap();
    let send = async || {
        let request = json!({"platform": "claude", "amount_cents": 1000});
        client.post("/topup/send", request).await.expect(200, 1001)
    };

    send().await; // 99,000
    send().await; // 98,000: at the threshold, not below it
    assert_eq!(deliveries(&client, "").await.len(), 0);
    send().await; // 97,000
    send().await; // 96,000: below already
    let low = receiver.wait_for(1, LIMIT).await[0].json();
    assert_eq!(low["type"], "balance.low");
    assert_eq!(low["data"]["data"]["balance_cents"], 97_000);
    assert_eq!(low["data"]["data"]["low_balance_threshold_cents"], 98_000);
    assert_eq!(deliveries(&client, "").await.len(), 1);

    let fund = "select topup.fund($1, 'staging', 2500, 'more')";
    admin.execute(fund, &[&tenant.id]).await.unwrap();
    send().await; // 97,500
    let again = receiver.wait_for(2, LIMIT).await[1].json();
    assert_eq!(again["data"]["data"]["balance_cents"], 97_500);
    assert_eq!(deliveries(&client, "").await.len(), 2);
    shop.database.check().await;
}

#[tokio::test]
async fn staging_and_live_tell_each_their_own() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Both").await;
    let admin = shop.database.admin().await;
    admin.execute("select topup.fund($1, 'live', 5000, 'first')", &[&tenant.id]).await.unwrap();
    let mut told = Vec::new();
    for environment in ["staging", "live"] {
        let client = shop.gateway.client(&tenant.key(environment, "").await.1);
        let receiver = Receiver::start().await;
        Hook::register(&client, &receiver.url).await;
        told.push((environment, client, receiver));
    }
    let mut sent = Vec::new();
    for (_, client, _) in &told {
        let request = json!({"platform": "claude", "amount_cents": 1000});
        sent.push(client.post("/topup/send", request).await.expect(200, 1001));
    }
    for ((environment, client, receiver), sent) in told.iter().zip(&sent) {
        let event = &events(receiver, &["topup.delivered"]).await[0];
        assert_eq!(event["environment"], *environment);
        assert_eq!(event["data"]["transaction_id"], sent.transaction_id());
        assert_eq!(deliveries(client, "").await.len(), 1);
    }
    shop.database.check().await;
}

#[tokio::test]
async fn a_webhook_comes_with_the_commit_and_never_after_a_rollback() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    Hook::register(&shop.client, &receiver.url).await;
    let other = Receiver::start().await;
    let hook = Hook::register(&shop.client, &other.url).await;
    let app = shop.database.app(&shop.key).await;

    app.batch_execute("begin").await.unwrap();
    let undone = call(&app, "topup.send('claude', 1000)").await;
    assert_eq!(undone["code"], 1001);
    app.batch_execute("rollback; begin").await.unwrap();
    let held_back = call(&app, "topup.send('gemini', 2000)").await;
    // The gateway looks for work, and finds a ping only.
    shop.client.post(&format!("/webhooks/{}/test", hook.id), json!({})).await.expect(200, 1000);
    assert_eq!(receiver.requests().len(), 0);
    app.batch_execute("commit").await.unwrap();

    let told = receiver.wait_for(1, LIMIT).await;
    assert_eq!(told[0].json()["data"], held_back);
    let log = deliveries(&shop.client, "?event=topup.delivered").await;
    assert_eq!((log.len(), receiver.requests().len()), (2, 1));
    assert_eq!(shop.balance_cents().await, 98_000);
    shop.database.check().await;
}
