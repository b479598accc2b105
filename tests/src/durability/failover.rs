//! Standbys: what only reads is answered there, what changes something is 503 with the reason, and once a standby has been
//! promoted the same gateway goes on. Each test has clusters of its own.

use crate::support::{Bank, Client, Cluster, Database, Gateway, LIMIT, Reply, call, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

const RECOVERY_LIMIT: Duration = Duration::from_secs(30);

/// One of everything, so that each read finds something.
struct Stock {
    bank: Bank,
    account: String,
    hold: String,
    product: String,
    top_up: String,
    send: String,
}

impl Stock {
    async fn fill(database: Database) -> Stock {
        let key = database.staging_key().await;
        let bank = Bank::with(database, key).await;
        bank.adjust("10", "gift", "").await;
        let hold = bank.held("1", "1 hour").await;
        bank.sell_calls().await;
        let product: String = bank
            .admin
            .query_one("select topup.format_id('prod', product_id) from topup.product", &[])
            .await
            .unwrap()
            .get(0);
        let event = r#"[{"id":"e-1","event_type":"call","occurred_at":"2026-02-01T00:00:00Z"}]"#;
        let recorded = call(&bank.app, &format!("topup.record_usage('{}', '{event}')", bank.customer)).await;
        assert_eq!(recorded["code"], 1000, "{recorded}");
        let urls = "'https://shop.example/ok', 'https://shop.example/no'";
        let top_up =
            call(&bank.app, &format!("topup.top_up_create('{}', 5, 'USD', {urls})", bank.customer)).await;
        let top_up = top_up["data"]["id"].as_str().unwrap().to_owned();
        let send = call(&bank.app, "topup.send('claude', 100)").await;
        let send = send["transaction_id"].as_str().unwrap().to_owned();
        // From now on nobody touches the account.
        bank.grant("5", "gift", "1 second").await;
        let account = call(&bank.app, "topup.account_self()").await;
        let account = account["data"]["account_id"].as_str().unwrap().to_owned();
        Stock { bank, account, hold, product, top_up, send }
    }

    /// The path of an operation, about something that is there.
    fn path(&self, pattern: &str) -> String {
        let account = if pattern.starts_with("/client/") { self.account.as_str() } else { "default%3AUSD" };
        let transaction = if pattern.starts_with("/customers/") { "a0" } else { self.send.as_str() };
        let mut path = pattern.to_owned();
        for (name, value) in [
            ("customer_id", self.bank.customer.as_str()),
            ("account_id", account),
            ("transaction_id", transaction),
            ("hold_id", &self.hold),
            ("product_id", &self.product),
            ("version", "1"),
            ("event_id", "e-1"),
            ("top_up_id", &self.top_up),
            ("code", "USD"),
        ] {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        if path.ends_with("/usage-history") {
            path.push_str("?value_grouping_window=day");
        }
        path
    }
}

async fn replayed(primary: &Database, standby: &Database) {
    let (primary, standby) = (primary.admin().await, standby.admin().await);
    let end: String = primary.query_one("select pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
    wait_until(LIMIT, "the standby has it all", async || {
        let query = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        standby.query_one(query, &[&end]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
}

async fn send(client: &Client) -> Reply {
    client.post("/topup/send", json!({"platform": "claude", "amount_cents": 100})).await
}

async fn serves_again(client: &Client) {
    wait_until(RECOVERY_LIMIT, "a send is served", async || {
        let reply = send(client).await;
        if reply.status == 503 {
            return None;
        }
        Some(reply.expect(200, 1001))
    })
    .await;
}

/// Without what differs from call to call.
fn without_times(mut json: Value) -> Value {
    for field in ["timestamp", "to"] {
        if let Some(value) = json.get_mut(field) {
            value.take();
        }
    }
    json
}

#[tokio::test]
async fn a_standby_answers_every_read_says_why_it_changes_nothing_and_serves_once_it_is_promoted() {
    let primary = Cluster::private().await;
    let stock = Stock::fill(Database::on(&primary).await).await;
    let standby = primary.standby().await;
    let replica = Database::found_on(&standby);
    replayed(&stock.bank.database, &replica).await;
    let here = Gateway::start_with(&stock.bank.database, &["--no-worker"]).await;
    let there = Gateway::start_with(&replica, &["--no-worker"]).await;
    let (here, far) = (here.client(&stock.bank.key).at_root(), there.client(&stock.bank.key));
    // Nobody has booked yet that a grant has expired.
    let statement = stock.path("/customers/{customer_id}/wallet/{account_id}/statement");
    let refused = wait_until(LIMIT, "the grant has expired", async || {
        let reply = far.at_root().get(&statement).await;
        (reply.status != 200).then(|| reply.expect_problem(503, 5003, None))
    })
    .await;
    assert!(refused.json["detail"].as_str().unwrap().contains("standby"), "{}", refused.text);
    assert!(here.get(&statement).await.expect_status(200).text.contains("expire"));
    replayed(&stock.bank.database, &replica).await;
    let reads = "select path from topup.operations() where method = 'GET' and path is not null order by path";
    let mut count = 0;
    for row in stock.bank.admin.query(reads, &[]).await.unwrap() {
        let path = stock.path(row.get(0));
        let answer = far.at_root().get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let wanted = here.get(&path).await.expect_status(200);
        assert_eq!(without_times(answer.json), without_times(wanted.json), "{path}");
        count += 1;
    }
    assert!(count > 20, "{count}");

    let refused = send(&far).await.expect(503, 5003);
    assert!(refused.header("retry-after").is_some());
    assert!(refused.data()["message"].as_str().unwrap().contains("standby"), "{}", refused.text);
    let made = far.at_root().post("/customers", json!({"name": "Bob"})).await.expect_problem(503, 5003, None);
    assert!(made.json["detail"].as_str().unwrap().contains("standby"), "{}", made.text);

    replica.admin().await.query_one("select pg_promote()", &[]).await.unwrap();
    serves_again(&far).await;
    replica.check().await;
}

#[tokio::test]
async fn of_two_servers_the_gateway_finds_the_one_that_takes_changes() {
    let mut primary = Cluster::private().await;
    let database = Database::on(&primary).await;
    let key = database.staging_key().await;
    let standby = primary.standby().await;
    let replica = Database::found_on(&standby);
    replayed(&database, &replica).await;
    let port = |cluster: &Cluster| format!("127.0.0.1:{}", cluster.port());
    let url =
        database.gateway_url().replace(&port(&primary), &format!("{},{}", port(&standby), port(&primary)));
    let gateway = Gateway::listening(&url, &["--no-worker"]).await;
    let client = gateway.client(&key);
    // The standby is named first, and takes no sends.
    serves_again(&client).await;
    for _ in 0..5 {
        send(&client).await.expect(200, 1001);
    }
    replayed(&database, &replica).await;
    primary.kill_9();
    send(&client).await.expect(503, 5003);
    replica.admin().await.query_one("select pg_promote()", &[]).await.unwrap();
    serves_again(&client).await;
    assert_eq!(replica.top_ups().await, 7);
    replica.check().await;
}
