//! Every code of the table is reached by a real request, with the HTTP status that the table gives it.

use crate::support::{Answer, Client, Gateway, LIMIT, Receiver, Reply, Shop, wait_until};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A row of the table: meaning, HTTP status, success.
type Row = (String, u16, bool);

async fn table(shop: &Shop) -> BTreeMap<i64, Row> {
    let query = "select code, meaning, http_status, success from topup.codes()";
    let rows = shop.database.admin().await.query(query, &[]).await.unwrap();
    let row = |row: &tokio_postgres::Row| {
        let http_status = u16::try_from(row.get::<_, i16>(2)).unwrap();
        (i64::from(row.get::<_, i16>(0)), (row.get(1), http_status, row.get(3)))
    };
    rows.iter().map(row).collect()
}

/// A client of a new tenant, whose key has these options.
async fn client_with(shop: &Shop, environment: &str, options: &str) -> Client {
    shop.gateway.client(&shop.database.tenant("Acme").await.key(environment, options).await.1)
}

async fn send(client: &Client, platform: &str, amount_cents: i64) -> Reply {
    client.post("/topup/send", json!({"platform": platform, "amount_cents": amount_cents})).await
}

/// A client that may also play the platform, and a pending top-up of it.
async fn fulfiller(shop: &Shop) -> (Client, Value) {
    let client = client_with(shop, "staging", "scopes => array['send', 'read', 'cancel', 'fulfil']").await;
    let to = "ann+pending@example.com";
    let order = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": to});
    let id = client.post("/topup/send", order).await.expect(202, 1002).transaction_id();
    (client, json!({"transaction_id": id}))
}

async fn fail(client: &Client, pending: &Value) -> Reply {
    let id = &pending["transaction_id"];
    client.post("/topup/fail", json!({"transaction_id": id, "reason": "out of stock"})).await
}

/// How each outcome of a top-up is come by.
async fn outcome(code: i64, shop: &Shop) -> Option<Reply> {
    Some(match code {
        1000 => shop.client.get("/topup/balance").await,
        1001 => shop.send().await,
        1002 => shop.send_pending().await,
        1003 => {
            let (client, pending) = fulfiller(shop).await;
            fail(&client, &pending).await
        }
        3001 => {
            let (client, pending) = fulfiller(shop).await;
            client.post("/topup/cancel", pending).await
        }
        3002 => {
            let id = shop.send().await.transaction_id();
            shop.client.post("/topup/cancel", json!({"transaction_id": id})).await
        }
        3003 => shop.client.get("/topup/status/txn_00000000000000000000000000").await,
        3004 => {
            let (client, pending) = fulfiller(shop).await;
            fail(&client, &pending).await.expect(200, 1003);
            client.post("/topup/cancel", pending).await
        }
        3005 => {
            let redeem = json!({"voucher_code": "ATU-0000-0000-0000-0000", "email": "ann@example.com"});
            shop.client.post("/topup/redeem", redeem).await
        }
        3006 => {
            let voucher_code = shop.send().await.data()["voucher_code"].clone();
            let redeem = json!({"voucher_code": voucher_code, "email": "ann@example.com"});
            shop.client.post("/topup/redeem", redeem.clone()).await.expect(200, 1000);
            shop.client.post("/topup/redeem", redeem).await
        }
        _ => return None,
    })
}

/// How each refusal of a request is come by.
async fn refusal(code: i64, shop: &Shop) -> Option<Reply> {
    Some(match code {
        2000 => shop.client.post("/topup/send", json!({})).await,
        2001 => shop.gateway.client("ak_staging_nobody").get("/topup/balance").await,
        2002 => send(&client_with(shop, "live", "").await, "claude", 1000).await,
        2003 => send(&shop.client, "bard", 1000).await,
        2004 => {
            let order = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "nobody"});
            shop.client.post("/topup/send", order).await
        }
        2005 => send(&shop.client, "claude", 99).await,
        2006 => {
            let order = |amount_cents| json!({"platform": "claude", "amount_cents": amount_cents});
            shop.client.post_once("/topup/send", order(1000), "order-1").await.expect(200, 1001);
            shop.client.post_once("/topup/send", order(2000), "order-1").await
        }
        2007 => send(&client_with(shop, "staging", "cap_cents => 500").await, "claude", 1000).await,
        2008 => send(&client_with(shop, "staging", "scopes => array['read']").await, "claude", 1000).await,
        _ => return None,
    })
}

/// How each refusal of the gateway's own is come by.
async fn at_the_door(code: i64, shop: &Shop) -> Option<Reply> {
    let order = json!({"platform": "claude", "amount_cents": 1000}).to_string();
    let post = |content_type, body: String| {
        shop.client.request(Method::POST, "/topup/send").header("content-type", content_type).body(body)
    };
    Some(match code {
        4000 => shop.client.get("/topup/nothing").await,
        4001 => {
            let strict = ["--rate-limit", "1", "--rate-burst", "1"];
            let gateway = Gateway::start_with(&shop.database, &strict).await;
            let client = gateway.client(&shop.key);
            wait_until(LIMIT, "the key is limited", async || {
                Some(client.get("/topup/balance").await).filter(|reply| reply.code() != 1000)
            })
            .await
        }
        4002 => {
            let elsewhere = "allowed_ips => array['203.0.113.0/24']::cidr[]";
            client_with(shop, "staging", elsewhere).await.get("/topup/balance").await
        }
        4003 => shop.client.delete("/topup/send").await,
        4004 => shop.client.send(post("application/json", " ".repeat(2 * 1024 * 1024))).await,
        4005 => shop.client.send(post("text/plain", order)).await,
        _ => return None,
    })
}

/// How each fault, and each trouble with webhooks, is come by.
async fn fault(code: i64, shop: &Shop) -> Option<Reply> {
    Some(match code {
        5000 => {
            break_top_ups(shop).await;
            let reply = shop.send().await;
            mend_top_ups(shop).await;
            reply
        }
        5001 => {
            let receiver = Receiver::start_with([Answer::Reply(500, "out of order".to_owned())]).await;
            let register = json!({"url": receiver.url, "events": ["topup.failed"]});
            let registered = shop.client.post("/webhooks/register", register).await.expect(200, 1000);
            let id = registered.data()["id"].as_str().unwrap();
            // A test was carried out whatever the receiver said, and is 200.
            let test = shop.client.post(&format!("/webhooks/{id}/test"), json!({})).await.expect(200, 5001);
            assert_eq!((receiver.requests().len(), &test.json["success"]), (1, &json!(false)));
            assert!(test.text.contains("500") && test.text.contains("out of order"), "{}", test.text);
            // A replay to an endpoint that is off is not.
            shop.client.patch(&format!("/webhooks/{id}"), json!({"enabled": false})).await.expect(200, 1000);
            let ping = test.data()["delivery_id"].as_str().unwrap();
            shop.client.post(&format!("/webhooks/deliveries/{ping}/replay"), json!({})).await
        }
        5002 => shop.client.post("/webhooks/register", json!({"url": "ftp://example.com/hook"})).await,
        5003 => {
            let gateway = Gateway::listening("postgres://gateway@127.0.0.1:1/nowhere", &[]).await;
            gateway.client(&shop.key).get("/topup/balance").await
        }
        5004 => shop.client.delete("/webhooks/whk_00000000000000000000000000").await,
        _ => return None,
    })
}

async fn break_top_ups(shop: &Shop) {
    let broken = "create function public.burn() returns trigger language plpgsql as
                      $$begin raise exception 'disk on fire at /var/secret' using detail = new.voucher_code; end$$;
                  create trigger burn before insert on topup.top_up for each row execute function public.burn()";
    shop.database.admin().await.batch_execute(broken).await.unwrap();
}

async fn mend_top_ups(shop: &Shop) {
    shop.database.admin().await.batch_execute("drop trigger burn on topup.top_up").await.unwrap();
}

#[tokio::test]
async fn every_code_is_reached_with_its_http_status() {
    let shop = Shop::open().await;
    let table = table(&shop).await;
    assert!(table.len() >= 30);
    for (code, (meaning, http_status, success)) in table {
        let reply = match code {
            1000..2000 | 3000..4000 => outcome(code, &shop).await,
            2000..3000 => refusal(code, &shop).await,
            4000..5000 => at_the_door(code, &shop).await,
            _ => fault(code, &shop).await,
        };
        let reply = reply.unwrap_or_else(|| panic!("no request here leads to {code} ({meaning})"));
        assert_eq!((reply.code(), reply.status), (code, http_status), "{meaning}: {}", reply.text);
        assert_eq!(reply.json["success"], success, "{}", reply.text);
    }
    shop.database.check().await;
}

#[tokio::test]
async fn a_pending_top_up_is_202_when_sent_and_200_when_looked_up() {
    let shop = Shop::open().await;
    let id = shop.send_pending().await.expect(202, 1002).transaction_id();
    shop.client.get(&format!("/topup/status/{id}")).await.expect(200, 1002);
}

#[tokio::test]
async fn a_fault_takes_no_money_and_tells_nothing_but_its_request_id() {
    let shop = Shop::open().await;
    break_top_ups(&shop).await;
    let order = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann@example.com"});
    let reply = shop.client.post_once("/topup/send", order.clone(), "once").await.expect(500, 5000);
    let id = reply.header("x-request-id").unwrap();
    assert_eq!(reply.data(), &json!({"message": format!("Internal error. Request id: {id}")}));
    for inner in ["fire", "secret", "burn", "trigger", "plpgsql", "top_up", "P0001", "ann@"] {
        assert!(!reply.text.contains(inner), "{}", reply.text);
    }
    let told = wait_until(LIMIT, "the log says what happened", async || {
        let log = shop.gateway.log();
        log.lines().find(|line| line.contains(id) && line.contains("disk on fire")).map(str::to_owned)
    });
    assert!(told.await.contains("P0001"));
    assert!(!shop.gateway.log().contains("ATU-"), "the log shows a voucher");

    mend_top_ups(&shop).await;
    assert_eq!(shop.balance_cents().await, 100_000);
    shop.client.post_once("/topup/send", order, "once").await.expect(200, 1001);
    shop.database.check().await;
}

#[tokio::test]
async fn the_page_on_the_api_shows_the_same_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let page = std::fs::read_to_string(page).unwrap();
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let row = |line: &str| match cells(line).as_slice() {
        [_, code, meaning, http_status, _] => {
            Some((code.parse::<i64>().ok()?, (meaning.clone(), http_status.parse::<u16>().ok()?)))
        }
        _ => None,
    };
    let shown: BTreeMap<i64, (String, u16)> = page.lines().filter_map(row).collect();
    let shop = Shop::open().await;
    let table = table(&shop).await.into_iter().map(|(code, (meaning, status, _))| (code, (meaning, status)));
    assert_eq!(shown, table.collect());
}
