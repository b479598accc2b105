//! Deliveries of webhooks: attempts and retries, their log, and replays out of it.

use crate::support::{
    Answer, Away, Hook, LIMIT, Receiver, Shop, deliveries, wait_for_deliveries, wait_until,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How late an attempt may be on a busy machine.
const LATE_S: f64 = 3.0;

/// The default schedule and the time that the last attempt may take.
const SCHEDULE_LIMIT: Duration = Duration::from_secs(45);

fn time_s(value: &Value) -> f64 {
    value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1000.0
}

fn attempts(delivery: &Value) -> &Vec<Value> {
    delivery["attempts"].as_array().unwrap()
}

async fn replay(shop: &Shop, delivery: &Value) {
    let path = format!("/webhooks/deliveries/{}/replay", delivery["id"].as_str().unwrap());
    let reply = shop.client.post(&path, json!({})).await.expect(200, 1000);
    assert_eq!(reply.data()["event_id"], delivery["event_id"]);
}

/// An endpoint with this schedule, in seconds.
async fn hook(shop: &Shop, url: &str, retry_schedule_s: &[i32]) -> Hook {
    Hook::register_with(&shop.client, json!({"url": url, "retry_schedule_s": retry_schedule_s})).await
}

/// Fails unless the log shows attempts at these seconds after the first, each ended by this.
fn assert_attempts(delivery: &Value, expected: &[(f64, Option<u16>, &str)]) {
    let found = attempts(delivery);
    assert_eq!(found.len(), expected.len(), "{delivery}");
    let mut first_s = time_s(&delivery["created_at"]);
    assert!((-0.01..LATE_S).contains(&(time_s(&found[0]["attempted_at"]) - first_s)), "{delivery}");
    first_s = time_s(&found[0]["attempted_at"]);
    for (number, (attempt, (after_s, http_status, error))) in found.iter().zip(expected).enumerate() {
        assert_eq!(attempt["number"], number + 1);
        let late_s = time_s(&attempt["attempted_at"]) - first_s - after_s;
        assert!((-0.1..LATE_S).contains(&late_s), "attempt {number} is {late_s} s late: {delivery}");
        assert_eq!(attempt["http_status"], json!(http_status), "{delivery}");
        let said = attempt["error"].as_str().unwrap_or_default();
        assert!(said.contains(error), "{error:?} is not in {said:?}");
    }
}

#[tokio::test]
async fn a_receiver_in_trouble_is_tried_at_0_5_and_30_seconds_and_a_replay_succeeds_later() {
    let shop = Shop::open().await;
    let elsewhere = Receiver::start().await;
    let [broken, mute, moved, resetting, closing] = [
        [Answer::Status(500), Answer::Status(500)],
        [Answer::Hang, Answer::Status(503)],
        [Answer::Redirect(elsewhere.url.clone()), Answer::Redirect(elsewhere.url.clone())],
        [Answer::Reset, Answer::Reset],
        [Answer::Close, Answer::Close],
    ]
    .map(Receiver::start_with);
    let receivers = [broken.await, mute.await, moved.await, resetting.await, closing.await];
    let away = Away::new();
    let urls: Vec<String> =
        receivers.iter().map(|receiver| &receiver.url).chain([&away.url]).cloned().collect();
    for url in &urls {
        Hook::register(&shop.client, url).await;
    }
    shop.send().await.expect(200, 1001);
    for receiver in &receivers {
        receiver.wait_for(3, SCHEDULE_LIMIT).await;
    }
    let log = wait_for_deliveries(&shop.client, "failed", 6).await;
    let of = |log: &[Value], url: &str| log.iter().find(|each| each["url"] == url).unwrap().clone();

    let no_answer = "without answering";
    for (url, first_retry_s, endings) in [
        (&urls[0], 5.0, [(Some(500), "HTTP 500"); 3]),
        (&urls[1], 10.0, [(None, "timed out after 10 s"), (Some(503), "503"), (Some(503), "503")]),
        (&urls[2], 5.0, [(Some(302), "redirects are not followed"); 3]),
        (&urls[3], 5.0, [(None, "connection reset"); 3]),
        (&urls[4], 5.0, [(None, no_answer); 3]),
        (&urls[5], 5.0, [(None, "connection refused"); 3]),
    ] {
        let [first, second, third] = endings;
        let expected =
            [(0.0, first.0, first.1), (first_retry_s, second.0, second.1), (30.0, third.0, third.1)];
        assert_attempts(&of(&log, url), &expected);
    }
    assert_eq!(elsewhere.connections(), 0);

    receivers.iter().for_each(|receiver| receiver.answer([Answer::Status(204)]));
    let _back = away.come_back([Answer::Status(204)]);
    for delivery in &log {
        replay(&shop, delivery).await;
    }
    for delivery in wait_for_deliveries(&shop.client, "succeeded", 6).await {
        assert_eq!(attempts(&delivery).len(), 4);
        assert_eq!(attempts(&delivery)[3]["error"], Value::Null);
    }
}

#[tokio::test]
async fn every_attempt_carries_the_same_body_and_id_and_a_time_of_its_own() {
    let shop = Shop::open().await;
    let receiver = Receiver::start_with([500, 500, 201].map(Answer::Status)).await;
    // Times are said in whole seconds, and an attempt may be late: the last ones are two apart.
    hook(&shop, &receiver.url, &[0, 1, 3]).await;
    shop.send().await.expect(200, 1001);
    let requests = receiver.wait_for(3, LIMIT).await;
    for pair in requests.windows(2) {
        assert_eq!(pair[0].body, pair[1].body);
        assert_eq!(pair[0].header("webhook-id"), pair[1].header("webhook-id"));
        for name in ["webhook-timestamp", "webhook-signature", "x-aitopup-signature"] {
            assert_ne!(pair[0].header(name), pair[1].header(name), "{name}");
        }
    }
    let log = wait_for_deliveries(&shop.client, "succeeded", 1).await;
    assert_attempts(&log[0], &[(0.0, Some(500), "500"), (1.0, Some(500), "500"), (3.0, Some(201), "")]);
    assert_eq!(log[0]["next_attempt_at"], Value::Null);
}

#[tokio::test]
async fn the_log_shows_an_attempt_in_full() {
    let shop = Shop::open().await;
    let receiver = Receiver::start_with([Answer::Reply(418, "short and stout".to_owned())]).await;
    let hook = hook(&shop, &receiver.url, &[0, 600]).await;
    let sent = shop.send().await.expect(200, 1001);
    let event = receiver.wait_for(1, LIMIT).await[0].json();
    let delivery = wait_until(LIMIT, "the attempt is in the log", async || {
        deliveries(&shop.client, "").await.into_iter().find(|delivery| !attempts(delivery).is_empty())
    })
    .await;

    assert!(delivery["id"].as_str().unwrap().starts_with("dlv_"));
    assert_eq!(delivery["event_id"], event["id"]);
    assert_eq!((&delivery["event"], &event["data"]), (&json!("topup.delivered"), &sent.json));
    assert_eq!((&delivery["webhook_id"], &delivery["url"]), (&json!(hook.id), &json!(receiver.url)));
    assert_eq!(delivery["status"], "pending");
    let attempt = &attempts(&delivery)[0];
    assert_eq!(attempt["response"], "short and stout");
    assert_eq!((&attempt["http_status"], &attempt["error"]), (&json!(418), &json!("HTTP 418")));
    assert!((0..2000).contains(&attempt["duration_ms"].as_i64().unwrap()), "{attempt}");
    let next_s = time_s(&delivery["next_attempt_at"]) - time_s(&attempt["attempted_at"]);
    assert!((599.9..603.0).contains(&next_s), "{next_s}");
}

#[tokio::test]
async fn of_a_long_answer_the_log_keeps_the_first_kibibyte() {
    let shop = Shop::open().await;
    let long = ["x".repeat(20_000_000), "ä€".repeat(1000), "a\0b".repeat(1000)];
    let receiver = Receiver::start_with(long.clone().map(|text| Answer::Reply(500, text))).await;
    hook(&shop, &receiver.url, &[0, 0, 0]).await;
    shop.send().await.expect(200, 1001);
    let log = wait_for_deliveries(&shop.client, "failed", 1).await;
    for (attempt, text) in attempts(&log[0]).iter().zip(&long) {
        let kept = attempt["response"].as_str().unwrap().trim_end_matches('\u{fffd}');
        assert!((1000..=1024).contains(&kept.len()), "{} bytes", kept.len());
        // Postgres holds no NUL.
        assert!(text.replace('\0', "\u{fffd}").starts_with(kept), "{kept}");
    }
    assert_eq!(attempts(&log[0]).len(), 3);
}

#[tokio::test]
async fn the_log_is_read_in_pages_and_filtered() {
    let shop = Shop::open().await;
    let (good, bad) = (Receiver::start().await, Receiver::start_with([Answer::Status(500)]).await);
    hook(&shop, &good.url, &[0]).await;
    let failing = json!({"url": bad.url, "events": ["topup.pending"], "retry_schedule_s": [0]});
    Hook::register_with(&shop.client, failing).await;
    for _ in 0..3 {
        shop.send().await.expect(200, 1001);
        shop.send_pending().await.expect(202, 1002);
    }
    wait_for_deliveries(&shop.client, "succeeded", 6).await;
    let all = wait_for_deliveries(&shop.client, "failed", 3).await;

    let (mut listed, mut path) = (Vec::new(), "/webhooks/deliveries?limit=4".to_owned());
    loop {
        let page = shop.client.get(&path).await.expect(200, 1000);
        listed.push(page.data()["deliveries"].as_array().unwrap().clone());
        let Some(cursor) = page.data()["next_cursor"].as_str() else { break };
        path = format!("/webhooks/deliveries?limit=4&cursor={cursor}");
    }
    assert_eq!(listed.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 1]);
    assert_eq!(listed.concat(), all);
    assert!(all.windows(2).all(|pair| time_s(&pair[0]["created_at"]) >= time_s(&pair[1]["created_at"])));

    for (query, count) in [
        ("status=succeeded", 6),
        ("status=failed", 3),
        ("status=pending", 0),
        ("event=topup.pending", 6),
        ("event=topup.pending&status=failed&limit=2", 2),
        ("event=topup.delivered&status=failed", 0),
    ] {
        assert_eq!(deliveries(&shop.client, &format!("?{query}")).await.len(), count, "{query}");
    }
    for query in ["status=lost", "limit=0", "limit=51", "cursor=dlv_x", "page=2"] {
        let reply = shop.client.get(&format!("/webhooks/deliveries?{query}")).await.expect(400, 2000);
        assert_eq!(reply.data()["field"], query.split_once('=').unwrap().0);
    }
}

#[tokio::test]
async fn a_replay_of_a_waiting_delivery_is_made_at_once() {
    let shop = Shop::open().await;
    let receiver = Receiver::start_with([500, 204].map(Answer::Status)).await;
    hook(&shop, &receiver.url, &[0, 600]).await;
    shop.send().await.expect(200, 1001);
    let waiting = wait_until(LIMIT, "the first attempt failed", async || {
        deliveries(&shop.client, "?status=pending").await.into_iter().find(|each| attempts(each).len() == 1)
    })
    .await;
    replay(&shop, &waiting).await;
    let log = wait_for_deliveries(&shop.client, "succeeded", 1).await;
    assert_eq!((log.len(), attempts(&log[0]).len()), (1, 2));

    // One that arrived can be sent again too, for a receiver that lost it.
    replay(&shop, &log[0]).await;
    let requests = receiver.wait_for(3, LIMIT).await;
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    assert_eq!(deliveries(&shop.client, "").await.len(), 1);
}

#[tokio::test]
async fn a_replay_that_fails_is_tried_again_by_the_schedule() {
    let shop = Shop::open().await;
    let receiver = Receiver::start_with([500, 500, 500, 204].map(Answer::Status)).await;
    hook(&shop, &receiver.url, &[0, 1]).await;
    shop.send().await.expect(200, 1001);
    let failed = wait_for_deliveries(&shop.client, "failed", 1).await;
    replay(&shop, &failed[0]).await;
    let log = wait_for_deliveries(&shop.client, "succeeded", 1).await;
    let times: Vec<f64> = attempts(&log[0]).iter().map(|attempt| time_s(&attempt["attempted_at"])).collect();
    assert_eq!(times.len(), 4);
    assert!((0.9..1.0 + LATE_S).contains(&(times[3] - times[2])), "{times:?}");
}

#[tokio::test]
async fn a_time_range_of_deliveries_is_replayed() {
    let shop = Shop::open().await;
    let receiver = Receiver::start_with([500, 500, 500, 204].map(Answer::Status)).await;
    let hook = hook(&shop, &receiver.url, &[0]).await;
    for count in 1..=5 {
        shop.send().await.expect(200, 1001);
        receiver.wait_for(count, LIMIT).await;
    }
    wait_for_deliveries(&shop.client, "succeeded", 2).await;
    let log = wait_for_deliveries(&shop.client, "failed", 3).await;
    let path = format!("/webhooks/{}/replay", hook.id);
    let replay = async |request: Value| {
        shop.client.post(&path, request).await.expect(200, 1000).data()["replayed"].as_i64().unwrap()
    };
    let (first, third, early) = (&log[4]["created_at"], &log[2]["created_at"], "2020-01-01T00:00:00Z");
    assert_eq!(replay(json!({"since": "2120-01-01T00:00:00Z"})).await, 0);
    assert_eq!(replay(json!({"since": early, "until": first})).await, 0);
    assert_eq!(replay(json!({"since": early, "status": "pending"})).await, 0);
    // The first two; `until` is not part of the range.
    assert_eq!(replay(json!({"since": first, "until": third, "status": "failed"})).await, 2);
    wait_for_deliveries(&shop.client, "succeeded", 4).await;
    assert_eq!(replay(json!({"since": "2020-01-01T02:00:00+02:00", "status": "failed"})).await, 1);
    wait_for_deliveries(&shop.client, "succeeded", 5).await;
    assert_eq!(replay(json!({"since": early})).await, 5);
    receiver.wait_for(5 + 3 + 5, LIMIT).await;

    for (field, request) in [
        ("since", json!({})),
        ("since", json!({"since": "yesterday"})),
        ("until", json!({"since": early, "until": 7})),
        ("status", json!({"since": early, "status": "lost"})),
    ] {
        let reply = shop.client.post(&path, request).await.expect(400, 2000);
        assert_eq!(reply.data()["field"], field);
    }
}

#[tokio::test]
async fn a_receiver_that_answers_410_is_switched_off() {
    let shop = Shop::open().await;
    let (gone, kept) = (Receiver::start_with([Answer::Status(410)]).await, Receiver::start().await);
    let hook = hook(&shop, &gone.url, &[0, 1, 2]).await;
    Hook::register(&shop.client, &kept.url).await;
    shop.send().await.expect(200, 1001);
    let failed = wait_for_deliveries(&shop.client, "failed", 1).await;
    let failed = failed.iter().find(|delivery| delivery["status"] == "failed").unwrap();
    assert_attempts(failed, &[(0.0, Some(410), "410")]);

    let list = shop.client.get("/webhooks").await.expect(200, 1000);
    let listed =
        list.data()["webhooks"].as_array().unwrap().iter().find(|each| each["id"] == hook.id).unwrap();
    assert!(listed["disabled_at"].is_string() && listed["disabled_reason"].as_str().unwrap().contains("410"));
    shop.send().await.expect(200, 1001);
    // The two sends, and that the other one is off.
    kept.wait_for(3, LIMIT).await;
    let log = wait_for_deliveries(&shop.client, "skipped", 1).await;
    assert_eq!((gone.requests().len(), log.len()), (1, 5));

    let replay = format!("/webhooks/deliveries/{}/replay", failed["id"].as_str().unwrap());
    shop.client.post(&replay, json!({})).await.expect(502, 5001);
    shop.client.post(&format!("/webhooks/{}/test", hook.id), json!({})).await.expect(200, 5001);
    assert_eq!(gone.requests().len(), 1);
}
