//! A tenant fills its wallet and limits what it spends, as Cloudflare's official clients tell it to the real gateway.

use crate::support::{Shop, call, node_within, place, python_client, wait_until, wire};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

const LIMIT: Duration = Duration::from_secs(60);

async fn account(shop: &Shop) -> String {
    let context = shop.client.at_root().get("/accounts/self").await.expect_status(200);
    context.json["account_id"].as_str().unwrap().to_owned()
}

fn billing(account: &str, rest: &str) -> String {
    format!("/client/v4/accounts/{account}/ai-gateway/billing{rest}")
}

/// A client that repeats what it may: each refused POST must have come once.
async fn tells(program: &'static str) {
    let shop = Shop::open().await;
    shop.client
        .post("/topup/send", json!({"platform": "claude", "amount_cents": 700}))
        .await
        .expect(200, 1001);
    let (url, key, account) = (shop.gateway.url.clone(), shop.key.clone(), account(&shop).await);
    let told = tokio::task::spawn_blocking(move || match program {
        "story.py" => python_client("cloudflare/story.py", &[&url, &account], &key),
        _ => npm_client(&[&url, &account], &key),
    });
    let seen: Value = serde_json::from_str(&told.await.unwrap()).unwrap();
    for (what, expected) in [
        ("before", json!([99_300, false, null, false])),
        ("first", json!(["in_", true, false])),
        ("unpaid", json!("pending")),
        ("first completed", json!(true)),
        ("second", json!([null, true, "visa", "4242"])),
        ("second completed", json!(true)),
        ("after", json!([102_800, true, "4242", true])),
        ("config", json!([3000, 500])),
        ("config got", json!([3000, 500, null, null, null])),
        ("config gone", json!([null, null])),
        ("invoices", json!([[1500, "paid", "manual"], [2000, "paid", "manual"]])),
        ("pagination", json!([2, false])),
        ("auto invoices", json!(0)),
        ("usage", json!([700, true])),
        ("preview", json!([700, [["claude", 1]], "draft"])),
        ("limit", json!([true, 5000, "monthly", "fixed"])),
        ("limit gone", json!([false, null])),
    ] {
        // Python writes whole numbers as 1.0: the same number.
        assert!(is_same(&seen[what], &expected), "{what}: {} instead of {expected}", seen[what]);
    }
    for (what, expected) in [
        ("too little", json!(["UnprocessableEntityError", 422, 2005])),
        ("no such card", json!(["BadRequestError", 400, 2000])),
        ("another's account", json!(["NotFoundError", 404, 2000])),
        ("wrong key", json!(["AuthenticationError", 401, 2001])),
        ("no such top-up", json!(["NotFoundError", 404, 2000])),
        ("low threshold", json!(["UnprocessableEntityError", 422, 2005])),
        ("low limit", json!(["UnprocessableEntityError", 422, 2005])),
    ] {
        assert_eq!(seen["refusals"][what], expected, "{what}");
    }
    let log = shop.gateway.log();
    let refused = |line: &&str| {
        line.contains("\"method\":\"POST\"")
            && line.contains("\"status\":4")
            && line.contains("\"message\":\"request\"")
    };
    assert_eq!(log.lines().filter(refused).count(), 7, "each refused POST came once: {log}");
    shop.database.check().await;
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        _ => one == other,
    }
}

fn npm_client(arguments: &[&str], api_key: &str) -> String {
    let script = std::fs::read_to_string(place::root().join("tests/clients/cloudflare/story.mjs")).unwrap();
    let mut node = node_within(LIMIT);
    let output = node
        .args(["--input-type=module", "--eval", &script])
        .args(arguments)
        .env("API_KEY", api_key)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "node: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_client_from_pypi_tells_the_whole_story() {
    tells("story.py").await;
}

#[tokio::test]
async fn the_client_from_npm_tells_the_whole_story() {
    tells("story.mjs").await;
}

#[tokio::test]
async fn a_refused_post_says_that_it_must_not_be_repeated() {
    let shop = Shop::open().await;
    let (root, account) = (shop.client.at_root(), account(&shop).await);
    let post = async |path: &str, body: Value| {
        let reply = root.post(path, body).await;
        assert_eq!(reply.header("x-should-retry"), Some("false"), "{path}: {}", reply.text);
        assert_eq!(reply.json["success"], false, "{}", reply.text);
        assert_eq!((&reply.json["result"], &reply.json["messages"]), (&Value::Null, &json!([])));
        (reply.status, reply.json["errors"][0]["code"].as_i64().unwrap())
    };
    let top_up = billing(&account, "/topup");
    assert_eq!(post(&top_up, json!({"amount": 999})).await, (422, 2005));
    assert_eq!(post(&top_up, json!({"amount": "x"})).await, (400, 2000));
    assert_eq!(post(&top_up, json!({})).await, (400, 2000));
    assert_eq!(post(&billing(&account, "/credit-balance"), json!({})).await, (405, 4003));
    assert_eq!(post(&billing("acct_x", "/topup"), json!({"amount": 1000})).await, (404, 2000));
    let stranger = shop.gateway.client("ak_staging_wrong").at_root();
    let refused = stranger.post(&top_up, json!({"amount": 1000})).await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (401, Some("false")));
    let paid = root.post(&top_up, json!({"amount": 1000})).await.expect_status(200);
    assert_eq!(paid.header("x-should-retry"), None);
    assert_eq!(root.get(&billing("acct_x", "/credit-balance")).await.status, 404);
}

#[tokio::test]
async fn a_charge_whose_answer_was_lost_is_not_made_again() {
    let shop = Shop::open().await;
    let (root, account) = (shop.client.at_root(), account(&shop).await);
    let top_up = billing(&account, "/topup");
    save_own_card(&shop, &account).await;
    let ask = async |amount: i64, count: Option<&str>| {
        let request = root.request(reqwest::Method::POST, &top_up).header("content-type", "application/json");
        let request = match count {
            Some(count) => request.header("x-stainless-retry-count", count),
            None => request,
        };
        let reply = root.send(request.body(json!({"amount": amount}).to_string())).await.expect_status(200);
        reply.json["result"]["payment_intent_id"].as_str().unwrap().to_owned()
    };
    let charged = ask(1000, Some("0")).await;
    assert_eq!(ask(1000, Some("1")).await, charged, "the same once more");
    // By its own settings a client that hears nothing comes the third time after two minutes.
    let later = "update topup.payment set created_at = created_at - interval '3 minutes'";
    shop.database.admin().await.batch_execute(later).await.unwrap();
    assert_eq!(ask(1000, Some("2")).await, charged, "the same for the last time");
    assert_ne!(ask(2000, Some("1")).await, charged, "another amount");
    assert_ne!(ask(1000, None).await, charged, "another request");
    let in_body = json!({"amount": 1000, "retry_count": 1});
    root.post(&top_up, in_body).await.expect_status(400);
}

#[tokio::test]
async fn a_spending_limit_holds_for_all_keys_together() {
    let shop = Shop::open().await;
    let admin = shop.database.admin().await;
    let (root, account) = (shop.client.at_root(), account(&shop).await);
    let other = "select api_key from topup.mint_key($1, 'staging')";
    let other: String = admin.query_one(other, &[&account]).await.unwrap().get(0);
    let send = async |key: &str, cents: i64| {
        wire(&admin, key, "send", &json!({"platform": "claude", "amount_cents": cents})).await.1["code"]
            .clone()
    };
    assert_eq!(send(&shop.key, 600).await, 1001);
    for strategy in ["fixed", "sliding"] {
        for duration in ["daily", "weekly", "monthly"] {
            let limit = json!({"amount": 1000, "duration": duration, "strategy": strategy});
            root.post(&billing(&account, "/spending-limit"), limit).await.expect_status(200);
            assert_eq!(send(&other, 401).await, 2007, "{strategy} {duration}");
            let validate = json!({"platform": "claude", "amount_cents": 401});
            assert_eq!(wire(&admin, &other, "validate", &validate).await.1["code"], 2007);
        }
    }
    assert_eq!(send(&other, 400).await, 1001);
    assert_eq!(send(&shop.key, 100).await, 2007);
    root.delete(&billing(&account, "/spending-limit")).await.expect_status(200);
    assert_eq!(send(&shop.key, 500).await, 1001);
    shop.database.check().await;
}

/// Saves a card of the tenant's own by paying 10 dollars with it.
async fn save_own_card(shop: &Shop, account: &str) {
    let root = shop.client.at_root();
    let begun = root.post(&billing(account, "/topup"), json!({"amount": 1000})).await.expect_status(200);
    let secret = begun.json["result"]["client_secret"].as_str().unwrap();
    let page = root.request(reqwest::Method::POST, &format!("/checkout/{secret}"));
    let card = "action=pay&number=4242424242424242&exp=12%2F34&cvc=123&save_card=1";
    let page = page.header("content-type", "application/x-www-form-urlencoded").body(card);
    root.send(page).await.expect_status(303);
}

#[tokio::test]
async fn a_thousand_sends_over_http_that_cross_the_threshold_make_one_charge() {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    let account = account(&shop).await;
    save_own_card(&shop, &account).await;
    let balance = shop.balance_cents().await;
    let threshold = balance - 50_000;
    let config = json!({"amount": 500_000, "threshold": threshold});
    let root = shop.client.at_root();
    root.post(&billing(&account, "/topup/config"), config).await.expect_status(200);
    let mut senders = JoinSet::new();
    for _ in 0..20 {
        let client = shop.client.clone();
        senders.spawn(async move {
            for _ in 0..50 {
                let send = json!({"platform": "claude", "amount_cents": 100});
                client.post("/topup/send", send).await.expect(200, 1001);
            }
        });
    }
    senders.join_all().await;
    let charged = "select count(*), count(*) filter (where status = 'succeeded') from topup.payment where origin = 'auto'";
    let admin = shop.database.admin().await;
    wait_until(LIMIT, "the charge came through", async || {
        let row = admin.query_one(charged, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 1);
        (row.get::<_, i64>(1) == 1).then_some(())
    })
    .await;
    assert_eq!(shop.balance_cents().await, balance - 100_000 + 500_000);
    shop.database.check().await;
}

#[tokio::test]
async fn an_auto_top_up_has_a_limit_and_keeps_the_one_that_it_has() {
    let shop = Shop::open().await;
    let (root, account) = (shop.client.at_root(), account(&shop).await);
    let app = shop.database.app(&shop.key).await;
    let config = billing(&account, "/topup/config");
    let limit = async || {
        let shown = call(&app, "topup.auto_top_up()").await["data"].clone();
        (shown["max_purchases"].clone(), shown["window_s"].clone())
    };
    root.post(&config, json!({"amount": 1000, "threshold": 500})).await.expect_status(200);
    assert_eq!(limit().await, (json!(10), json!(86_400)));
    call(&app, "topup.set_auto_top_up(50, 10, max_purchases => 3, window_s => 3600)").await;
    root.post(&config, json!({"amount": 2000, "threshold": 500})).await.expect_status(200);
    assert_eq!(limit().await, (json!(3), json!(3600)));
    for path in ["/topup", "/topup/config"] {
        let beyond = json!({"amount": 100_000_000, "threshold": 500});
        root.post(&billing(&account, path), beyond).await.expect_status(422);
    }
    let live = shop.database.tenant("Live").await;
    let key = live.key("live", "").await.1;
    let live = billing(&live.id, "/topup/config");
    let refused =
        shop.gateway.client(&key).at_root().post(&live, json!({"amount": 1000, "threshold": 500})).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
}
