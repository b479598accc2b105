//! Who is let in: keys are judged before bodies are read, wrong ones are limited by address, and what waits in memory
//! is bounded.

use crate::support::rpc::{STREAMABLE, request};
use crate::support::sse::SSE;
use crate::support::{Client, Database, Gateway, LIMIT, Payer, Reply, Shop, Visitor, Wire, wait_until};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// An answer that waits for nothing. A body would be waited for ten times as long.
const PROMPTLY: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 150;
const MIB: usize = 1024 * 1024;

/// Of each surface one way in that takes a body, and all of MCP's.
const DOORS: [(&str, &str); 8] = [
    ("POST", "/api/public/v1/topup/send"),
    ("POST", "/customers"),
    ("PATCH", "/customers/cust_00000000000000000000000000"),
    ("POST", "/client/v4/accounts/acct_00000000000000000000000000/ai-gateway/billing/topup"),
    ("POST", STREAMABLE),
    ("POST", "/api/public/mcp/messages?session_id=00000000-0000-4000-8000-000000000000"),
    ("GET", SSE[0]),
    ("GET", SSE[1]),
];

/// A key that looks like one and that nobody has.
fn made_up(number: usize) -> String {
    format!("ak_live_{number:043}")
}

/// The head of a request that announces a body.
fn head(method: &str, path: &str, key: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n"
    )
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_its_body_comes() {
    let shop = Shop::open_with(&["--wrong-key-limit", "0"]).await;
    let (id, revoked) = shop.database.tenant("Gone").await.key("staging", "").await;
    shop.gateway.client(&revoked).get("/topup/balance").await.expect(200, 1000);
    shop.database.admin().await.execute("select topup.revoke_key($1)", &[&id]).await.unwrap();
    // The gateway still knows it as good; the call that it is let in to is refused.
    shop.gateway.client(&revoked).get("/topup/balance").await.expect(401, 2001);
    for key in [made_up(1).as_str(), "ak_live_guess", "", &revoked] {
        for (method, path) in DOORS {
            for expect in ["", "Expect: 100-continue\r\n"] {
                let mut wire = Wire::open(&shop.gateway.url).await;
                let start = Instant::now();
                wire.write(format!("{}{expect}\r\n", head(method, path, key, MIB))).await;
                let refused = wire.read().await;
                assert_eq!(refused.status, 401, "{method} {path} {key}: {}", refused.text);
                assert!(start.elapsed() < PROMPTLY, "{method} {path} {key}: {:?}", start.elapsed());
            }
        }
    }
    // Who sends the body nevertheless hears the answer, and may go on over the same connection.
    let mut wire = Wire::open(&shop.gateway.url).await;
    let (_, path) = DOORS[0];
    wire.write(format!("{}\r\n{}", head("POST", path, &made_up(2), MIB), "x".repeat(MIB))).await;
    assert_eq!(wire.read().await.status, 401);
    let order = json!({"platform": "claude", "amount_cents": 1000}).to_string();
    wire.write(format!("{}\r\n{order}", head("POST", path, &shop.key, order.len()))).await;
    wire.read().await.expect(200, 1001);
}

#[tokio::test]
async fn an_mcp_client_without_a_good_key_hears_the_answer_to_its_request() {
    let shop = Shop::open().await;
    let client = shop.gateway.client(&made_up(1)).at_root();
    let refused = client.post(STREAMABLE, request("ping-1", "ping", json!({}))).await.expect_status(401);
    assert_eq!(refused.json["id"], "ping-1");
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
}

/// What a reply to a wrong key is; the refusal of one too many says how long to wait.
#[track_caller]
fn is_limited(reply: &Reply) -> bool {
    match reply.status {
        401 => false,
        429 => {
            assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
            assert!(reply.text.contains("4001") && reply.text.contains("wrong API keys"), "{}", reply.text);
            true
        }
        _ => panic!("{} {}", reply.status, reply.text),
    }
}

/// How often the gateway called these functions, once it has ended and all is counted.
async fn called(functions: &[&str], database: &Database, mut gateway: Gateway) -> i64 {
    gateway.terminate();
    gateway.ended().await;
    let admin = database.admin().await;
    wait_until(LIMIT, "the gateway's sessions end", async || {
        let query = "select count(*) from pg_stat_activity
                      where datname = current_database() and application_name = 'topup-gateway'";
        (admin.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let query =
        "select coalesce(sum(calls), 0)::bigint from pg_stat_user_functions where funcname = any ($1)";
    admin.query_one(query, &[&functions]).await.unwrap().get(0)
}

async fn count_functions(database: &Database) {
    let admin = database.admin().await;
    let name: String = admin.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    admin.batch_execute(&format!("alter database {name} set track_functions = 'all'")).await.unwrap();
}

#[tokio::test]
async fn a_thousand_made_up_keys_are_few_questions_to_postgres() {
    let database = Database::new().await;
    count_functions(&database).await;
    let key = database.staging_key().await;
    let gateway =
        Gateway::start_with(&database, &["--wrong-key-limit", "1", "--wrong-key-burst", "20"]).await;
    let known = gateway.client(&key);
    known.get("/topup/balance").await.expect(200, 1000);
    let start = Instant::now();
    let mut guesses = JoinSet::new();
    for worker in 0..10 {
        let url = gateway.url.clone();
        guesses.spawn(async move {
            let mut limited = 0;
            for number in 0..100 {
                let client = Client::new(&url, Some(&made_up(worker * 100 + number)));
                let reply = match number % 3 {
                    0 => client.get("/topup/balance").await,
                    1 => client.post("/topup/send", json!({})).await,
                    _ => client.at_root().post(STREAMABLE, request(1, "ping", json!({}))).await,
                };
                limited += usize::from(is_limited(&reply));
            }
            limited
        });
    }
    let limited: usize = guesses.join_all().await.into_iter().sum();
    let seconds = i64::try_from(start.elapsed().as_secs()).unwrap() + 1;
    // Neither is what has nothing to do with it held up, nor who was good before.
    known.get("/topup/balance").await.expect(200, 1000);
    known.post("/topup/validate", json!({"platform": "claude", "amount_cents": 100})).await.expect(200, 1000);
    gateway.stranger().get("/topup/balance").await.expect(401, 2001);
    let counted = gateway.metric(r#"topup_keys_refused_total{reason="waiting"}"#).await;
    assert_eq!(counted, Some(limited as f64));
    let refused = i64::try_from(1000 - limited).unwrap();
    // Two are judged at one time: the second may be one too many.
    assert!((20..=21 + seconds).contains(&refused), "{refused} of 1000 judged in {seconds} s");
    // Each refusal was one question, and the good key one more.
    assert_eq!(called(&["authenticate"], &database, gateway).await, refused + 1);
}

#[tokio::test]
async fn a_known_key_costs_no_question_and_a_new_one_gets_in_when_its_address_may_again() {
    let database = Database::new().await;
    count_functions(&database).await;
    let tenant = database.tenant("Acme").await;
    let (old, new) = (tenant.key("staging", "").await.1, tenant.key("staging", "").await.1);
    let gateway = Gateway::start_with(&database, &["--wrong-key-limit", "1", "--wrong-key-burst", "1"]).await;
    for _ in 0..20 {
        gateway.client(&old).get("/topup/balance").await.expect(200, 1000);
    }
    gateway.client(&made_up(1)).get("/topup/balance").await.expect(401, 2001);
    wait_until(LIMIT, "the new key is let in", async || {
        let reply = gateway.client(&new).get("/topup/balance").await;
        (reply.status == 200).then_some(())
    })
    .await;
    // Nobody waits longer for keys that are none by their looks.
    wait_until(LIMIT, "the guesser is limited", async || {
        let reply = gateway.client("ak_live_guess").get("/topup/balance").await;
        is_limited(&reply).then_some(())
    })
    .await;
    let newest = tenant.key("staging", "").await.1;
    gateway.client(&newest).get("/topup/balance").await.expect(200, 1000);
    assert_eq!(called(&["authenticate"], &database, gateway).await, 4);
}

#[tokio::test]
async fn guesses_at_links_and_cookies_are_few_questions_and_hold_up_nobody_who_is_in() {
    let shop = Shop::open_with(&["--wrong-key-limit", "1", "--wrong-key-burst", "20"]).await;
    let mut visitor = Visitor::of(Payer::open_with(shop).await);
    visitor.go_in().await;
    let gateway = &visitor.payer.till.shop.gateway;
    let (start, browser) = (Instant::now(), gateway.stranger().at_root());
    let mut seen = 0;
    for number in 0..300 {
        let guess = format!("{number:043}");
        let reply = match number % 3 {
            0 => browser.get(&format!("/checkout/{guess}")).await,
            1 => browser.get(&format!("/portal/enter/{guess}")).await,
            _ => {
                let cookie = format!("topup_portal={guess}");
                browser.send(browser.request(Method::GET, "/portal").header("cookie", cookie)).await
            }
        };
        match reply.status {
            429 => assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1),
            403 | 404 | 410 => seen += 1,
            _ => panic!("{} {}", reply.status, reply.text),
        }
    }
    let seconds = i64::try_from(start.elapsed().as_secs()).unwrap() + 1;
    assert!((20..=20 + seconds).contains(&seen), "{seen} of 300 looked up in {seconds} s");
    visitor.look("/portal").await.expect_status(200);
}

/// A balance asked for with a key of nobody's, from an address as a proxy tells it.
async fn guess_from(gateway: &Gateway, address: &str) -> bool {
    let client = gateway.client(&made_up(7));
    let request = client.request(Method::GET, "/topup/balance").header("x-forwarded-for", address);
    is_limited(&client.send(request).await)
}

#[tokio::test]
async fn wrong_keys_are_counted_by_address_and_of_ipv6_by_network() {
    let database = Database::new().await;
    let few = ["--wrong-key-limit", "1", "--wrong-key-burst", "3"];
    let behind =
        Gateway::start_with(&database, &[&few[..], &["--trusted-proxy", "127.0.0.0/8"]].concat()).await;
    let until_limited = async |gateway: &Gateway, addresses: &[&str]| {
        for (n, address) in addresses.iter().cycle().take(200).enumerate() {
            if guess_from(gateway, address).await {
                return n;
            }
        }
        panic!("200 wrong keys were not limited");
    };
    assert!(until_limited(&behind, &["203.0.113.7"]).await >= 3);
    assert!(!guess_from(&behind, "203.0.113.8").await);
    assert!(
        until_limited(&behind, &["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:2::3"]).await >= 3
    );
    assert!(!guess_from(&behind, "2001:db8:1:3::1").await);
    // Whom nobody trusts may say what he likes of where he comes from.
    let open = Gateway::start_with(&database, &few).await;
    assert!(
        until_limited(&open, &["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "::1"]).await >= 3
    );
}

/// Opens connections that announce a body of a MiB each and send all of it but the last byte.
async fn almost_whole(shop: &Shop, key: impl Fn(usize) -> String, path: &str) -> Vec<Wire> {
    let mut opening = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (url, head) = (shop.gateway.url.clone(), head("POST", path, &key(number), MIB));
        opening.spawn(async move {
            let mut wire = Wire::open(&url).await;
            wire.try_write(format!("{head}\r\n{}", " ".repeat(MIB - 1))).await;
            wire
        });
    }
    opening.join_all().await
}

#[tokio::test]
async fn large_bodies_do_not_fill_the_memory_whoever_sends_them() {
    let shop = Shop::open_with(&["--rate-limit", "0"]).await;
    // Both are known before the wrong keys come, as they do from the same address.
    let other = shop.gateway.client(&shop.database.staging_key().await);
    for client in [&shop.client, &other] {
        client.get("/topup/balance").await.expect(200, 1000);
    }
    let before = shop.gateway.memory_mib("VmRSS");
    let grown = || shop.gateway.memory_mib("VmHWM").saturating_sub(before);
    for path in [DOORS[0].1, DOORS[3].1, STREAMABLE] {
        for mut wire in almost_whole(&shop, made_up, path).await {
            assert!(matches!(wire.read().await.status, 401 | 429), "{path}");
        }
    }
    assert!(grown() < 48, "made-up keys: {} MiB", grown());

    // A key's own bodies stay within its share: whoever comes after is told to come again, and others are served.
    let path = DOORS[0].1;
    let wires = almost_whole(&shop, |_| shop.key.clone(), path).await;
    let large = json!({"platform": "claude", "amount_cents": 100, "metadata": {"x": "y".repeat(4000)}});
    other.post("/topup/send", large).await.expect(200, 1001);
    let mut refused = 0;
    for mut wire in wires {
        wire.try_write("x").await;
        let reply = wire.read().await;
        match reply.status {
            503 => {
                assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
                reply.expect(503, 5003);
                refused += 1;
            }
            _ => drop(reply.expect(400, 2000)),
        }
    }
    assert!(refused >= CONNECTIONS - 20, "{refused} of {CONNECTIONS} refused");
    assert!(grown() < 160, "one key: {} MiB", grown());
    wait_until(LIMIT, "nothing is held any more", async || {
        (shop.gateway.metric("topup_body_bytes_held").await == Some(0.0)).then_some(())
    })
    .await;
    shop.send().await.expect(200, 1001);
}

#[tokio::test]
async fn bodies_beyond_what_all_may_hold_are_told_to_come_again() {
    let flags =
        ["--body-limit-bytes", "100000", "--body-budget-bytes", "150000", "--body-budget-per-key-bytes", "1"];
    let shop = Shop::open_with(&flags).await;
    let other = shop.database.staging_key().await;
    let path = DOORS[0].1;
    let mut first = Wire::open(&shop.gateway.url).await;
    first.write(format!("{}\r\n{}", head("POST", path, &shop.key, 100_000), " ".repeat(99_999))).await;
    wait_until(LIMIT, "the first body is held", async || {
        (shop.gateway.metric("topup_body_bytes_held").await == Some(99_999.0)).then_some(())
    })
    .await;
    // Of one key, and of all.
    for (key, length) in [(&shop.key, 2), (&other, 60_000)] {
        let whole = format!("{}\r\n{}", head("POST", path, key, length), " ".repeat(length));
        let reply = Wire::ask(&shop.gateway.url, whole).await;
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        reply.expect(503, 5003);
    }
    shop.gateway.client(&other).post("/topup/validate", json!({})).await.expect(400, 2000);
    first.write(" ").await;
    first.read().await.expect(400, 2000);
    shop.send().await.expect(200, 1001);
}

#[tokio::test]
async fn readiness_asks_postgres_once_a_second_however_many_ask_it() {
    let shop = Shop::open().await;
    let transactions = async |admin: &tokio_postgres::Client| -> i64 {
        let query = "select xact_commit from pg_stat_database where datname = current_database()";
        admin.query_one(query, &[]).await.unwrap().get(0)
    };
    let admin = shop.database.admin().await;
    let before = transactions(&admin).await;
    let mut asking = JoinSet::new();
    for _ in 0..10 {
        let client = shop.gateway.stranger().at_root();
        asking.spawn(async move {
            for _ in 0..300 {
                assert_eq!(client.get("/health/ready").await.status, 200);
            }
        });
    }
    let start = Instant::now();
    asking.join_all().await;
    let seconds = i64::try_from(start.elapsed().as_secs()).unwrap() + 1;
    // A session tells of its work when it ends, at the latest.
    let mut gateway = shop.gateway;
    gateway.terminate();
    gateway.ended().await;
    wait_until(LIMIT, "the gateway's sessions end", async || {
        let query = "select count(*) from pg_stat_activity
                      where datname = current_database() and application_name = 'topup-gateway'";
        (admin.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    let others = 300 + 50 * seconds;
    let asked = transactions(&admin).await - before;
    assert!(asked < others, "{asked} transactions in {seconds} s for 3000 questions");
}

#[tokio::test]
async fn an_idle_connection_lives_as_long_as_the_setting_says() {
    let shop = Shop::open_with(&["--keep-alive-s", "4"]).await;
    let ask = format!(
        "GET /api/public/v1/topup/balance HTTP/1.1\r\nHost: x\r\nX-Credyt-Api-Key: {}\r\n\r\n",
        shop.key
    );
    let mut wire = Wire::open(&shop.gateway.url).await;
    wire.write(&ask).await;
    wire.read().await.expect(200, 1000);
    // The test is of time that passes without anything.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    wire.write(&ask).await;
    wire.read().await.expect(200, 1000);
    let start = Instant::now();
    assert_eq!(wire.rest().await, "");
    assert!(start.elapsed() > Duration::from_millis(3500), "closed after {:?}", start.elapsed());
}
