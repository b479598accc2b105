//! Two or more who want the same thing at the same moment: exactly as many win as may.

use crate::support::play::typed_call;
use crate::support::{Client, Database, LIMIT, Shop, call, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::task::JoinSet;

const ROUNDS: usize = 10;
const SENDERS: usize = 20;

async fn shop() -> (Shop, Client, String) {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    let tenant = shop.database.tenant("Bolt").await;
    let scopes = "scopes => '{send,read,cancel,redeem,wallets,fulfil}'";
    let (_, key) = tenant.key("staging", scopes).await;
    let client = shop.gateway.client(&key);
    (shop, client, key)
}

/// Runs all of these at once, in turn over HTTP and SQL, and gives their codes.
async fn at_once(shop: &Shop, client: &Client, key: &str, requests: Vec<(&'static str, Value)>) -> Vec<i64> {
    let mut calls = JoinSet::new();
    for (number, (operation, request)) in requests.into_iter().enumerate() {
        if number % 2 == 0 {
            let client = client.clone();
            let path = format!("/topup/{operation}");
            calls.spawn(async move { client.post(&path, request).await.json });
        } else {
            let app = shop.database.app(key).await;
            calls.spawn(async move { call(&app, &typed_call(operation, &request, None)).await });
        }
    }
    calls.join_all().await.iter().map(|reply| reply["code"].as_i64().unwrap()).collect()
}

fn count(codes: &[i64], code: i64) -> usize {
    codes.iter().filter(|each| **each == code).count()
}

async fn pending(client: &Client) -> Value {
    let request =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
    json!({"transaction_id": client.post("/topup/send", request).await.expect(202, 1002).transaction_id()})
}

#[tokio::test]
async fn a_top_up_that_is_cancelled_delivered_and_failed_at_once_has_one_ending() {
    let (shop, client, key) = shop().await;
    let mut delivered = 0;
    for round in 0..ROUNDS {
        let top_up = pending(&client).await;
        let mut fail = top_up.clone();
        fail["reason"] = json!("broken");
        let mut requests = vec![
            ("cancel", top_up.clone()),
            ("deliver", top_up.clone()),
            ("fail", fail),
            ("cancel", top_up.clone()),
        ];
        requests.rotate_left(round % 4);
        let codes = at_once(&shop, &client, &key, requests).await;

        let endings: BTreeSet<i64> =
            codes.iter().copied().filter(|code| [1001, 1003, 3001].contains(code)).collect();
        assert_eq!(endings.len(), 1, "{codes:?}");
        let path = format!("/topup/status/{}", top_up["transaction_id"].as_str().unwrap());
        let status = client.get(&path).await;
        assert_eq!(BTreeSet::from([status.code()]), endings);
        delivered += i64::from(status.code() == 1001);
    }
    let balance = client.get("/topup/balance").await.expect(200, 1000);
    assert_eq!(balance.data()["balance_cents"], 100_000 - 1000 * delivered);
    shop.database.check().await;
}

#[tokio::test]
async fn cancelling_many_times_at_once_returns_the_money_once() {
    let (shop, client, key) = shop().await;
    let top_up = pending(&client).await;
    let codes = at_once(&shop, &client, &key, vec![("cancel", top_up); SENDERS]).await;
    assert_eq!(count(&codes, 3001), SENDERS, "{codes:?}");
    let balance = client.get("/topup/balance").await.expect(200, 1000);
    assert_eq!(balance.data()["balance_cents"], 100_000);
    shop.database.check().await;
}

#[tokio::test]
async fn of_many_bearers_of_a_voucher_one_redeems_it() {
    let (shop, client, key) = shop().await;
    for _ in 0..ROUNDS {
        let sent = client.post("/topup/send", json!({"platform": "claude", "amount_cents": 1000})).await;
        let voucher = &sent.data()["voucher_code"];
        let redeem =
            |n| ("redeem", json!({"voucher_code": voucher, "email": format!("bearer{n}@example.com")}));
        let codes = at_once(&shop, &client, &key, (0..6).map(redeem).collect()).await;
        assert_eq!((count(&codes, 1000), count(&codes, 3006)), (1, 5), "{codes:?}");
    }
    let credited = "select sum(balance)::text from topup.accounts where kind = 'customer'";
    let credited: Option<String> = shop.database.admin().await.query_one(credited, &[]).await.unwrap().get(0);
    assert_eq!(credited.unwrap().parse::<f64>().unwrap(), 10.0 * ROUNDS as f64);
    shop.database.check().await;
}

#[tokio::test]
async fn a_voucher_that_an_open_transaction_redeems_waits_for_its_end() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (first, second) = (database.app(&key).await, database.app(&key).await);
    let sent = call(&first, "topup.send('claude', 1000)").await;
    let voucher = sent["data"]["voucher_code"].as_str().unwrap();
    let redeem = |email: &str| format!("topup.redeem('{voucher}', email => '{email}')");

    first.batch_execute("begin").await.unwrap();
    assert_eq!(call(&first, &redeem("ann@example.com")).await["code"], 1000);
    let waiting = redeem("bob@example.com");
    let waiting = tokio::spawn(async move { call(&second, &waiting).await });
    let admin = database.admin().await;
    let waits =
        "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    wait_until(LIMIT, "the second bearer waits", async || admin.query_opt(waits, &[]).await.unwrap()).await;
    first.batch_execute("commit").await.unwrap();
    assert_eq!(waiting.await.unwrap()["code"], 3006);
    database.check().await;
}

#[tokio::test]
async fn many_senders_at_once_spend_what_the_wallet_holds_and_no_more() {
    let (shop, client, key) = shop().await;
    let app = shop.database.app(&key).await;
    call(&app, "topup.adjust('spend', 'USD', -945.01, 'other')").await;
    let send = ("send", json!({"platform": "claude", "amount_cents": 1000}));
    let codes = at_once(&shop, &client, &key, vec![send; SENDERS]).await;
    assert_eq!((count(&codes, 1001), count(&codes, 2002)), (5, SENDERS - 5), "{codes:?}");
    let balance = client.get("/topup/balance").await.expect(200, 1000);
    assert_eq!(balance.data()["balance_cents"], 499);
    shop.database.check().await;
}

#[tokio::test]
async fn many_senders_at_once_spend_up_to_the_cap_and_no_more() {
    let (shop, ..) = shop().await;
    let tenant = shop.database.tenant("Capped").await;
    let (_, key) = tenant.key("staging", "cap_cents => 5499, cap_period => 'day'").await;
    let client = shop.gateway.client(&key);
    let send = ("send", json!({"platform": "claude", "amount_cents": 1000}));
    let codes = at_once(&shop, &client, &key, vec![send; SENDERS]).await;
    assert_eq!((count(&codes, 1001), count(&codes, 2007)), (5, SENDERS - 5), "{codes:?}");
    let balance = client.get("/topup/balance").await.expect(200, 1000);
    assert_eq!(balance.data()["key"]["cap_used_cents"], 5000);
    assert_eq!(balance.data()["balance_cents"], 95_000);
    shop.database.check().await;
}

#[tokio::test]
async fn two_sends_to_one_new_address_make_one_customer() {
    let (shop, client, key) = shop().await;
    let send = |n: usize| {
        let email = if n.is_multiple_of(3) { "New@Example.com" } else { "new@example.com" };
        ("send", json!({"platform": "claude", "amount_cents": 100, "recipient_email": email}))
    };
    let codes = at_once(&shop, &client, &key, (0..SENDERS).map(send).collect()).await;
    assert_eq!(count(&codes, 1001), SENDERS, "{codes:?}");
    let admin = shop.database.admin().await;
    let customers: i64 = admin.query_one("select count(*) from topup.customers", &[]).await.unwrap().get(0);
    assert_eq!(customers, 1);
    shop.database.check().await;
}
