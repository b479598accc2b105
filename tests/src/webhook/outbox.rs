//! What sends have told and no worker has seen: it is in the log, it can be replayed, and it is fanned out once.

use crate::support::{Database, call};
use serde_json::{Value, json};
use tokio_postgres::Client;

const SEND: &str = "topup.send('claude', 100)";
const CLAIM: &str = "select lane, effect_id from topup.claim_effects(1000, 1000, '{}', 30)";

async fn register(app: &Client, name: &str, more: &str) -> String {
    let reply = call(app, &format!("topup.webhook_register('https://example.com/{name}'{more})")).await;
    reply["data"]["id"].as_str().unwrap().to_owned()
}

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// All of the log, in pages.
async fn log(app: &Client, filter: &str, page_size: usize) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut cursor = "null".to_owned();
    loop {
        let list = format!("topup.delivery_list(page_size => {page_size}, cursor => {cursor}{filter})");
        let page = call(app, &list).await;
        assert_eq!(page["code"], 1000, "{page}");
        found.extend(page["data"]["deliveries"].as_array().unwrap().iter().cloned());
        assert!(found.len() < 100, "the pages come to no end");
        match page["data"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("'{next}'"),
            None => return found,
        }
    }
}

fn ids(deliveries: &[Value]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_log_has_what_no_worker_has_seen_and_says_the_same_once_one_has() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    register(&app, "all", ", retry_schedule_s => '{900,960}'").await;
    let narrow = register(&app, "cancelled", ", events => '{topup.cancelled}'").await;
    for _ in 0..3 {
        assert_eq!(call(&app, SEND).await["code"], 1001);
    }
    admin.query(CLAIM, &[]).await.unwrap();
    let pending = call(&app, "topup.send('claude', 100, 'ann+pending@example.com')").await;
    let cancel = format!("topup.cancel('{}')", pending["transaction_id"].as_str().unwrap());
    assert_eq!(call(&app, &cancel).await["code"], 3001);
    assert_eq!(number(&admin, "select count(*) from topup.outbox").await, 2);

    let before = log(&app, "", 50).await;
    assert_eq!(before.len(), 6, "{before:#?}");
    assert!(ids(&before).is_sorted_by(|a, b| a > b), "newest first");
    let [newest, ..] = &before[..] else { unreachable!() };
    assert_eq!((&newest["event"], &newest["webhook_id"]), (&json!("topup.cancelled"), &json!(narrow)));
    assert_eq!((&newest["status"], &newest["attempts"]), (&json!("pending"), &json!([])));
    assert_eq!(newest["url"], "https://example.com/cancelled");
    let time = |field: &str| before[1][field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!((time("next_attempt_at") - time("created_at")).get_seconds(), 900);
    for page_size in [1, 2, 5] {
        assert_eq!(log(&app, "", page_size).await, before, "{page_size}");
    }
    let cancelled = log(&app, ", event => 'topup.cancelled'", 1).await;
    assert_eq!(ids(&cancelled), ids(&before[..2]));
    assert_eq!(log(&app, ", status => 'pending'", 50).await, before);
    assert_eq!(log(&app, ", status => 'failed'", 50).await, [] as [Value; 0]);
    database.check().await;

    // Nothing is due yet, so that a claim changes nothing but where things are.
    assert_eq!(admin.query(CLAIM, &[]).await.unwrap().len(), 1, "the one that is due at once");
    assert_eq!(number(&admin, "select count(*) from topup.outbox").await, 0);
    assert_eq!(log(&app, "", 50).await[1..], before[1..]);
    database.check().await;
}

#[tokio::test]
async fn what_waits_is_fanned_out_once_by_workers_that_come_together() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    for name in ["a", "b", "c"] {
        register(&app, name, "").await;
    }
    let many = format!("do $$ begin for n in 1..700 loop perform {SEND}; end loop; end $$");
    app.batch_execute(&many).await.unwrap();
    let work = async |worker: Client| {
        let mut claimed = Vec::new();
        for _ in 0..10 {
            let rows = worker.query(CLAIM, &[]).await.unwrap();
            claimed.extend(rows.iter().map(|row| row.get::<_, uuid::Uuid>(1)));
        }
        claimed
    };
    let (a, b, c) = (database.gateway().await, database.gateway().await, database.gateway().await);
    let (a, b, c) = tokio::join!(work(a), work(b), work(c));
    let mut claimed = [a, b, c].concat();
    assert_eq!(claimed.len(), 2100);
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 2100, "none was handed out twice");
    for (table, rows) in [("outbox", 0), ("event", 700), ("delivery", 2100), ("effect", 2100)] {
        assert_eq!(number(&admin, &format!("select count(*) from topup.{table}")).await, rows, "{table}");
    }
    database.check().await;
}

#[tokio::test]
async fn a_tenant_with_much_to_tell_leaves_room_for_another() {
    let database = Database::new().await;
    let (loud, quiet) = (database.staging_key().await, database.staging_key().await);
    let (loud, quiet) = (database.app(&loud).await, database.app(&quiet).await);
    register(&loud, "loud", "").await;
    register(&quiet, "quiet", "").await;
    // All that its wallet has, and the warning that it is low.
    let many = format!("do $$ begin for n in 1..1000 loop perform {SEND}; end loop; end $$");
    loud.batch_execute(&many).await.unwrap();
    let admin = database.admin().await;
    assert_eq!(number(&admin, "select count(*) from topup.outbox").await, 1001, "more than one claim takes");
    call(&quiet, SEND).await;
    let rows = admin.query(CLAIM, &[]).await.unwrap();
    let mut lanes: Vec<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
    lanes.sort();
    lanes.dedup();
    assert_eq!(lanes.len(), 2);
    database.check().await;
}

#[tokio::test]
async fn what_no_worker_has_seen_can_be_replayed() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    let webhook = register(&app, "hook", "").await;
    call(&app, SEND).await;
    let delivery = log(&app, "", 50).await.remove(0);
    let replayed =
        call(&app, &format!("topup.delivery_replay('{}')", delivery["id"].as_str().unwrap())).await;
    assert_eq!((&replayed["code"], &replayed["data"]["event_id"]), (&json!(1000), &delivery["event_id"]));
    call(&app, SEND).await;
    let range = call(&app, &format!("topup.webhook_replay('{webhook}', now() - interval '1 hour')")).await;
    assert_eq!(range["data"]["replayed"], 2, "{range}");
    assert_eq!(number(&admin, "select count(*) from topup.effect").await, 2);
    database.check().await;
}

/// Whatever becomes of a top-up before a worker sees it, what is told of its send is the reply to it, byte for byte.
#[tokio::test]
async fn what_is_told_of_a_send_is_what_was_replied() {
    let database = Database::new().await;
    let tenant = database.tenant("teller").await;
    let scopes = "tier => 'platinum', scopes => '{send,redeem,webhooks,fulfil}'";
    let (_, key) = tenant.key("staging", scopes).await;
    let (admin, gateway, app) = (database.admin().await, database.gateway().await, database.app(&key).await);
    register(&app, "hook", ", events => '{topup.delivered,topup.pending}'").await;
    let mut replies = Vec::new();
    for request in [
        json!({ "platform": "claude", "amount_cents": 12345, "metadata": { "voucher_code": "mine" } }),
        json!({ "platform": "chatgpt", "amount_cents": 100, "recipient_email": "Zo\u{eb}@example.com" }),
        json!({ "platform": "claude", "amount_cents": 200, "recipient_email": "b+pending@example.com" }),
        json!({ "platform": "gemini", "amount_cents": 300, "recipient_email": "b+fail@example.com" }),
    ] {
        let send = "select body from topup.call($1, 'send', $2)";
        let row = gateway.query_one(send, &[&key, &request.to_string()]).await.unwrap();
        replies.push(row.get::<_, String>(0));
    }
    let sent: Vec<Value> = replies.iter().map(|reply| serde_json::from_str(reply).unwrap()).collect();
    assert_eq!(sent.iter().map(|reply| &reply["code"]).collect::<Vec<_>>(), [1001, 1001, 1002, 1002]);
    let (voucher, pending) = (&sent[0]["data"]["voucher_code"], &sent[2]["transaction_id"]);
    let redeem = format!("topup.redeem('{}', email => 'c@example.com')", voucher.as_str().unwrap());
    assert_eq!(call(&app, &redeem).await["success"], true);
    let deliver = format!("topup.deliver('{}')", pending.as_str().unwrap());
    assert_eq!(call(&app, &deliver).await["success"], true);

    let wait = "select count(*) from topup.outbox where body is null";
    assert_eq!(number(&admin, wait).await, 4, "none is written twice");
    admin.query(CLAIM, &[]).await.unwrap();
    let told = r#"
        select body, format('{"id":"%s","type":"%s","created_at":"%s","environment":"staging","data":',
                            topup.format_id('evt', event_id), type, topup.rfc3339(created_at))
          from topup.event order by event_id"#;
    let rows = admin.query(told, &[]).await.unwrap();
    let (told, heads): (Vec<String>, Vec<String>) = rows.iter().map(|row| (row.get(0), row.get(1))).unzip();
    assert_eq!(told.len(), 5, "four sends and what was delivered later");
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!(told[n], format!("{}{reply}}}", heads[n]));
    }
    database.check().await;
}

/// Another tenant's, or of the other environment, is not fanned out and not seen.
#[tokio::test]
async fn the_log_is_of_one_environment_though_all_wait_in_one_place() {
    let database = Database::new().await;
    let (mine, other) = (database.staging_key().await, database.staging_key().await);
    let (mine, other) = (database.app(&mine).await, database.app(&other).await);
    for app in [&mine, &other] {
        register(app, "hook", "").await;
        call(app, SEND).await;
    }
    let (found, foreign) = (log(&mine, "", 50).await, log(&other, "", 50).await);
    assert_eq!((found.len(), foreign.len()), (1, 1));
    assert_ne!(ids(&found), ids(&foreign));
    let replay = format!("topup.delivery_replay('{}')", ids(&foreign)[0]);
    assert_eq!(call(&mine, &replay).await["code"], 5004);
    assert_eq!(number(&mine, "select count(*) from topup.deliveries").await, 1);
    let admin = database.admin().await;
    assert_eq!(number(&admin, "select count(*) from topup.outbox").await, 2, "a refusal fans nothing out");
    database.check().await;
}

/// What is told may be one of many, and its transaction may stay open: nobody else waits for it.
#[tokio::test]
async fn a_ping_or_replay_in_an_open_transaction_holds_up_no_other_event() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    let webhook = register(&app, "hook", "").await;
    for _ in 0..3 {
        call(&app, SEND).await;
    }
    let replayed = log(&app, "", 50).await.remove(1);
    app.batch_execute("begin").await.unwrap();
    let replay = format!("topup.delivery_replay('{}')", replayed["id"].as_str().unwrap());
    assert_eq!(call(&app, &replay).await["code"], 1000);
    assert_eq!(call(&app, &format!("topup.webhook_test('{webhook}')")).await["code"], 1002);
    admin.batch_execute("set statement_timeout = '5s'").await.unwrap();
    assert_eq!(admin.query(CLAIM, &[]).await.unwrap().len(), 2, "the two others");
    app.batch_execute("commit").await.unwrap();
    assert_eq!(admin.query(CLAIM, &[]).await.unwrap().len(), 2, "the replayed one and the ping");
    database.check().await;
}

#[tokio::test]
async fn what_cannot_be_fanned_out_holds_up_its_own_environment_alone() {
    let database = Database::new().await;
    let (bad, good) = (database.staging_key().await, database.staging_key().await);
    let (bad, good) = (database.app(&bad).await, database.app(&good).await);
    let admin = database.admin().await;
    register(&bad, "bad", ", events => '{topup.delivered}'").await;
    register(&good, "good", "").await;
    for app in [&bad, &good] {
        call(app, SEND).await;
        admin.query(CLAIM, &[]).await.unwrap();
    }
    let refuse = "create function refuse() returns trigger language plpgsql as $$
                  begin if (select url from topup.webhook_endpoint w where w.endpoint_id = new.endpoint_id) like '%bad'
                  then raise 'no'; end if; return new; end $$;
                  create trigger refuse before insert on topup.delivery for each row execute function refuse()";
    admin.batch_execute(refuse).await.unwrap();
    for app in [&bad, &bad, &good] {
        call(app, SEND).await;
    }
    assert_eq!(admin.query(CLAIM, &[]).await.unwrap().len(), 1, "the good one");
    assert_eq!(number(&admin, "select count(*) from topup.outbox").await, 2);
    database.check().await;
    admin.batch_execute("drop trigger refuse on topup.delivery").await.unwrap();
    assert_eq!(admin.query(CLAIM, &[]).await.unwrap().len(), 2);
    assert_eq!(number(&admin, "select count(*) from topup.outbox").await, 0);
    database.check().await;
}

/// A claim bounds its deliveries, not only its events.
#[tokio::test]
async fn an_event_with_many_endpoints_counts_for_as_many() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    for n in 0..50 {
        register(&app, &n.to_string(), "").await;
    }
    app.batch_execute(&format!("do $$ begin for n in 1..100 loop perform {SEND}; end loop; end $$"))
        .await
        .unwrap();
    admin.query(CLAIM, &[]).await.unwrap();
    assert_eq!(number(&admin, "select count(*) from topup.delivery").await, 1000);
    // Whatever became of an endpoint's schedule, an event is fanned out.
    admin.batch_execute("update topup.webhook_endpoint set retry_schedule_s = '{}'").await.unwrap();
    for _ in 0..4 {
        admin.query(CLAIM, &[]).await.unwrap();
    }
    assert_eq!(number(&admin, "select count(*) from topup.delivery").await, 5000);
    database.check().await;
}
