//! A send that comes again under its key is the same send, however often and by whichever way it comes.

use crate::support::{Client, Reply, Shop, call};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::Client as Session;

const AT_ONCE: usize = 50;

fn request() -> Value {
    json!({"platform": "claude", "amount_cents": 1000})
}

fn is_replayed(reply: &Reply) -> bool {
    reply.header("idempotent-replayed").is_some_and(|value| {
        assert_eq!(value, "true");
        true
    })
}

/// How many top-ups there are, by the sender's own history.
async fn sent(client: &Client) -> usize {
    let history = client.get("/topup/history").await.expect(200, 1000);
    history.data()["transactions"].as_array().unwrap().len()
}

/// What a call returns, as the text that the database gives.
async fn text_of(app: &Session, function_call: &str) -> String {
    app.query_one(&format!("select ({function_call})::text"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn fifty_sends_at_once_under_one_key_are_one_top_up() {
    let shop = Shop::open().await;
    let mut sends = JoinSet::new();
    for _ in 0..AT_ONCE {
        let client = shop.client.clone();
        sends.spawn(async move { client.post_once("/topup/send", request(), "order-1").await });
    }
    let replies: Vec<Reply> = sends.join_all().await;

    assert_eq!(replies.len(), AT_ONCE);
    for reply in &replies {
        assert_eq!((reply.status, &reply.text), (200, &replies[0].text));
    }
    assert_eq!(replies.iter().filter(|reply| is_replayed(reply)).count(), AT_ONCE - 1);
    assert_eq!(sent(&shop.client).await, 1);
    assert_eq!(shop.balance_cents().await, 99_000);
    shop.database.check().await;
}

#[tokio::test]
async fn fifty_sends_at_once_over_sql_are_one_top_up() {
    let shop = Shop::open().await;
    let mut sessions = Vec::new();
    for _ in 0..AT_ONCE {
        sessions.push(shop.database.app(&shop.key).await);
    }
    let mut sends = JoinSet::new();
    for session in sessions {
        sends.spawn(async move {
            text_of(&session, "topup.send('claude', 1000, idempotency_key => 'order-1')").await
        });
    }
    let replies = sends.join_all().await;

    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
    assert_eq!(serde_json::from_str::<Value>(&replies[0]).unwrap()["code"], 1001);
    assert_eq!(sent(&shop.client).await, 1);
    assert_eq!(shop.balance_cents().await, 99_000);
    shop.database.check().await;
}

#[tokio::test]
async fn a_key_used_over_http_is_the_same_key_over_sql() {
    let shop = Shop::open().await;
    let app = shop.database.app(&shop.key).await;
    let first = shop.client.post_once("/topup/send", request(), "order-1").await.expect(200, 1001);
    let again = call(&app, "topup.send('claude', 1000, idempotency_key => 'order-1')").await;
    assert_eq!(again, first.json);

    let first = call(&app, "topup.send('gemini', 2000, idempotency_key => 'order-2')").await;
    let gemini = json!({"platform": "gemini", "amount_cents": 2000});
    let again = shop.client.post_once("/topup/send", gemini, "order-2").await.expect(200, 1001);
    assert!(is_replayed(&again));
    assert_eq!(again.json, first);
    assert_eq!(shop.balance_cents().await, 97_000);
    shop.database.check().await;
}

#[tokio::test]
async fn another_request_under_a_used_key_is_refused_and_writes_nothing() {
    let shop = Shop::open().await;
    let first = shop.client.post_once("/topup/send", request(), "order-1").await.expect(200, 1001);
    let before = shop.database.contents().await;
    let others = [
        json!({"platform": "claude", "amount_cents": 1001}),
        json!({"platform": "gemini", "amount_cents": 1000}),
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann@example.com"}),
        json!({"platform": "claude", "amount_cents": 1000, "metadata": {"order": 1}}),
    ];
    for other in others {
        let reply = shop.client.post_once("/topup/send", other, "order-1").await.expect(409, 2006);
        assert!(!is_replayed(&reply));
        assert_eq!(reply.json["success"], false);
    }
    assert_eq!(shop.database.contents().await, before);

    let again = shop.client.post_once("/topup/send", request(), "order-1").await;
    assert_eq!(again.text, first.text);
}

#[tokio::test]
async fn one_key_twice_in_a_batch_is_one_top_up() {
    let shop = Shop::open().await;
    let app = shop.database.app(&shop.key).await;
    let batch = json!([
        {"platform": "claude", "amount_cents": 1000, "idempotency_key": "order-1"},
        {"platform": "claude", "amount_cents": 500},
        {"amount_cents": 1000, "idempotency_key": "order-1", "platform": "claude"},
        {"platform": "claude", "amount_cents": 1001, "idempotency_key": "order-1"},
        {"platform": "claude", "amount_cents": 500},
    ]);
    let rows = app.query("select reply from topup.send_many($1) as reply", &[&batch]).await.unwrap();
    let replies: Vec<Value> = rows.iter().map(|row| row.get(0)).collect();
    let codes: Vec<i64> = replies.iter().map(|reply| reply["code"].as_i64().unwrap()).collect();

    assert_eq!(codes, [1001, 1001, 1001, 2006, 1001]);
    assert_eq!(replies[0], replies[2]);
    assert_ne!(replies[1]["transaction_id"], replies[4]["transaction_id"]);
    assert_eq!(sent(&shop.client).await, 3);
    assert_eq!(shop.balance_cents().await, 98_000);
    shop.database.check().await;
}

#[tokio::test]
async fn space_and_field_order_do_not_make_another_request() {
    let shop = Shop::open().await;
    let bodies = [
        r#"{"platform":"claude","amount_cents":1000,"metadata":{"a":1,"b":"x"}}"#,
        r#"{"amount_cents":1000,"metadata":{"a":1,"b":"x"},"platform":"claude"}"#,
        "\n{ \"platform\" : \"claude\",\t\"metadata\": { \"a\" : 1 , \"b\" : \"x\" },\r\n \"amount_cents\":1000 }\n",
        r#"{"platform":"cl\u0061ude","metadata":{"b":"x","a":1},"amount_cents":1000}"#,
    ];
    let mut texts = Vec::new();
    for body in bodies {
        let post = shop.client.request(Method::POST, "/topup/send").header("idempotency-key", "order-1");
        let post = post.header("content-type", "application/json").body(body);
        texts.push(shop.client.send(post).await.expect(200, 1001).text);
    }
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    assert_eq!(shop.balance_cents().await, 99_000);
    shop.database.check().await;
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Poor").await;
    let (_, key) = tenant.key("live", "").await;
    let client = shop.gateway.client(&key);
    client.post_once("/topup/send", request(), "order-1").await.expect(402, 2002);
    client.post_once("/topup/send", request(), "order-1").await.expect(402, 2002);

    let admin = shop.database.admin().await;
    call(&admin, &format!("topup.fund('{}', 'live', 1500, 'deposit-1')", tenant.id)).await;
    let sent = client.post_once("/topup/send", request(), "order-1").await.expect(200, 1001);
    assert!(!is_replayed(&sent));
    let again = client.post_once("/topup/send", request(), "order-1").await.expect(200, 1001);
    assert!(is_replayed(&again));
    assert_eq!(again.text, sent.text);
    assert_eq!(sent.data()["new_balance_cents"], 500);

    // Nor does a refused request bind its key to itself.
    let too_small = json!({"platform": "claude", "amount_cents": 1});
    client.post_once("/topup/send", too_small, "order-2").await.expect(422, 2005);
    let other = json!({"platform": "claude", "amount_cents": 500});
    client.post_once("/topup/send", other, "order-2").await.expect(200, 1001);
    shop.database.check().await;
}

#[tokio::test]
async fn a_key_is_one_to_255_visible_ascii_characters() {
    let shop = Shop::open().await;
    let send = |key: HeaderValue| {
        let post = shop.client.request(Method::POST, "/topup/send").header("idempotency-key", key);
        shop.client.send(post.header("content-type", "application/json").body(request().to_string()))
    };
    let before = shop.database.contents().await;
    let long = "k".repeat(256);
    for bad in ["".as_bytes(), long.as_bytes(), b"a b", b"a\tb", "schlüssel".as_bytes(), b"\xff"] {
        let reply = send(HeaderValue::from_bytes(bad).unwrap()).await.expect(400, 2000);
        assert_eq!(reply.data()["field"], "Idempotency-Key", "{bad:?}: {}", reply.text);
    }
    let app = shop.database.app(&shop.key).await;
    for bad in ["", &long, "a b", " a", "a\nb", "schlüssel", "\u{7f}"] {
        let query = "select topup.send('claude', 1000, idempotency_key => $1)";
        let reply: Value = app.query_one(query, &[&bad]).await.unwrap().get(0);
        assert_eq!(
            (&reply["code"], &reply["data"]["field"]),
            (&json!(2000), &json!("idempotency_key")),
            "{bad:?}"
        );
    }
    assert_eq!(shop.database.contents().await, before);

    for good in ["k", &long[1..], "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"] {
        let reply = send(HeaderValue::from_str(good).unwrap()).await.expect(200, 1001);
        assert_eq!(send(HeaderValue::from_str(good).unwrap()).await.text, reply.text);
    }
    assert_eq!(shop.balance_cents().await, 97_000);
}

#[tokio::test]
async fn a_key_belongs_to_a_tenant_and_an_environment() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Bolt").await;
    let (_, staging) = tenant.key("staging", "").await;
    let (_, second) = tenant.key("staging", "name => 'second'").await;
    let (_, live) = tenant.key("live", "").await;
    call(&shop.database.admin().await, &format!("topup.fund('{}', 'live', 5000, 'deposit-1')", tenant.id))
        .await;

    let mut ids = Vec::new();
    for key in [&shop.key, &staging, &live] {
        let reply = shop.gateway.client(key).post_once("/topup/send", request(), "order-1").await;
        assert!(!is_replayed(&reply));
        ids.push(reply.expect(200, 1001).transaction_id());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);

    // Another API key of the same tenant and environment repeats the same request.
    let again = shop.gateway.client(&second).post_once("/topup/send", request(), "order-1").await;
    assert!(is_replayed(&again));
    assert_eq!(again.transaction_id(), ids[1]);
    shop.database.check().await;
}

#[tokio::test]
async fn a_repeated_send_is_answered_as_at_first_whatever_became_of_it() {
    let shop = Shop::open().await;
    let request =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    let first = shop.client.post_once("/topup/send", request.clone(), "order-1").await.expect(202, 1002);
    let cancel = json!({"transaction_id": first.transaction_id()});
    shop.client.post("/topup/cancel", cancel).await.expect(200, 3001);

    let again = shop.client.post_once("/topup/send", request, "order-1").await.expect(202, 1002);
    assert!(is_replayed(&again));
    assert_eq!(again.text, first.text);
    let status = shop.client.get(&format!("/topup/status/{}", first.transaction_id())).await;
    assert_eq!(status.json["status"], "cancelled");
    assert_eq!(shop.balance_cents().await, 100_000);
    shop.database.check().await;
}
