//! Signatures of webhooks, judged by the packages that receivers use: `stripe` and `standardwebhooks`.

use crate::support::{Answer, Hook, LIMIT, Receiver, Request, Shop, python, wait_until};
use serde_json::{Value, json};
use std::time::SystemTime;

/// Reads deliveries and secrets from stdin; prints for each what both packages say: "ok" or the error's class.
const VERIFY: &str = r#"
import json, sys, stripe, standardwebhooks

def said(check):
    try:
        check()
        return "ok"
    except (stripe.SignatureVerificationError, standardwebhooks.WebhookVerificationError) as error:
        return type(error).__name__

print(json.dumps([[
    said(lambda: stripe.WebhookSignature.verify_header(
        case["body"], case["headers"]["x-aitopup-signature"], case["secret"], 300)),
    said(lambda: standardwebhooks.Webhook(case["secret"]).verify(case["body"], case["headers"])),
] for case in json.load(sys.stdin)]))
"#;

const GOOD: [&str; 2] = ["ok", "ok"];
const BAD: [&str; 2] = ["SignatureVerificationError", "WebhookVerificationError"];

/// What a receiver that knows this secret gives to its package.
fn case(request: &Request, secret: &str) -> Value {
    let names = ["x-aitopup-signature", "webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value = names.map(|name| (name, request.header(name))).into_iter().collect();
    json!({"body": request.body, "headers": headers, "secret": secret})
}

fn verify(cases: Vec<Value>) -> Value {
    serde_json::from_str(&python(VERIFY, &json!(cases).to_string())).unwrap()
}

/// The next webhook that a receiver gets, after those it has.
async fn next(shop: &Shop, receiver: &Receiver) -> Request {
    let count = receiver.requests().len();
    shop.send().await.expect(200, 1001);
    receiver.wait_for(count + 1, LIMIT).await.pop().unwrap()
}

/// A new secret of the endpoint, and the end of the overlap.
async fn rotate(shop: &Shop, hook: &Hook, request: Value) -> (String, jiff::Timestamp) {
    let reply = shop.client.post(&format!("/webhooks/{}/rotate", hook.id), request).await.expect(200, 1000);
    let text = |field: &str| reply.data()[field].as_str().unwrap();
    (text("secret").to_owned(), text("overlap_ends_at").parse().unwrap())
}

fn signatures(request: &Request) -> usize {
    assert!(!request.header("x-aitopup-signature").contains(' '));
    let ours = request.header("x-aitopup-signature").matches(",v1=").count();
    assert_eq!(request.header("webhook-signature").split(' ').count(), ours);
    ours
}

#[tokio::test]
async fn the_packages_of_receivers_accept_every_attempt_and_nothing_forged() {
    let shop = Shop::open().await;
    let receiver = Receiver::start_with([500, 503, 204].map(Answer::Status)).await;
    let request = json!({"url": receiver.url, "retry_schedule_s": [0, 1, 2]});
    let hook = Hook::register_with(&shop.client, request).await;
    let recipient = "zoë+東京@example.com";
    let send = json!({"platform": "claude", "amount_cents": 1000, "metadata": {"note": recipient}});
    shop.client.post("/topup/send", send).await.expect(200, 1001);

    let attempts = receiver.wait_for(3, LIMIT).await;
    let mut cases: Vec<Value> = attempts.iter().map(|attempt| case(attempt, &hook.secret)).collect();
    let genuine = cases[2].clone();
    let mut of_another = genuine.clone();
    of_another["secret"] = json!("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    cases.push(of_another);
    let mut tampered = genuine.clone();
    tampered["body"] = json!(genuine["body"].as_str().unwrap().replacen("1000", "9000", 1));
    cases.push(tampered);
    // Another attempt's signature does not hold for this one's time.
    let mut later = genuine.clone();
    later["headers"]["webhook-timestamp"] = cases[0]["headers"]["webhook-timestamp"].clone();
    cases.push(later);
    assert_eq!(verify(cases), json!([GOOD, GOOD, GOOD, BAD, BAD, ["ok", BAD[1]]]));

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for attempt in &attempts {
        let signed_at: u64 = attempt.header("webhook-timestamp").parse().unwrap();
        assert!(signed_at <= now && now - signed_at < LIMIT.as_secs());
        assert!(attempt.header("x-aitopup-signature").starts_with(&format!("t={signed_at},v1=")));
    }
}

#[tokio::test]
async fn during_a_rotation_the_old_secret_and_the_new_one_are_good_and_afterwards_only_the_new() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let hook = Hook::register(&shop.client, &receiver.url).await;
    let before = next(&shop, &receiver).await;
    let (new, overlap_ends_at) = rotate(&shop, &hook, json!({"overlap_seconds": 2})).await;
    let during = next(&shop, &receiver).await;
    wait_until(LIMIT, "the overlap ends", async || (jiff::Timestamp::now() > overlap_ends_at).then_some(()))
        .await;
    let after = next(&shop, &receiver).await;

    assert_eq!([&before, &during, &after].map(signatures), [1, 2, 1]);
    let cases = [&before, &during, &after].map(|webhook| [case(webhook, &hook.secret), case(webhook, &new)]);
    let said = verify(cases.into_iter().flatten().collect());
    assert_eq!(said, json!([GOOD, BAD, GOOD, GOOD, BAD, GOOD]));
}

#[tokio::test]
async fn a_rotation_without_overlap_ends_the_old_secret_at_once() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let hook = Hook::register(&shop.client, &receiver.url).await;
    let (new, _) = rotate(&shop, &hook, json!({"overlap_seconds": 0})).await;
    let webhook = next(&shop, &receiver).await;
    assert_eq!(signatures(&webhook), 1);
    assert_eq!(verify(vec![case(&webhook, &hook.secret), case(&webhook, &new)]), json!([BAD, GOOD]));
}

#[tokio::test]
async fn a_rotation_overlaps_for_a_day_unless_it_says_otherwise() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let hook = Hook::register(&shop.client, &receiver.url).await;
    let (second, overlap_ends_at) = rotate(&shop, &hook, json!({})).await;
    let left_s = overlap_ends_at.as_second() - jiff::Timestamp::now().as_second();
    assert!((86_340..=86_400).contains(&left_s), "{left_s} s");

    // A second rotation does not cut the first one's overlap short.
    let (third, _) = rotate(&shop, &hook, json!({"overlap_seconds": 600})).await;
    let webhook = next(&shop, &receiver).await;
    let cases = [&hook.secret, &second, &third].map(|secret| case(&webhook, secret));
    assert_eq!(verify(cases.into()), json!([GOOD, GOOD, GOOD]));

    for overlap_seconds in [json!(-1), json!(604_801), json!(1.5), json!("60")] {
        let request = json!({"overlap_seconds": overlap_seconds});
        let reply =
            shop.client.post(&format!("/webhooks/{}/rotate", hook.id), request).await.expect(400, 2000);
        assert_eq!(reply.data()["field"], "overlap_seconds");
    }
}
