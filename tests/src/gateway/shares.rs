//! Shares: whoever's calls hang, by a transaction left open or by their size, keeps nobody else out.

use crate::support::rpc::Rpc;
use crate::support::{Client, Database, Gateway, Payer, Reply, Shop, VISA, Visitor};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_postgres::Client as Session;

const FLAGS: [&str; 3] = ["--rate-limit", "0", "--allow-private-webhooks"];
/// Of the 16 connections of requests.
const OF_KEY: i64 = 6;
const OF_TENANT: i64 = 8;
/// More than connections.
const CALLS: usize = 64;
const KEYS: usize = 16;
/// A machine under load takes its time; a call that waits for a connection takes three seconds.
const PROMPTLY: Duration = Duration::from_secs(2);

/// A tenant with some keys, and a customer whose account an open transaction holds.
struct Jam {
    keys: Vec<String>,
    customer: String,
    holder: Session,
}

impl Jam {
    async fn open(database: &Database, gateway: &Gateway, keys: usize) -> Jam {
        let tenant = database.tenant("Jam").await;
        let mut minted = Vec::new();
        for _ in 0..keys {
            minted.push(tenant.key("staging", "").await.1);
        }
        let root = gateway.client(&minted[0]).at_root();
        let made = root.post("/customers", json!({"name": "Ann"})).await.expect_status(201);
        let customer = made.json["id"].as_str().unwrap().to_owned();
        let gift = json!({"transaction_id": "gift", "asset": "USD", "amount": 1000, "reason": "gift"});
        root.post(&format!("/customers/{customer}/wallet/adjustments"), gift).await.expect_status(201);
        let holder = database.app(&minted[0]).await;
        let hold = format!("begin; select topup.charge('{customer}', 'held', 'USD', 1)");
        holder.batch_execute(&hold).await.unwrap();
        Jam { keys: minted, customer, holder }
    }

    /// Charges, by each of the keys in turn.
    fn charge(&self, gateway: &Gateway, calls: usize) -> JoinSet<Reply> {
        let mut begun = JoinSet::new();
        for n in 0..calls {
            let root = gateway.client(&self.keys[n % self.keys.len()]).at_root();
            let path = format!("/customers/{}/wallet/charges", self.customer);
            let charge = json!({"transaction_id": format!("c-{n}"), "asset": "USD", "amount": 1});
            begun.spawn(async move { root.post(&path, charge).await });
        }
        begun
    }

    /// Lets the customer go; every call is then answered, and done where it says so.
    async fn end(self, database: &Database, begun: JoinSet<Reply>) {
        self.holder.batch_execute("rollback").await.unwrap();
        let mut done = 0;
        for reply in begun.join_all().await {
            match reply.status {
                201 => done += 1,
                _ => drop(is_later(reply)),
            }
        }
        let query = "select count(*) from topup.transactions where kind = 'charge'";
        let charges: i64 = database.admin().await.query_one(query, &[]).await.unwrap().get(0);
        assert_eq!(charges, done);
        database.check().await;
    }
}

#[track_caller]
fn is_later(reply: Reply) -> Reply {
    let reply = reply.expect(503, 5003);
    assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    reply
}

async fn promptly<T>(what: &str, answer: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let answer = answer.await;
    assert!(start.elapsed() < PROMPTLY, "{what}: {:?}", start.elapsed());
    answer
}

/// Another tenant reads and sends as if nothing were.
async fn others_are_served(shop: &Shop) {
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    for _ in 0..5 {
        promptly("balance", shop.client.get("/topup/balance")).await.expect(200, 1000);
        promptly("send", shop.send()).await.expect(200, 1001);
        promptly("MCP", rpc.call("check_balance", json!({}))).await.expect(1000);
    }
}

async fn waiting(admin: &Session) -> i64 {
    let query = "select count(*) from pg_stat_activity where datname = current_database()
                  and application_name = 'topup-gateway' and wait_event_type = 'Lock'";
    admin.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_that_is_held_keeps_no_other_tenant_and_no_other_key_waiting() {
    let shop = Shop::open_with(&FLAGS).await;
    let jam = Jam::open(&shop.database, &shop.gateway, 1).await;
    let begun = jam.charge(&shop.gateway, CALLS);
    shop.database.wait_for_waiting(OF_KEY).await;
    others_are_served(&shop).await;
    assert_eq!(waiting(&shop.database.admin().await).await, OF_KEY);
    jam.end(&shop.database, begun).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_many_keys_has_one_share() {
    let shop = Shop::open_with(&FLAGS).await;
    let jam = Jam::open(&shop.database, &shop.gateway, KEYS).await;
    let begun = jam.charge(&shop.gateway, CALLS);
    shop.database.wait_for_waiting(OF_TENANT).await;
    others_are_served(&shop).await;
    assert_eq!(waiting(&shop.database.admin().await).await, OF_TENANT);
    jam.end(&shop.database, begun).await;
}

fn order() -> Value {
    json!({"platform": "claude", "amount_cents": 100})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_of_many_keys_over_http_and_mcp_have_one_share() {
    let shop = Shop::open_with(&FLAGS).await;
    let jam = Jam::open(&shop.database, &shop.gateway, KEYS).await;
    let holder = shop.database.app(&jam.keys[0]).await;
    holder.batch_execute("begin; select topup.send('claude', 100)").await.unwrap();
    let (mut by_http, mut by_mcp) = (JoinSet::new(), JoinSet::new());
    for n in 0..CALLS {
        let key = &jam.keys[n % KEYS];
        if n % 2 == 0 {
            let client: Client = shop.gateway.client(key);
            by_http.spawn(async move { client.post("/topup/send", order()).await });
        } else {
            let rpc = Rpc::new(&shop.gateway, key);
            by_mcp.spawn(async move { rpc.call("send_topup", order()).await });
        }
    }
    shop.database.wait_for_waiting(OF_TENANT).await;
    others_are_served(&shop).await;
    assert_eq!(waiting(&shop.database.admin().await).await, OF_TENANT);
    holder.batch_execute("rollback").await.unwrap();
    let mut done = 5;
    for reply in by_http.join_all().await {
        match reply.status {
            200 => done += 1,
            _ => drop(is_later(reply)),
        }
    }
    for result in by_mcp.join_all().await {
        match result.is_error {
            false => done += 1,
            true => drop(result.refused(5003)),
        }
    }
    assert_eq!(shop.database.top_ups().await, done);
    jam.end(&shop.database, JoinSet::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_payments_and_health_do_without_the_connections_of_requests() {
    let shop = Shop::open_with(&[&FLAGS[..], &["--database-pool-size", "2"]].concat()).await;
    let mut visitor = Visitor::of(Payer::open_with(shop).await);
    visitor.go_in().await;
    let top_up = visitor.payer.top_up("25", json!({})).await;
    let shop = &visitor.payer.till.shop;
    let (first, second) = (
        Jam::open(&shop.database, &shop.gateway, 1).await,
        Jam::open(&shop.database, &shop.gateway, 1).await,
    );
    let mut begun = first.charge(&shop.gateway, 4);
    let more = second.charge(&shop.gateway, 4);
    shop.database.wait_for_waiting(2).await;

    promptly("portal", visitor.look("/portal")).await.expect_status(200);
    promptly("checkout", visitor.payer.look(&top_up, "")).await.expect_status(200);
    promptly("paying", visitor.payer.pay(&top_up, VISA, &[])).await.expect_status(303);
    let stranger = shop.gateway.stranger().at_root();
    promptly("health", stranger.get("/health/ready")).await.expect_status(200);
    promptly("documentation", stranger.get("/docs")).await.expect_status(200);
    assert_eq!(waiting(&shop.database.admin().await).await, 2);

    second.holder.batch_execute("rollback").await.unwrap();
    for reply in more.join_all().await {
        begun.spawn(std::future::ready(reply));
    }
    first.end(&shop.database, begun).await;
}

#[tokio::test]
async fn what_is_held_is_waited_for_shortly_and_then_nothing_was_done() {
    let flags = [&FLAGS[..], &["--lock-timeout-ms", "300"]].concat();
    let shop = Shop::open_with(&flags).await;
    let jam = Jam::open(&shop.database, &shop.gateway, 1).await;
    for _ in 0..3 {
        let reply = jam.charge(&shop.gateway, 1).join_all().await.remove(0);
        let told =
            is_later(reply).expect_problem(503, 5003, None).json["detail"].as_str().unwrap().to_owned();
        assert!(told.contains("Something else holds") && told.contains("Nothing was done"), "{told}");
    }
    jam.holder.batch_execute("rollback").await.unwrap();
    let again = jam.charge(&shop.gateway, 1).join_all().await.remove(0);
    assert_eq!(again.status, 201, "the same id, for the first time: {}", again.text);
    let query = "select count(*) from topup.transactions where kind = 'charge'";
    let charges: i64 = shop.database.admin().await.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(charges, 1);
    shop.database.check().await;
}
