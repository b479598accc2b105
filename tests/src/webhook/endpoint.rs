//! Webhook endpoints: registering, listing, deleting, and the ping that tests one.

use crate::support::{
    Answer, Away, Database, Gateway, Hook, LIMIT, Receiver, Reply, Shop, call, deliveries, wait_until,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A public address that is never called: nothing happens in the tests that registered it.
const URL: &str = "https://93.184.216.34/hook";

async fn listed(shop: &Shop) -> Vec<Value> {
    shop.client.get("/webhooks").await.expect(200, 1000).data()["webhooks"].as_array().unwrap().clone()
}

/// Fails unless the fields follow each other in the text as they do here.
fn assert_order(text: &str, fields: &[&str]) {
    let places: Vec<_> = fields.iter().map(|field| text.find(&format!("\"{field}\":"))).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "not {fields:?}: {text}");
}

#[tokio::test]
async fn a_new_webhook_comes_with_a_secret_that_is_shown_once() {
    let shop = Shop::open().await;
    let request = json!({"url": URL, "description": "the books"});
    let reply = shop.client.post("/webhooks/register", request).await.expect(200, 1000);

    assert_order(&reply.text, &["data", "id", "url", "events", "secret", "created_at"]);
    assert_eq!(reply.data().as_object().unwrap().len(), 5);
    assert!(reply.data()["id"].as_str().unwrap().starts_with("whk_"));
    let secret = reply.data()["secret"].as_str().unwrap();
    let base64 = secret.strip_prefix("whsec_").unwrap();
    // 44 characters with one pad are 32 bytes.
    assert!(base64.len() == 44 && base64.ends_with('=') && !base64.ends_with("=="), "{secret}");

    let list = shop.client.get("/webhooks").await.expect(200, 1000);
    let webhook = &list.data()["webhooks"][0];
    for field in ["id", "url", "events", "created_at"] {
        assert_eq!(webhook[field], reply.data()[field], "{field}");
    }
    assert_eq!(webhook["description"], "the books");
    assert_eq!(webhook["retry_schedule_s"], json!([0, 5, 30]));
    assert_eq!(webhook["disabled_at"], Value::Null);
    assert!(!list.text.contains("whsec_") && !list.text.contains("secret"), "{}", list.text);
}

#[tokio::test]
async fn a_webhook_asks_for_all_types_or_for_those_it_names() {
    let shop = Shop::open().await;
    let all = shop.client.post("/webhooks/register", json!({"url": URL})).await.expect(200, 1000);
    let events = all.data()["events"].as_array().unwrap();
    for wanted in
        ["topup.delivered", "topup.pending", "topup.failed", "topup.cancelled", "balance.low", "ping"]
    {
        assert!(events.contains(&json!(wanted)), "{wanted} is missing: {events:?}");
    }
    let request = json!({"url": URL, "events": ["topup.failed", "balance.low"]});
    let some = shop.client.post("/webhooks/register", request).await.expect(200, 1000);
    assert_eq!(some.data()["events"], json!(["topup.failed", "balance.low"]));
}

#[tokio::test]
async fn a_bad_registration_says_which_field_is_wrong_and_registers_nothing() {
    let shop = Shop::open().await;
    let long = "x".repeat(501);
    for (field, request) in [
        ("url", json!({})),
        ("url", json!({"url": null})),
        ("url", json!({"url": 7})),
        ("events", json!({"url": URL, "events": ["topup.exploded"]})),
        ("events", json!({"url": URL, "events": []})),
        ("events", json!({"url": URL, "events": "topup.failed"})),
        ("secret", json!({"url": URL, "secret": "whsec_mine"})),
        ("description", json!({"url": URL, "description": long})),
        ("retry_schedule_s", json!({"url": URL, "retry_schedule_s": []})),
        ("retry_schedule_s", json!({"url": URL, "retry_schedule_s": [5, 0]})),
        ("retry_schedule_s", json!({"url": URL, "retry_schedule_s": [-1]})),
        ("retry_schedule_s", json!({"url": URL, "retry_schedule_s": [604_801]})),
        ("retry_schedule_s", json!({"url": URL, "retry_schedule_s": vec![0; 11]})),
    ] {
        let reply = shop.client.post("/webhooks/register", request.clone()).await;
        assert_eq!((reply.status, reply.code()), (400, 2000), "{request}: {}", reply.text);
        assert_eq!(reply.data()["field"], field, "{request}: {}", reply.text);
    }
    for url in ["", "example.com/hook", "ftp://example.com/hook", "https://", "javascript:alert(1)"] {
        let reply = shop.client.post("/webhooks/register", json!({"url": url})).await.expect(422, 5002);
        assert_eq!(reply.data()["field"], "url", "{url}");
    }
    // What a name resolved to is for the gateway to say.
    let resolved = json!({"url": URL, "resolved_addresses": ["93.184.216.34"]});
    shop.client.post("/webhooks/register", resolved).await.expect(400, 2000);
    assert_eq!(listed(&shop).await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_registration_under_the_same_key_is_made_once() {
    let shop = Shop::open().await;
    let first =
        shop.client.post_once("/webhooks/register", json!({"url": URL}), "w1").await.expect(200, 1000);
    let again =
        shop.client.post_once("/webhooks/register", json!({"url": URL}), "w1").await.expect(200, 1000);
    assert_eq!(again.text, first.text);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(listed(&shop).await.len(), 1);

    let other = json!({"url": URL, "events": ["topup.failed"]});
    shop.client.post_once("/webhooks/register", other, "w1").await.expect(409, 2006);
}

#[tokio::test]
async fn an_environment_has_at_most_a_hundred_webhooks() {
    let shop = Shop::open().await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(Hook::register(&shop.client, URL).await.id);
    }
    shop.client.post("/webhooks/register", json!({"url": URL})).await.expect(400, 2000);
    shop.client.delete(&format!("/webhooks/{}", ids[7])).await.expect(200, 1000);
    Hook::register(&shop.client, URL).await;
    assert_eq!(listed(&shop).await.len(), 100);
}

#[tokio::test]
async fn a_deleted_webhook_is_gone_and_hears_nothing_more() {
    let shop = Shop::open().await;
    let (gone, kept) = (Receiver::start().await, Receiver::start().await);
    let hook = Hook::register(&shop.client, &gone.url).await;
    Hook::register(&shop.client, &kept.url).await;
    let path = format!("/webhooks/{}", hook.id);
    shop.client.delete(&path).await.expect(200, 1000);

    assert_eq!(listed(&shop).await.len(), 1);
    shop.client.delete(&path).await.expect(404, 5004);
    shop.client.post(&format!("{path}/rotate"), json!({})).await.expect(404, 5004);
    shop.client.post(&format!("{path}/test"), json!({})).await.expect(404, 5004);
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    shop.client.post(&format!("{path}/replay"), since).await.expect(404, 5004);

    shop.send().await.expect(200, 1001);
    kept.wait_for(1, LIMIT).await;
    assert_eq!(gone.connections(), 0);
    assert_eq!(deliveries(&shop.client, "").await.len(), 1);
}

#[tokio::test]
async fn a_webhook_belongs_to_one_tenant_and_one_environment() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let tenant = shop.database.tenant("Owner").await;
    let owner = shop.gateway.client(&tenant.key("staging", "").await.1);
    let hook = Hook::register(&owner, &receiver.url).await;
    let sent = json!({"platform": "claude", "amount_cents": 1000});
    owner.post("/topup/send", sent).await.expect(200, 1001);
    receiver.wait_for(1, LIMIT).await;
    let delivery = deliveries(&owner, "").await[0]["id"].as_str().unwrap().to_owned();

    let live = shop.gateway.client(&tenant.key("live", "").await.1);
    for stranger in [&shop.client, &live] {
        let path = format!("/webhooks/{}", hook.id);
        stranger.delete(&path).await.expect(404, 5004);
        for (call, body) in
            [("rotate", json!({})), ("test", json!({})), ("replay", json!({"since": "2020-01-01T00:00:00Z"}))]
        {
            stranger.post(&format!("{path}/{call}"), body).await.expect(404, 5004);
        }
        let replay = format!("/webhooks/deliveries/{delivery}/replay");
        stranger.post(&replay, json!({})).await.expect(404, 5004);
        assert_eq!(stranger.get("/webhooks").await.expect(200, 1000).data()["webhooks"], json!([]));
        assert_eq!(deliveries(stranger, "").await, [] as [Value; 0]);
    }
    assert_eq!(owner.get("/webhooks").await.expect(200, 1000).data()["webhooks"][0]["id"], hook.id);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn an_id_that_is_none_of_a_webhook_is_not_found() {
    let shop = Shop::open().await;
    let never = format!("whk_{}", "0".repeat(26));
    for id in [never.as_str(), "whk_", "nonsense", "key_01h455vb4pex5vsknk084sn02q", "%F0%9F%92%A9"] {
        shop.client.delete(&format!("/webhooks/{id}")).await.expect(404, 5004);
        shop.client.post(&format!("/webhooks/{id}/rotate"), json!({})).await.expect(404, 5004);
        shop.client.post(&format!("/webhooks/{id}/test"), json!({})).await.expect(404, 5004);
        let replay = format!("/webhooks/deliveries/{id}/replay");
        shop.client.post(&replay, json!({})).await.expect(404, 5004);
    }
}

#[tokio::test]
async fn a_key_without_the_scope_cannot_touch_webhooks() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Narrow").await;
    let (_, key) = tenant.key("staging", "scopes => '{send,read}'").await;
    let client = shop.gateway.client(&key);
    client.post("/webhooks/register", json!({"url": URL})).await.expect(403, 2008);
    client.get("/webhooks").await.expect(403, 2008);
    client.get("/webhooks/deliveries").await.expect(403, 2008);
}

#[tokio::test]
async fn an_open_top_up_does_not_hold_up_webhooks() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let app = shop.database.app(&shop.key).await;
    app.batch_execute("begin").await.unwrap();
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 1001);

    let path = format!("/webhooks/{}", Hook::register(&shop.client, &receiver.url).await.id);
    shop.client.post(&format!("{path}/rotate"), json!({})).await.expect(200, 1000);
    shop.client.post(&format!("{path}/test"), json!({})).await.expect(200, 1000);
    shop.client.delete(&path).await.expect(200, 1000);
    app.batch_execute("commit").await.unwrap();
}

/// The test of a new webhook to this URL that asked for something else than pings.
async fn test(shop: &Shop, url: &str) -> Reply {
    let hook = Hook::register_with(&shop.client, json!({"url": url, "events": ["topup.failed"]})).await;
    shop.client.post(&format!("/webhooks/{}/test", hook.id), json!({})).await
}

#[tokio::test]
async fn the_test_of_a_webhook_sends_it_a_ping() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    test(&shop, &receiver.url).await.expect(200, 1000);

    let requests = receiver.requests();
    let ping = requests[0].json();
    assert_eq!((requests.len(), &ping["type"], &ping["environment"]), (1, &json!("ping"), &json!("staging")));
    assert_eq!(ping["data"]["code"], 1000);
    assert_eq!(deliveries(&shop.client, "?event=ping").await[0]["status"], "succeeded");
}

#[tokio::test]
async fn the_test_of_a_webhook_tells_what_its_receiver_said() {
    let shop = Shop::open().await;
    let broken = Receiver::start_with([Answer::Reply(500, "out of cheese".to_owned())]).await;
    let (gone, mute) =
        (Receiver::start_with([Answer::Status(410)]).await, Receiver::start_with([Answer::Hang]).await);
    let away = Away::new();
    let moved = Receiver::start_with([Answer::Redirect(broken.url.clone())]).await;
    // All at once, because the mute one takes its ten seconds.
    let (from_broken, from_gone, from_mute, from_away, from_moved) = tokio::join!(
        test(&shop, &broken.url),
        test(&shop, &gone.url),
        test(&shop, &mute.url),
        test(&shop, &away.url),
        test(&shop, &moved.url)
    );
    for (reply, words) in [
        (from_broken, "500: out of cheese"),
        (from_gone, "410"),
        (from_mute, "timed out after 10 s"),
        (from_away, "connection refused"),
        (from_moved, "302"),
    ] {
        // The test was carried out: the fault is the receiver's.
        let reply = reply.expect(200, 5001);
        assert_eq!(reply.json["success"], false);
        let message = reply.data()["message"].as_str().unwrap();
        assert!(message.contains(words), "{words}: {message}");
    }
    // A ping is tried once.
    assert_eq!((broken.requests().len(), mute.requests().len()), (1, 1));
}

#[tokio::test]
async fn the_test_of_a_mute_webhook_asks_the_database_a_handful_of_times() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let counted = "do $$ begin execute format('alter database %I set track_functions = ''all''', current_database()); end $$";
    admin.batch_execute(counted).await.unwrap();
    let key = database.staging_key().await;
    let gateway = Gateway::start(&database).await;
    let shop = Shop { client: gateway.client(&key), key, gateway, database };
    let mute = Receiver::start_with([Answer::Hang]).await;
    test(&shop, &mute.url).await.expect(200, 5001);
    let calls =
        "select coalesce(sum(calls), 0)::bigint from pg_stat_user_functions where funcname = 'call_many'";
    let calls = wait_until(LIMIT, "the calls are counted", async || {
        let calls: i64 = admin.query_one(calls, &[]).await.unwrap().get(0);
        (calls >= 4).then_some(calls)
    })
    .await;
    assert!(calls <= 12, "{calls} calls for a registration and a test of 10 s");
}

#[tokio::test]
async fn a_key_has_few_tests_of_webhooks_under_way() {
    let shop = Shop::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let slow = Receiver::start_with([Answer::Held(gate.clone())]).await;
    let mut path = String::new();
    let mut tests = tokio::task::JoinSet::new();
    for _ in 0..8 {
        path = format!("/webhooks/{}/test", Hook::register(&shop.client, &slow.url).await.id);
        let (client, path) = (shop.client.clone(), path.clone());
        tests.spawn(async move { client.post(&path, json!({})).await.code() });
    }
    slow.wait_for(8, LIMIT).await;
    let refused = shop.client.post(&path, json!({})).await.expect(429, 4001);
    assert!(refused.header("retry-after").is_some());
    gate.add_permits(20);
    while let Some(code) = tests.join_next().await {
        assert_eq!(code.unwrap(), 1000);
    }
    shop.client.post(&path, json!({})).await.expect(200, 1000);
}
