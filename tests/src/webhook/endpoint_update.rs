//! Changing an endpoint, and what happens while it is off: kept, shown in the log, and delivered by a replay.

use crate::support::{
    Answer, Hook, LIMIT, Receiver, Shop, call, deliveries, wait_for_deliveries, wait_until,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

const URL: &str = "https://93.184.216.34/hook";

async fn listed(shop: &Shop, id: &str) -> Value {
    let list = shop.client.get("/webhooks").await.expect(200, 1000);
    list.data()["webhooks"].as_array().unwrap().iter().find(|each| each["id"] == id).unwrap().clone()
}

async fn change(shop: &Shop, id: &str, change: Value) -> Value {
    let reply = shop.client.patch(&format!("/webhooks/{id}"), change).await.expect(200, 1000);
    assert_eq!(reply.data(), &listed(shop, id).await, "the reply is the endpoint as listed");
    reply.data().clone()
}

#[tokio::test]
async fn what_is_not_given_stays() {
    let shop = Shop::open().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let hook = Hook::register(&shop.client, &old.url).await;
    let before = listed(&shop, &hook.id).await;
    assert_eq!(change(&shop, &hook.id, json!({})).await, before);
    for (field, value) in [
        ("url", json!(new.url)),
        ("events", json!(["topup.delivered"])),
        ("description", json!("Orders")),
        ("retry_schedule_s", json!([0, 1])),
    ] {
        let mut expected = listed(&shop, &hook.id).await;
        expected[field] = value.clone();
        assert_eq!(change(&shop, &hook.id, json!({field: value})).await, expected, "{field}");
    }
    assert_eq!(change(&shop, &hook.id, json!({"description": ""})).await["description"], Value::Null);
    shop.send().await.expect(200, 1001);
    let told = new.wait_for(1, LIMIT).await.remove(0);
    assert_eq!(old.connections(), 0);
    assert_eq!(told.json()["type"], "topup.delivered");
    let secret = "select secret from topup.webhook_secret";
    let secret = shop.database.admin().await.query_one(secret, &[]).await.unwrap();
    assert_eq!(secret.get::<_, String>(0), hook.secret);
}

#[tokio::test]
async fn a_change_is_judged_as_a_registration_is() {
    let shop = Shop::open_with(&[]).await;
    let hook = Hook::register(&shop.client, URL).await;
    let path = format!("/webhooks/{}", hook.id);
    for (status, code, field, request) in [
        (422, 5002, "url", json!({"url": "http://93.184.216.34/hook"})),
        (422, 5002, "url", json!({"url": "https://127.0.0.1/hook"})),
        (422, 5002, "url", json!({"url": "https://localhost/hook"})),
        (400, 2000, "events", json!({"events": []})),
        (400, 2000, "events", json!({"events": ["nothing"]})),
        (400, 2000, "retry_schedule_s", json!({"retry_schedule_s": [5, 1]})),
        (400, 2000, "description", json!({"description": "x".repeat(501)})),
        (400, 2000, "enabled", json!({"enabled": "yes"})),
        (400, 2000, "secret", json!({"secret": "whsec_"})),
    ] {
        let reply = shop.client.patch(&path, request.clone()).await.expect(status, code);
        assert_eq!(reply.data()["field"], field, "{request}");
    }
    let resolved = json!({"resolved_addresses": ["93.184.216.34"]});
    shop.client.patch(&path, resolved).await.expect(400, 2000);
    let stranger = shop.gateway.client(&shop.database.staging_key().await);
    stranger.patch(&path, json!({"enabled": false})).await.expect(404, 5004);
    let (_, narrow) = shop.database.tenant("Narrow").await.key("staging", "scopes => '{send,read}'").await;
    shop.gateway.client(&narrow).patch(&path, json!({})).await.expect(403, 2008);
    shop.client.delete(&path).await.expect(200, 1000);
    shop.client.patch(&path, json!({"enabled": true})).await.expect(404, 5004);
}

/// The statuses of the log, newest first.
async fn statuses(shop: &Shop) -> Vec<String> {
    let log = deliveries(&shop.client, "").await;
    log.iter().map(|delivery| delivery["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_happens_after_a_410_is_kept_and_replayed_once_it_is_on_again() {
    let shop = Shop::open().await;
    let answers = [Answer::Status(410), Answer::Status(204)];
    let (deployed, other) = (Receiver::start_with(answers).await, Receiver::start().await);
    let hook = Hook::register(&shop.client, &deployed.url).await;
    shop.send().await.expect(200, 1001);
    wait_for_deliveries(&shop.client, "failed", 1).await;
    assert!(listed(&shop, &hook.id).await["disabled_reason"].as_str().unwrap().contains("410"));

    // It was the only one, and what happens now is kept all the same.
    let sent = [shop.send().await.expect(200, 1001), shop.send_pending().await.expect(202, 1002)];
    wait_for_deliveries(&shop.client, "skipped", 2).await;
    let skipped = deliveries(&shop.client, "?status=skipped").await;
    assert_eq!((skipped.len(), &skipped[0]["attempts"]), (2, &json!([])));
    assert_eq!(
        (&skipped[0]["next_attempt_at"], &skipped[0]["event"]),
        (&Value::Null, &json!("topup.pending"))
    );
    let replay_one = format!("/webhooks/deliveries/{}/replay", skipped[0]["id"].as_str().unwrap());
    shop.client.post(&replay_one, json!({})).await.expect(502, 5001);
    let replay_all = format!("/webhooks/{}/replay", hook.id);
    let since = json!({"since": "2020-01-01T00:00:00Z", "status": "skipped"});
    shop.client.post(&replay_all, since.clone()).await.expect(502, 5001);

    // Switched on, it is told what happens from now on, and of what was only when it asks.
    let on = change(&shop, &hook.id, json!({"enabled": true, "url": other.url})).await;
    assert_eq!((&on["disabled_at"], &on["disabled_reason"]), (&Value::Null, &Value::Null));
    shop.send().await.expect(200, 1001);
    wait_for_deliveries(&shop.client, "succeeded", 1).await;
    assert_eq!(statuses(&shop).await, ["succeeded", "skipped", "skipped", "failed"]);
    shop.client.post(&replay_one, json!({})).await.expect(200, 1000);
    wait_for_deliveries(&shop.client, "succeeded", 2).await;
    let replayed = shop.client.post(&replay_all, since).await.expect(200, 1000);
    assert_eq!(replayed.data()["replayed"], 1);
    wait_for_deliveries(&shop.client, "succeeded", 3).await;
    let told: Vec<Value> = other.requests().iter().map(|request| request.json()["data"].clone()).collect();
    assert!(sent.iter().all(|reply| told.contains(&reply.json)), "{told:?}");
    assert_eq!(deployed.requests().len(), 1);
    shop.database.check().await;
}

#[tokio::test]
async fn a_410_is_told_to_the_other_endpoints() {
    let shop = Shop::open().await;
    let (gone, kept) = (Receiver::start_with([Answer::Status(410)]).await, Receiver::start().await);
    let hook = Hook::register(&shop.client, &gone.url).await;
    let wants = json!({"url": kept.url, "events": ["webhook.disabled"]});
    Hook::register_with(&shop.client, wants).await;
    shop.send().await.expect(200, 1001);
    let told = kept.wait_for(1, LIMIT).await[0].json();
    assert_eq!((&told["type"], &told["data"]["code"]), (&json!("webhook.disabled"), &json!(1000)));
    let (data, off) = (&told["data"]["data"], listed(&shop, &hook.id).await);
    assert_eq!((&data["webhook_id"], &data["url"]), (&json!(hook.id), &json!(gone.url)));
    assert_eq!((&data["disabled_at"], &data["reason"]), (&off["disabled_at"], &off["disabled_reason"]));
    assert_eq!(deliveries(&shop.client, "?event=webhook.disabled").await.len(), 1, "not to itself");
}

#[tokio::test]
async fn an_owner_switches_it_off_and_on_and_what_waits_meanwhile_is_kept() {
    let shop = Shop::open().await;
    let gate = Arc::new(Semaphore::new(0));
    let receiver = Receiver::start_with([Answer::Held(gate.clone())]).await;
    let request = json!({"url": receiver.url, "retry_schedule_s": [600, 601]});
    let hook = Hook::register_with(&shop.client, request).await;
    shop.send().await.expect(200, 1001);
    // It is queued, and switched off before its first attempt.
    let admin = shop.database.admin().await;
    wait_until(LIMIT, "it is queued", async || {
        let queued = "select exists (select from topup.effect)";
        admin.query_one(queued, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    let off = change(&shop, &hook.id, json!({"enabled": false})).await;
    assert_eq!(off["disabled_reason"], "Switched off by its owner.");
    let again = change(&shop, &hook.id, json!({"enabled": false})).await;
    assert_eq!(again["disabled_at"], off["disabled_at"]);
    admin.batch_execute("update topup.effect set due_at = clock_timestamp()").await.unwrap();
    wait_for_deliveries(&shop.client, "skipped", 1).await;
    assert_eq!(receiver.connections(), 0);
    change(&shop, &hook.id, json!({"enabled": true})).await;
    gate.add_permits(1);
    let log = deliveries(&shop.client, "").await;
    let replay = format!("/webhooks/deliveries/{}/replay", log[0]["id"].as_str().unwrap());
    shop.client.post(&replay, json!({})).await.expect(200, 1000);
    wait_for_deliveries(&shop.client, "succeeded", 1).await;
    shop.database.check().await;
}

#[tokio::test]
async fn an_endpoint_that_is_off_for_a_month_costs_no_more() {
    let shop = Shop::open_with(&["--allow-private-webhooks", "--no-worker"]).await;
    let hook = Hook::register(&shop.client, URL).await;
    change(&shop, &hook.id, json!({"enabled": false})).await;
    let admin = shop.database.admin().await;
    let waiting = async || {
        let count = "select count(*) from topup.outbox";
        admin.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    shop.send().await.expect(200, 1001);
    assert_eq!(waiting().await, 1);
    let earlier = "update topup.webhook_endpoint set disabled_at = disabled_at - interval '30 days 1 second'";
    admin.batch_execute(earlier).await.unwrap();
    wait_until(LIMIT, "the sessions have heard of it", async || {
        let before = waiting().await;
        shop.send().await.expect(200, 1001);
        (waiting().await == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sql_changes_an_endpoint_too() {
    let shop = Shop::open_with(&["--no-worker"]).await;
    let app = shop.database.app(&shop.key).await;
    let id = call(&app, &format!("topup.webhook_register('{URL}')")).await["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let off =
        call(&app, &format!("topup.webhook_update('{id}', events => '{{topup.failed}}', enabled => false)"))
            .await;
    assert_eq!((&off["code"], &off["data"]["events"]), (&json!(1000), &json!(["topup.failed"])));
    assert!(off["data"]["disabled_at"].is_string());
    let on = call(&app, &format!("topup.webhook_update('{id}', enabled => true)")).await;
    assert_eq!((&on["data"]["disabled_at"], &on["data"]["events"]), (&Value::Null, &json!(["topup.failed"])));
    assert_eq!(call(&app, "topup.webhook_update('whk_x', enabled => true)").await["code"], 5004);
}

#[tokio::test]
async fn whoever_leads_an_endpoint_elsewhere_sees_no_vouchers_that_its_key_may_not_see() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Two keys").await;
    let owner = shop.gateway.client(&tenant.key("staging", "").await.1);
    let narrow = tenant.key("staging", "scopes => '{send,read,webhooks}'").await.1;
    let receiver = Receiver::start().await;
    let hook = Hook::register(&owner, &receiver.url).await;
    let order = json!({"platform": "claude", "amount_cents": 1000});
    owner.post("/topup/send", order.clone()).await.expect(200, 1001);
    assert!(receiver.wait_for(1, LIMIT).await[0].body.contains("ATU-"));
    let change = json!({"url": format!("{}/elsewhere", receiver.url)});
    shop.gateway.client(&narrow).patch(&format!("/webhooks/{}", hook.id), change).await.expect(200, 1000);
    owner.post("/topup/send", order).await.expect(200, 1001);
    let told = receiver.wait_for(2, LIMIT).await.remove(1);
    assert!(told.path.ends_with("/elsewhere") && !told.body.contains("ATU-"), "{}", told.body);
}
