//! Running the gateway: health, metrics, logs, an orderly stop, and a new catalog.

use crate::support::{Gateway, LIMIT, Receiver, Shop, Wire, wait_until};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn health_needs_no_key_and_no_allowance() {
    let shop = Shop::open_with(&["--rate-limit", "1", "--rate-burst", "1"]).await;
    let root = shop.gateway.stranger().at_root();
    for _ in 0..5 {
        for (path, text) in
            [("/health/live", r#"{"status":"live"}"#), ("/health/ready", r#"{"status":"ready"}"#)]
        {
            let reply = root.get(path).await;
            assert_eq!((reply.status, reply.text.as_str()), (200, text));
            assert_eq!(reply.header("cache-control"), Some("no-store"));
        }
    }
}

/// What /metrics says now.
async fn metrics(shop: &Shop) -> String {
    let mut wire =
        Wire::open(shop.gateway.metrics_url.trim_start_matches("http://").trim_end_matches("/metrics")).await;
    wire.write("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let reply = wire.read().await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    reply.text
}

/// The value of a series, given by the whole text before it.
fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Whether a line is a sample of the Prometheus text format: a name, labels in braces, a number.
fn is_sample(line: &str) -> bool {
    let Some((series, number)) = line.rsplit_once(' ') else { return false };
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_label = |label: &str| {
        label.split_once("=\"").is_some_and(|(name, rest)| is_name(name) && rest.ends_with('"'))
    };
    let labels = labels.strip_suffix('}');
    is_name(name)
        && name.starts_with("topup_")
        && number.parse::<f64>().is_ok()
        && labels.is_some_and(|labels| labels.is_empty() || labels.split(',').all(is_label))
}

#[tokio::test]
async fn metrics_count_requests_and_webhook_attempts_and_name_no_client() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let registered =
        shop.client.post("/webhooks/register", json!({"url": receiver.url})).await.expect(200, 1000);
    let order = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "metric@example.com"});
    let id =
        shop.client.post_once("/topup/send", order, "metric-key").await.expect(200, 1001).transaction_id();
    shop.send().await.expect(200, 1001);
    shop.client.get(&format!("/topup/status/{id}")).await.expect(200, 1001);
    shop.client.at_root().get("/secret-path?secret=query").await.expect(404, 4000);
    shop.client.delete("/topup/send").await.expect(405, 4003);
    receiver.wait_for(2, LIMIT).await;

    let text = wait_until(LIMIT, "both attempts are counted", async || {
        let text = metrics(&shop).await;
        let attempts = text.lines().filter(|line| line.starts_with("topup_webhook_attempts_total"));
        let count: f64 = attempts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
        (count == 2.0).then_some(text)
    })
    .await;
    let requests = |labels| value(&text, &format!("topup_http_requests_total{{{labels}}}"));
    assert_eq!(requests(r#"operation="send",status="200",code="1001""#), Some(2.0), "{text}");
    assert_eq!(requests(r#"operation="status",status="200",code="1001""#), Some(1.0), "{text}");
    assert_eq!(requests(r#"operation="none",status="404",code="4000""#), Some(1.0), "{text}");
    assert_eq!(
        value(&text, r#"topup_http_request_duration_seconds_count{operation="send"}"#),
        Some(2.0),
        "{text}"
    );
    assert_eq!(value(&text, "topup_postgres_up"), Some(1.0));
    assert_eq!(value(&text, "topup_http_in_flight"), Some(0.0));
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        assert!(is_sample(line), "{line}");
    }
    let secret = registered.data()["secret"].as_str().unwrap();
    for private in
        [&shop.key, secret, &id, "/api/", "secret", "metric@", "metric-key", &receiver.url, "acct_", "Acme"]
    {
        assert!(!text.contains(private), "the metrics show {private}");
    }
}

#[tokio::test]
async fn metrics_have_a_port_of_their_own() {
    let shop = Shop::open().await;
    shop.client.at_root().get("/metrics").await.expect(404, 4000);
    let port = shop.gateway.metrics_url.trim_end_matches("/metrics");
    let request = format!(
        "GET /api/public/v1/topup/balance HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
        shop.key
    );
    assert_eq!(Wire::ask(port, request).await.status, 404);
}

/// Everything that a log must not show, after requests that brought it.
async fn private_things(shop: &Shop) -> Vec<String> {
    let receiver = Receiver::start().await;
    let registered =
        shop.client.post("/webhooks/register", json!({"url": receiver.url})).await.expect(200, 1000);
    let order = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "private@example.com",
        "metadata": {"note": "meta-private"}});
    let sent = shop.client.post_once("/topup/send", order, "idem-private").await.expect(200, 1001);
    let wrong_key = "ak_live_wrong0private";
    shop.gateway.client(wrong_key).get("/topup/balance").await.expect(401, 2001);
    shop.gateway.stranger().get("/topup/balance?api_key=query-private").await.expect(401, 2001);
    shop.client.at_root().get("/path-private").await.expect(404, 4000);
    shop.client
        .post("/topup/send", json!({"platform": "body-private", "amount_cents": 1}))
        .await
        .expect(422, 2003);
    let redeem = json!({"voucher_code": sent.data()["voucher_code"], "email": "private@example.com"});
    shop.client.post("/topup/redeem", redeem).await.expect(409, 3006);
    let broken = "create function public.burn() returns trigger language plpgsql as $$begin raise exception 'fire'; end$$;
                  create trigger burn before insert on topup.top_up for each row execute function public.burn()";
    shop.database.admin().await.batch_execute(broken).await.unwrap();
    let doomed =
        json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "private@example.com"});
    shop.client.post_once("/topup/send", doomed, "idem-private-2").await.expect(500, 5000);
    receiver.wait_for(1, LIMIT).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let named = [shop.key.clone(), text(&registered.data()["secret"]), text(&sent.data()["voucher_code"])];
    let words = [
        "private@example.com",
        "meta-private",
        "idem-private",
        wrong_key,
        "query-private",
        "path-private",
        "body-private",
    ];
    named.into_iter().chain(words.map(str::to_owned)).collect()
}

#[tokio::test]
async fn logs_are_structured_and_keep_what_is_private() {
    for level in ["info", "debug"] {
        let shop = Shop::open_with(&["--allow-private-webhooks", "--log-level", level]).await;
        let private = private_things(&shop).await;
        let id = "the-last-request";
        let last = shop.client.request(Method::GET, "/topup/balance").header("x-request-id", id);
        shop.client.send(last).await.expect(200, 1000);
        let log = wait_until(LIMIT, "the last request is logged", async || {
            Some(shop.gateway.log()).filter(|log| log.contains(id) && log.contains("fire"))
        })
        .await;
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            assert!(
                line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(),
                "{line}"
            );
        }
        for secret in private {
            assert!(!log.contains(&secret), "at level {level} the log shows {secret}");
        }
        let line = log.lines().find(|line| line.contains(id)).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&line["operation"], &line["status"], &line["code"]),
            (&json!("balance"), &json!(200), &json!(1000))
        );
        assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    }
}

#[tokio::test]
async fn a_gateway_that_is_stopped_finishes_what_is_in_flight() {
    let mut shop = Shop::open().await;
    shop.client.get("/topup/balance").await.expect(200, 1000);
    let idle = Wire::open(&shop.gateway.url).await;
    let mut holder = shop.database.admin().await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("lock table topup.top_up in access exclusive mode").await.unwrap();
    let client = shop.client.clone();
    let in_flight = tokio::spawn(async move {
        client.post("/topup/send", json!({"platform": "claude", "amount_cents": 1000})).await
    });
    let admin = shop.database.admin().await;
    // The worker may wait for the same lock.
    let waiting =
        "select pid from pg_stat_activity where datname = current_database() and query like '%call_many%'
                      and application_name = 'topup-gateway' and wait_event_type = 'Lock'";
    wait_until(LIMIT, "the send waits for the lock", async || admin.query_opt(waiting, &[]).await.unwrap())
        .await;

    shop.gateway.terminate();
    wait_until(LIMIT, "new connections are refused", async || Wire::try_open(&shop.gateway.url).await.err())
        .await;
    assert!(!in_flight.is_finished());
    lock.rollback().await.unwrap();
    in_flight.await.unwrap().expect(200, 1001);
    assert_eq!(shop.gateway.ended().await.code(), Some(0));
    drop(idle);
    let sent = "select count(*) from topup.top_up";
    assert_eq!(admin.query_one(sent, &[]).await.unwrap().get::<_, i64>(0), 1);
    shop.database.check().await;
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_its_grace() {
    let mut shop = Shop::open_with(&["--shutdown-grace-s", "1"]).await;
    let mut holder = shop.database.admin().await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("lock table topup.top_up in access exclusive mode").await.unwrap();
    let client = shop.client.clone();
    let request = client.request(Method::GET, "/topup/history");
    let in_flight = tokio::spawn(async move { client.try_send(request).await.err() });
    wait_until(LIMIT, "the request is in flight", async || {
        (value(&metrics(&shop).await, "topup_http_in_flight") == Some(1.0)).then_some(())
    })
    .await;
    let start = std::time::Instant::now();
    shop.gateway.terminate();
    shop.gateway.ended().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(in_flight.await.unwrap().is_some(), "a request was answered that could not be");
    assert!(shop.gateway.log().contains("unfinished"));
}

#[tokio::test]
async fn another_version_of_the_extension_brings_its_routes_without_a_restart() {
    let shop = Shop::open().await;
    shop.client.get("/topup/history").await.expect(200, 1000);
    let upgrade = "
        alter function topup.operations() rename to operations_before;
        create function topup.operations() returns table (name text, surface text, success_status smallint, media_type text, method text, path text, scope text,
            idempotent boolean, resolves text, completes_with text, mcp_tool jsonb, summary text, description text,
            request_schema jsonb, reply_schema jsonb, section text, section_description text, refusal_statuses smallint[],
            request_example text, reply_example text, batched boolean) language sql as
        $$select name, surface, success_status, media_type, method, replace(path, '/topup/history', '/topup/past'), scope, idempotent, resolves,
                 completes_with, mcp_tool, summary, description, request_schema, reply_schema, section, section_description,
                 refusal_statuses, request_example, reply_example, batched
            from topup.operations_before()$$;
        grant execute on function topup.operations() to topup_gateway;
        create or replace function topup.version() returns text language sql as $$select '99.0.0'$$;";
    shop.database.admin().await.batch_execute(upgrade).await.unwrap();
    let root = shop.client.at_root();
    wait_until(LIMIT, "the new catalog is read", async || {
        (root.get("/openapi.json").await.json["info"]["version"] == "99.0.0").then_some(())
    })
    .await;
    shop.client.get("/topup/past").await.expect(200, 1000);
    shop.client.get("/topup/history").await.expect(404, 4000);
    assert!(root.get("/openapi.json").await.text.contains("/topup/past"));
}

#[tokio::test]
async fn two_gateways_serve_one_database() {
    let shop = Shop::open().await;
    let other = Gateway::start(&shop.database).await;
    let order = json!({"platform": "claude", "amount_cents": 1000});
    let first = shop.client.post_once("/topup/send", order.clone(), "same").await.expect(200, 1001);
    let again = other.client(&shop.key).post_once("/topup/send", order, "same").await.expect(200, 1001);
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    shop.database.check().await;
}
