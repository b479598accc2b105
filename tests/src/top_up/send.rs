//! Top-ups over HTTP and SQL, as a client sees them: send, cancel, status, balance and history.

use crate::support::{Client, Database, Gateway, call};
use serde_json::{Value, json};

struct Shop {
    client: Client,
    key: String,
    // Dropped in this order: the gateway before its database.
    _gateway: Gateway,
    database: Database,
}

/// A gateway, and a client with the staging key of a new tenant.
async fn shop() -> Shop {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    Shop { client: gateway.client(&key), key, _gateway: gateway, database }
}

impl Shop {
    async fn send(&self, request: Value) -> crate::support::Reply {
        self.client.post("/topup/send", request).await
    }

    async fn balance_cents(&self) -> i64 {
        self.client.get("/topup/balance").await.expect(200, 1000).data()["balance_cents"].as_i64().unwrap()
    }
}

#[tokio::test]
async fn a_top_up_is_delivered_with_a_voucher_and_paid_from_the_wallet() {
    let shop = shop().await;
    let reply = shop.send(json!({"platform": "claude", "amount_cents": 1000})).await.expect(200, 1001);

    assert_eq!(reply.json["success"], true);
    assert_eq!(reply.json["status"], "delivered");
    assert!(reply.transaction_id().starts_with("txn_"));
    let voucher = reply.data()["voucher_code"].as_str().unwrap();
    assert_eq!((&voucher[..4], voucher.len()), ("ATU-", 23));
    assert_eq!(reply.data()["cost_cents"], 1000);
    assert_eq!(reply.data()["new_balance_cents"], 99_000);
    assert_eq!(shop.balance_cents().await, 99_000);
    shop.database.check().await;
}

#[tokio::test]
async fn the_status_of_a_top_up_is_the_reply_to_its_send() {
    let shop = shop().await;
    let sent = shop.send(json!({"platform": "gemini", "amount_cents": 2500})).await.expect(200, 1001);
    let status = shop.client.get(&format!("/topup/status/{}", sent.transaction_id())).await.expect(200, 1001);

    assert_eq!(status.json["transaction_id"], sent.json["transaction_id"]);
    assert_eq!(status.data()["voucher_code"], sent.data()["voucher_code"]);
    shop.client.get("/topup/status/txn_00000000000000000000000000").await.expect(404, 3003);
}

#[tokio::test]
async fn a_cancelled_top_up_returns_the_money() {
    let shop = shop().await;
    let request =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    let pending = shop.send(request).await.expect(202, 1002);
    assert_eq!(shop.balance_cents().await, 99_000);

    let cancel = json!({"transaction_id": pending.transaction_id()});
    let cancelled = shop.client.post("/topup/cancel", cancel.clone()).await.expect(200, 3001);
    assert_eq!(cancelled.data()["refunded_cents"], 1000);
    assert_eq!(cancelled.data()["new_balance_cents"], 100_000);
    assert_eq!(shop.balance_cents().await, 100_000);

    shop.client.post("/topup/cancel", cancel).await.expect(200, 3001);
    assert_eq!(shop.balance_cents().await, 100_000);
    shop.database.check().await;
}

#[tokio::test]
async fn a_delivered_top_up_cannot_be_cancelled() {
    let shop = shop().await;
    let sent = shop.send(json!({"platform": "claude", "amount_cents": 1000})).await.expect(200, 1001);
    let cancel = json!({"transaction_id": sent.transaction_id()});
    shop.client.post("/topup/cancel", cancel).await.expect(409, 3002);
}

#[tokio::test]
async fn history_gives_every_top_up_once_newest_first() {
    let shop = shop().await;
    let mut sent = Vec::new();
    for amount_cents in 100..107 {
        let reply = shop.send(json!({"platform": "chatgpt", "amount_cents": amount_cents})).await;
        sent.insert(0, reply.expect(200, 1001).transaction_id());
    }

    let mut listed = Vec::new();
    let mut path = "/topup/history?limit=3".to_owned();
    loop {
        let page = shop.client.get(&path).await.expect(200, 1000);
        let transactions = page.data()["transactions"].as_array().unwrap();
        assert!(transactions.len() <= 3);
        listed.extend(transactions.iter().map(|each| each["transaction_id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.data()["next_cursor"].as_str() else { break };
        path = format!("/topup/history?limit=3&cursor={cursor}");
    }
    assert_eq!(listed, sent);
}

#[tokio::test]
async fn sql_and_http_act_on_the_same_wallet() {
    let shop = shop().await;
    let app = shop.database.app(&shop.key).await;
    let sent = call(&app, "topup.send('claude', 1000)").await;
    assert_eq!(sent["code"], 1001);
    assert_eq!(shop.balance_cents().await, 99_000);

    let id = sent["transaction_id"].as_str().unwrap();
    shop.client.get(&format!("/topup/status/{id}")).await.expect(200, 1001);
}

#[tokio::test]
async fn a_request_without_a_key_is_refused() {
    let shop = shop().await;
    let stranger = shop._gateway.stranger();
    stranger.get("/topup/balance").await.expect(401, 2001);
    assert_eq!(shop.balance_cents().await, 100_000);
}
