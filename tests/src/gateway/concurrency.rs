//! Many clients at once on few wallets: whatever they do, the books agree and nothing is stuck.

use crate::support::play::{self, MILLS_IN_A_CENT, Step, dollars, typed_call};
use crate::support::{Client, Database, Gateway, Reply, call};
use proptest::collection::vec;
use proptest::prelude::Strategy;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio_postgres::Client as Session;
use uuid::Uuid;

const CLIENTS: usize = 32;
const PLAY_TIME: Duration = Duration::from_secs(10);
/// So many that nobody comes to the end; then they begin again.
const STEPS: usize = 2000;
/// The youngest top-ups only are picked, so that clients meet at them.
const PICKED_FROM: usize = 12;
const WALLET_CENTS: i64 = 5000;
const CAP_CENTS: i64 = 3000;

/// A wallet, and what its clients were told about it.
#[derive(Default)]
struct Book {
    tenant_id: String,
    /// A plain key, and one with tier gold and a cap.
    keys: Vec<String>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// Id, number of the key, cost.
    sent: Vec<(String, usize, i64)>,
    vouchers: Vec<String>,
    customers: Vec<String>,
    /// Top-ups whose cost came back.
    returned: HashSet<String>,
    adjusted_mills: i64,
    codes: BTreeMap<(&'static str, i64), usize>,
}

struct Player {
    book: Arc<Book>,
    key_number: usize,
    http: Client,
    session: Session,
    number: usize,
}

type Request = (&'static str, Value);

impl Player {
    async fn play(self, steps: Vec<Step>, until: Instant) {
        for (turn, step) in steps.iter().cycle().enumerate() {
            if Instant::now() > until {
                break;
            }
            let Some((operation, request)) = self.book.request(step) else { continue };
            let keyed = matches!(operation, "send" | "cancel" | "redeem") && turn % 3 == 0;
            let replies = match (keyed, operation) {
                (true, _) => self.both_ways(operation, &request).await,
                (false, "adjust") => vec![self.by_sql(operation, &request, None).await],
                (false, _) if (turn + self.number).is_multiple_of(2) => {
                    vec![self.by_http(operation, &request, None).await]
                }
                (false, _) => vec![self.by_sql(operation, &request, None).await],
            };
            for reply in replies {
                self.book.note(self.key_number, operation, &request, &reply);
            }
        }
    }

    /// The same request under one key over HTTP and SQL at once. Where both succeed, they are one.
    async fn both_ways(&self, operation: &'static str, request: &Value) -> Vec<Value> {
        let key = Uuid::now_v7().to_string();
        let (http, sql) = tokio::join!(
            self.by_http(operation, request, Some(&key)),
            self.by_sql(operation, request, Some(&key)),
        );
        if http["success"] == true && sql["success"] == true {
            assert_eq!(http, sql, "{operation} {request}");
            return vec![http];
        }
        vec![http, sql]
    }

    async fn by_http(&self, operation: &str, request: &Value, key: Option<&str>) -> Value {
        let path = format!("/topup/{operation}");
        let reply: Reply = match key {
            Some(key) => self.http.post_once(&path, request.clone(), key).await,
            None => self.http.post(&path, request.clone()).await,
        };
        assert!(reply.status < 500, "{operation} {request}: {} {}", reply.status, reply.text);
        reply.json
    }

    async fn by_sql(&self, operation: &str, request: &Value, key: Option<&str>) -> Value {
        call(&self.session, &typed_call(operation, request, key)).await
    }
}

impl Book {
    /// A wallet of 5000 cents with its two keys.
    async fn open(database: &Database, name: &str) -> Book {
        let tenant = database.tenant(name).await;
        let scopes = "scopes => '{send,read,cancel,redeem,wallets,fulfil}'";
        let (_, plain) = tenant.key("staging", scopes).await;
        let capped = format!("{scopes}, tier => 'gold', cap_cents => {CAP_CENTS}, cap_period => 'total'");
        let (_, capped) = tenant.key("staging", &capped).await;
        let app = database.app(&plain).await;
        let spend = dollars((WALLET_CENTS - 100_000) * MILLS_IN_A_CENT);
        call(&app, &format!("topup.adjust('start', 'USD', {spend}, 'other')")).await;
        Book { tenant_id: tenant.id, keys: vec![plain, capped], told: Mutex::default() }
    }

    /// A step as a request on what there is; none while there is nothing to pick.
    fn request(&self, step: &Step) -> Option<Request> {
        let told = self.told.lock().unwrap();
        let young = &told.sent[told.sent.len().saturating_sub(PICKED_FROM)..];
        let of_young = |index: &proptest::sample::Index| {
            (!young.is_empty()).then(|| json!({"transaction_id": index.get(young).0}))
        };
        let adjust = |mills: i64| {
            json!({"transaction_id": Uuid::now_v7().to_string(), "asset": "USD", "reason": "other",
                   "amount": serde_json::from_str::<Value>(&dollars(mills)).unwrap()})
        };
        Some(match step {
            Step::Send { platform, amount_cents, recipient } => {
                let mut request = json!({"platform": platform, "amount_cents": amount_cents});
                if let Some(recipient) = recipient {
                    request["recipient_email"] = json!(recipient);
                }
                ("send", request)
            }
            Step::Cancel(index) => ("cancel", of_young(index)?),
            Step::Deliver(index) => ("deliver", of_young(index)?),
            Step::Fail(index) => {
                let mut request = of_young(index)?;
                request["reason"] = json!("broken");
                ("fail", request)
            }
            Step::Redeem { top_up, email } => {
                let young = &told.vouchers[told.vouchers.len().saturating_sub(PICKED_FROM)..];
                let voucher = (!young.is_empty()).then(|| top_up.get(young))?;
                ("redeem", json!({"voucher_code": voucher, "email": email}))
            }
            Step::AdjustWallet { mills } => ("adjust", adjust(*mills)),
            Step::AdjustCustomer { platform, mills, .. } => {
                let mut request = adjust(*mills);
                request["customer_id"] = json!(told.customers.last()?);
                request["account_name"] = json!(platform);
                ("adjust", request)
            }
        })
    }

    fn note(&self, key_number: usize, operation: &'static str, request: &Value, reply: &Value) {
        let mut told = self.told.lock().unwrap();
        let code = reply["code"].as_i64().unwrap();
        *told.codes.entry((operation, code)).or_default() += 1;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let id = text(&reply["transaction_id"]);
        let data = &reply["data"];
        match (operation, code) {
            ("send", 1001 | 1002) => {
                told.sent.push((id.unwrap(), key_number, data["cost_cents"].as_i64().unwrap()));
                told.vouchers.extend(text(&data["voucher_code"]));
            }
            ("deliver", 1001) => told.vouchers.extend(text(&data["voucher_code"])),
            ("cancel", 3001) | ("fail", 1003) => {
                told.returned.insert(id.unwrap());
            }
            ("redeem", 1000) => told.customers.extend(text(&data["customer_id"])),
            ("adjust", 1000) if request.get("customer_id").is_none() => {
                let amount = request["amount"].to_string().parse::<f64>().unwrap();
                told.adjusted_mills += (amount * 100_000.0).round() as i64;
            }
            _ => {}
        }
    }

    /// What the wallet must hold, and what the capped key must have used, by what clients were told.
    fn expected(&self) -> (i64, i64) {
        let told = self.told.lock().unwrap();
        let ids: BTreeSet<&str> = told.sent.iter().map(|(id, ..)| id.as_str()).collect();
        assert_eq!(ids.len(), told.sent.len(), "an id was given twice");
        let standing = told.sent.iter().filter(|(id, ..)| !told.returned.contains(id));
        let cost = |key| standing.clone().filter(|each| each.1 == key).map(|each| each.2).sum::<i64>();
        let mills =
            WALLET_CENTS * MILLS_IN_A_CENT + told.adjusted_mills - (cost(0) + cost(1)) * MILLS_IN_A_CENT;
        (mills.div_euclid(MILLS_IN_A_CENT), cost(1))
    }
}

fn random_steps() -> Vec<Step> {
    vec(play::step(), STEPS).new_tree(&mut TestRunner::default()).unwrap().current()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_clients_on_two_wallets_leave_books_that_agree() {
    let database = Database::new().await;
    call_admin(&database, play::SET_PLATFORM).await;
    let flags = ["--rate-limit", "0"];
    let gateway = Gateway::start_with(&database, &flags).await;
    let books = [Book::open(&database, "Acme").await, Book::open(&database, "Bolt").await].map(Arc::new);
    let mut players = Vec::new();
    for number in 0..CLIENTS {
        let book = books[number % 2].clone();
        let key_number = usize::from(number % 8 >= 6);
        let key = &book.keys[key_number];
        let (http, session) = (gateway.client(key), database.app(key).await);
        players.push(Player { book, key_number, http, session, number });
    }
    let until = Instant::now() + PLAY_TIME;
    let mut playing = JoinSet::new();
    for player in players {
        playing.spawn(player.play(random_steps(), until));
    }
    playing.join_all().await;

    let mut codes = BTreeMap::new();
    for book in &books {
        let (wallet_cents, cap_used_cents) = book.expected();
        let balance = gateway.client(&book.keys[1]).get("/topup/balance").await.expect(200, 1000);
        assert_eq!(balance.data()["balance_cents"], wallet_cents, "{}", book.tenant_id);
        assert_eq!(balance.data()["key"]["cap_used_cents"], cap_used_cents, "{}", book.tenant_id);
        assert!(wallet_cents >= 0 && cap_used_cents <= CAP_CENTS);
        codes.extend(book.told.lock().unwrap().codes.clone());
    }
    // It was a fight: every ending and every shortage occurred.
    let wanted = [
        ("send", [1001, 1002, 2002, 2007]),
        ("cancel", [3001, 3001, 3002, 3004]),
        ("deliver", [1001, 1001, 3003, 3004]),
        ("fail", [1003, 1003, 3002, 3003]),
        ("redeem", [1000, 1000, 1000, 3006]),
        ("adjust", [1000, 1000, 1000, 2002]),
    ];
    for (operation, wanted) in wanted {
        let missing: Vec<i64> =
            wanted.into_iter().filter(|code| !codes.contains_key(&(operation, *code))).collect();
        assert!(missing.is_empty(), "{operation} never gave {missing:?}: {codes:?}");
    }
    database.check().await;
    nothing_was_stuck(&database).await;
}

async fn call_admin(database: &Database, function_call: &str) {
    database.admin().await.batch_execute(&format!("select {function_call}")).await.unwrap();
}

async fn nothing_was_stuck(database: &Database) {
    let query = "select deadlocks from pg_stat_database where datname = current_database()";
    let deadlocks: i64 = database.admin().await.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(deadlocks, 0);
}
