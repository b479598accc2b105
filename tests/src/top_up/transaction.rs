//! A top-up inside an application's own transaction: it commits or goes back with the application's rows.

use crate::support::{Database, Gateway, LIMIT, Receiver, call, sql_state};
use serde_json::json;
use tokio_postgres::Client;

/// A database with a table of an application's orders, and a session of that application.
async fn shop() -> (Database, Client, String) {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let orders = "create schema shop; create table shop.orders (id int primary key, transaction_id text);
                  grant usage, create on schema shop to app; grant all on shop.orders to app";
    database.admin().await.batch_execute(orders).await.unwrap();
    let app = database.app(&key).await;
    (database, app, key)
}

async fn count(client: &Client, from: &str) -> i64 {
    client.query_one(&format!("select count(*) from {from}"), &[]).await.unwrap().get(0)
}

async fn register(app: &Client, url: &str) {
    app.batch_execute("set topup.allow_private_webhooks = on").await.unwrap();
    assert_eq!(call(app, &format!("topup.webhook_register('{url}')")).await["code"], 1000);
}

#[tokio::test]
async fn a_rolled_back_top_up_leaves_nothing_behind() {
    let (database, app, _) = shop().await;
    register(&app, "http://127.0.0.1:9/hook").await;
    let before = database.contents().await;
    app.batch_execute("begin; insert into shop.orders values (1)").await.unwrap();
    assert_eq!(call(&app, "topup.send('claude', 1000, 'ann@example.com', 'order-1')").await["code"], 1001);
    assert_eq!(call(&app, "topup.send('claude', 1000, 'bob+pending@example.com')").await["code"], 1002);
    assert_eq!(call(&app, "topup.balance()").await["data"]["balance_cents"], 98_000);
    assert_eq!(count(&database.admin().await, "topup.deliveries").await, 0, "nobody else sees it yet");
    app.batch_execute("rollback").await.unwrap();

    assert!(database.contents().await == before);
    assert_eq!(count(&app, "shop.orders").await, 0);
    let again = call(&app, "topup.send('claude', 2000, 'ann@example.com', 'order-1')").await;
    assert_eq!(again["code"], 1001, "the idempotency key is free again");
    database.check().await;
}

#[tokio::test]
async fn a_committed_top_up_is_there_with_the_order_and_its_webhook_is_sent() {
    let (database, app, _) = shop().await;
    let receiver = Receiver::start().await;
    let _gateway = Gateway::start(&database).await;
    register(&app, &receiver.url).await;
    app.batch_execute("begin; insert into shop.orders values (1)").await.unwrap();
    call(&app, "topup.send('claude', 1000)").await;
    app.batch_execute("rollback; begin").await.unwrap();
    let sent = call(&app, "topup.send('claude', 2000)").await;
    let id = sent["transaction_id"].as_str().unwrap();
    app.execute("insert into shop.orders values (1, $1)", &[&id]).await.unwrap();
    app.batch_execute("commit").await.unwrap();

    let requests = receiver.wait_for(1, LIMIT).await;
    assert_eq!(requests[0].json()["data"]["transaction_id"], id);
    assert_eq!(requests[0].json()["data"]["data"], sent["data"]);
    let both = "shop.orders join topup.top_ups using (transaction_id)";
    assert_eq!(count(&app, both).await, 1);
    assert_eq!(count(&database.admin().await, "topup.deliveries").await, 1);
    assert_eq!(receiver.requests().len(), 1);
    database.check().await;
}

#[tokio::test]
async fn a_refusal_does_not_abort_the_callers_transaction() {
    let (database, app, _) = shop().await;
    app.batch_execute("begin; insert into shop.orders values (1)").await.unwrap();
    for (operation, code) in [
        ("send('nobody', 1000)", 2003),
        ("send('claude', 1)", 2005),
        ("send('claude', 1000, 'nobody')", 2004),
        ("send(null, null)", 2000),
        ("cancel('txn_1')", 3003),
        ("redeem('ATU-0', null, 'ann@example.com')", 3005),
        ("adjust('a', 'USD', -5000, 'other')", 2002),
        ("deliver('txn_1')", 2008),
        ("webhook_delete('whk_1')", 5004),
        ("webhook_register('ftp://example.com')", 5002),
    ] {
        assert_eq!(call(&app, &format!("topup.{operation}")).await["code"], code, "{operation}");
    }
    let (_, poor) = database.tenant("Poor").await.key("live", "").await;
    app.execute("select set_config('topup.api_key', $1, true)", &[&poor]).await.unwrap();
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 2002);
    app.batch_execute("set local topup.api_key = 'ak_live_wrong'").await.unwrap();
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 2001);
    app.batch_execute("commit").await.unwrap();
    assert_eq!(count(&app, "shop.orders").await, 1);
    assert_eq!(call(&app, "topup.balance()").await["data"]["balance_cents"], 100_000, "`set local` is over");
}

#[tokio::test]
async fn a_savepoint_takes_back_only_what_came_after_it() {
    let (database, app, _) = shop().await;
    register(&app, "http://127.0.0.1:9/hook").await;
    app.batch_execute("begin").await.unwrap();
    let first = call(&app, "topup.send('claude', 1000, null, 'a')").await;
    app.batch_execute("savepoint here").await.unwrap();
    call(&app, "topup.send('claude', 2000, 'ann@example.com', 'b')").await;
    app.batch_execute("rollback to here").await.unwrap();
    assert_eq!(call(&app, "topup.balance()").await["data"]["balance_cents"], 99_000);
    let third = call(&app, "topup.send('claude', 3000, 'ann@example.com', 'b')").await;
    assert_eq!(third["data"]["new_balance_cents"], 96_000);
    assert_eq!(call(&app, "topup.send('claude', 1000, null, 'a')").await, first);
    app.batch_execute("savepoint there; release there; commit").await.unwrap();

    let amounts =
        app.query("select amount_cents from topup.top_ups order by transaction_id", &[]).await.unwrap();
    assert_eq!(amounts.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [1000, 3000]);
    assert_eq!(count(&database.admin().await, "topup.deliveries").await, 2);
    assert_eq!(call(&app, "topup.balance()").await["data"]["key"]["month_volume_cents"], 4000);
    database.check().await;
}

#[tokio::test]
async fn a_functions_own_exception_block_takes_its_top_up_back() {
    let (database, app, _) = shop().await;
    let buy = "
        create function shop.buy(id int, cents bigint) returns text language plpgsql as $$
        declare
            reply jsonb;
        begin
            reply := topup.send(platform => 'claude', amount_cents => cents, idempotency_key => 'order-' || id);
            if not (reply->>'success')::boolean then
                return reply->'data'->>'message';
            end if;
            insert into shop.orders values (id, reply->>'transaction_id');
            return 'bought';
        exception when unique_violation then
            return 'ordered before';
        end $$";
    app.batch_execute(buy).await.unwrap();
    let buy = async |id: i32, cents: i64| -> String {
        app.query_one("select shop.buy($1, $2)", &[&id, &cents]).await.unwrap().get(0)
    };
    assert_eq!(buy(1, 1000).await, "bought");
    assert!(buy(2, 1).await.contains("100"), "the refusal says what may be sent");
    app.batch_execute("insert into shop.orders values (3)").await.unwrap();
    assert_eq!(buy(3, 500).await, "ordered before");
    assert_eq!(count(&app, "topup.top_ups").await, 1);
    assert_eq!(call(&app, "topup.balance()").await["data"]["balance_cents"], 99_000);
    let every = "select count(*) filter (where topup.send('gemini', 100)->>'code' = '1001') from generate_series(1, 20)";
    assert_eq!(app.query_one(every, &[]).await.unwrap().get::<_, i64>(0), 20);
    assert_eq!(call(&app, "topup.balance()").await["data"]["balance_cents"], 97_000);
    database.check().await;
}

#[tokio::test]
async fn stricter_isolation_gives_a_serialization_failure_and_a_retry_works() {
    let (database, app, key) = shop().await;
    let rival = database.app(&key).await;
    for (level, spent) in [("repeatable read", 0), ("serializable", 2000)] {
        app.batch_execute(&format!("begin isolation level {level}")).await.unwrap();
        let seen = call(&app, "topup.balance()").await;
        assert_eq!(seen["data"]["balance_cents"], 100_000 - spent);
        assert_eq!(call(&rival, "topup.send('claude', 1000)").await["code"], 1001);
        assert_eq!(sql_state(&app, "select topup.send('claude', 1000)").await, "40001", "{level}");
        app.batch_execute("rollback").await.unwrap();

        app.batch_execute(&format!("begin isolation level {level}")).await.unwrap();
        let retried = call(&app, "topup.send('claude', 1000)").await;
        assert_eq!(retried["data"]["new_balance_cents"], 98_000 - spent);
        app.batch_execute("commit").await.unwrap();
    }
    database.check().await;
}

#[tokio::test]
async fn an_old_snapshot_never_makes_a_second_top_up_of_one_key() {
    let (database, app, key) = shop().await;
    let rival = database.app(&key).await;
    for (n, call_text) in [
        "topup.send('claude', 1000, null, 'order-1')",
        "topup.adjust('gift-1', 'USD', 5, 'gift')",
        "topup.webhook_register('https://hooks.example.com/in', idempotency_key => 'hook-1')",
    ]
    .into_iter()
    .enumerate()
    {
        app.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
        let first = call(&rival, call_text).await;
        assert_eq!(first["success"], true, "{first}");
        assert_eq!(sql_state(&app, &format!("select {call_text}")).await, "40001", "{n}");
        app.batch_execute("rollback; begin isolation level repeatable read").await.unwrap();
        assert_eq!(call(&app, call_text).await, first);
        app.batch_execute("commit").await.unwrap();
    }
    let balance = call(&app, "topup.balance()").await;
    assert_eq!(balance["data"]["balance_cents"], json!(99_500));
    database.check().await;
}
