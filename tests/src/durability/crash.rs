//! Postgres and the gateway are killed again and again under load, on a cluster of the test's own that keeps
//! its promises. Clients repeat each request under its key until it is answered.

use crate::support::{Client, Cluster, Database, Gateway, Hook, Receiver, Reply, call, wait_until};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

const KILLS: usize = 10;
const CLIENTS: usize = 8;
/// Answers between one kill and the next.
const ANSWERS_BETWEEN: usize = 40;
/// Beside the play money of a new tenant.
const FUNDS_CENTS: i64 = 10_000_000;
const PLAY_MONEY_CENTS: i64 = 100_000;
/// After this, a client takes a request for lost and repeats it.
const PATIENCE: Duration = Duration::from_secs(5);
/// A restart with recovery, on a busy machine.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);
/// A webhook that a killed gateway had in hand is sent again when its lease of 30 s ends; then there are retries.
const DELIVERY_LIMIT: Duration = Duration::from_secs(120);
const FLAGS: [&str; 3] = ["--allow-private-webhooks", "--rate-limit", "0"];

/// What the clients have in common.
struct Load {
    /// To the gateway that runs now.
    client: Mutex<Client>,
    answered: AtomicUsize,
    repeated: AtomicUsize,
    over: AtomicBool,
}

/// A request that was answered.
struct Answer {
    path: &'static str,
    request: Value,
    key: String,
    reply: Reply,
}

impl Load {
    fn new(client: Client) -> Arc<Load> {
        let (answered, repeated) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Load { client: Mutex::new(client), answered, repeated, over: AtomicBool::new(false) })
    }

    /// Sends one of three kinds, the pending ones to be cancelled, until it is over.
    async fn run(self: Arc<Load>, number: usize) -> Vec<Answer> {
        let mut answers = Vec::new();
        for turn in 0.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let mut request = json!({"platform": "claude", "amount_cents": 100 + turn % 7});
            match turn % 3 {
                0 => {}
                1 => request["recipient_email"] = json!(format!("user{}@example.com", turn % 4)),
                _ => request["recipient_email"] = json!("user+pending@example.com"),
            }
            let answer = self.ask("/topup/send", request, format!("{number}-{turn}")).await;
            let cancel = json!({"transaction_id": answer.reply.transaction_id()});
            answers.push(answer);
            if turn % 6 == 5 {
                answers.push(self.ask("/topup/cancel", cancel, format!("{number}-{turn}-cancel")).await);
            }
        }
        answers
    }

    async fn ask(&self, path: &'static str, request: Value, key: String) -> Answer {
        let reply = wait_until(RECOVERY_LIMIT, &format!("{path} {key} is answered"), async || {
            let client = self.client.lock().unwrap().clone();
            let post = client.request(Method::POST, path).header("content-type", "application/json");
            let post = post.header("idempotency-key", &key).body(request.to_string());
            let answered = match timeout(PATIENCE, client.try_send(post)).await {
                Ok(Ok(reply)) if reply.status < 500 => Some(reply),
                _ => None,
            };
            self.repeated.fetch_add(usize::from(answered.is_none()), Ordering::Relaxed);
            answered
        })
        .await;
        assert_eq!(reply.json["success"], true, "{path} {request}: {}", reply.text);
        self.answered.fetch_add(1, Ordering::Relaxed);
        Answer { path, request, key, reply }
    }

    async fn wait_for_more(&self) {
        let wanted = self.answered.load(Ordering::Relaxed) + ANSWERS_BETWEEN;
        wait_until(RECOVERY_LIMIT, "the load goes on", async || {
            (self.answered.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_every_kill_and_nothing_happens_twice() {
    LocalSet::new().run_until(kill_under_load()).await;
}

async fn kill_under_load() {
    let mut cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let tenant = database.tenant("Acme").await;
    let (_, key) = tenant.key("staging", "").await;
    let fund = format!("topup.fund('{}', 'staging', {FUNDS_CENTS}, 'deposit-1')", tenant.id);
    call(&database.admin().await, &fund).await;
    let mut gateway = Gateway::start_with(&database, &FLAGS).await;
    let receiver = Receiver::start().await;
    Hook::register(&gateway.client(&key), &receiver.url).await;

    let load = Load::new(gateway.client(&key));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn_local(load.clone().run(number));
    }
    for kill in 0..KILLS {
        load.wait_for_more().await;
        if kill % 2 == 0 {
            gateway.kill_9();
            gateway = Gateway::start_with(&database, &FLAGS).await;
            *load.client.lock().unwrap() = gateway.client(&key);
        } else {
            cluster.kill_9();
            cluster.start().await;
        }
    }
    load.wait_for_more().await;
    load.over.store(true, Ordering::Relaxed);
    let answers: Vec<Answer> = clients.join_all().await.into_iter().flatten().collect();

    assert!(load.repeated.load(Ordering::Relaxed) > 0, "no kill met a request");
    let client = gateway.client(&key);
    each_is_there_once(&database, &client, &answers).await;
    each_was_told(&database, &receiver, &answers).await;
    ids_go_on(&client, &answers).await;
    database.check().await;
}

async fn each_is_there_once(database: &Database, client: &Client, answers: &[Answer]) {
    for answer in answers {
        let again = client.post_once(answer.path, answer.request.clone(), &answer.key).await;
        assert_eq!(again.text, answer.reply.text, "{} {}", answer.path, answer.key);
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{} {}", answer.path, answer.key);
    }
    let ids = |path| {
        answers.iter().filter(move |answer| answer.path == path).map(|each| each.reply.transaction_id())
    };
    let sent: BTreeSet<String> = ids("/topup/send").collect();
    assert_eq!(sent.len(), ids("/topup/send").count(), "an id was given twice");
    let rows =
        database.admin().await.query("select transaction_id, status from topup.top_ups", &[]).await.unwrap();
    let kept: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(kept, sent);
    let cancelled: BTreeSet<String> = ids("/topup/cancel").collect();
    let kept = rows.iter().filter(|row| row.get::<_, &str>(1) == "cancelled").map(|row| row.get(0)).collect();
    assert_eq!(cancelled, kept);

    let standing = answers.iter().filter(|each| each.path == "/topup/send");
    let standing = standing.filter(|each| !cancelled.contains(&each.reply.transaction_id()));
    let spent: i64 = standing.map(|each| each.reply.data()["cost_cents"].as_i64().unwrap()).sum();
    let balance = client.get("/topup/balance").await.expect(200, 1000);
    assert_eq!(balance.data()["balance_cents"], PLAY_MONEY_CENTS + FUNDS_CENTS - spent);
}

/// Every event came at least once, always with the same id and body, and none came that nobody caused.
async fn each_was_told(database: &Database, receiver: &Receiver, answers: &[Answer]) {
    let event_type = |code| match code {
        1001 => "topup.delivered",
        1002 => "topup.pending",
        _ => "topup.cancelled",
    };
    let wanted: BTreeSet<(String, String)> = answers
        .iter()
        .map(|each| (each.reply.transaction_id(), event_type(each.reply.code()).to_owned()))
        .collect();
    let what = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["data"]["transaction_id"]), text(&event["type"]))
    };
    wait_until(DELIVERY_LIMIT, "every event is delivered", async || {
        let told: BTreeSet<_> = receiver.requests().iter().map(|request| what(&request.json())).collect();
        wanted.is_subset(&told).then_some(())
    })
    .await;

    let mut told: BTreeMap<(String, String), BTreeSet<(String, String)>> = BTreeMap::new();
    for request in receiver.requests() {
        let (event, id) = (request.json(), request.header("webhook-id").to_owned());
        assert_eq!(event["id"], id.as_str());
        told.entry(what(&event)).or_default().insert((id, request.body));
    }
    assert!(told.keys().eq(wanted.iter()), "an event came that no answer tells of");
    let twice: Vec<_> = told.iter().filter(|(_, tellings)| tellings.len() > 1).collect();
    assert!(twice.is_empty(), "one event under several ids or bodies: {twice:?}");

    wait_until(DELIVERY_LIMIT, "every delivery is settled", async || {
        let open = "select count(*) from topup.deliveries where status <> 'succeeded'";
        let open: i64 = database.admin().await.query_one(open, &[]).await.unwrap().get(0);
        (open == 0).then_some(())
    })
    .await;
}

async fn ids_go_on(client: &Client, answers: &[Answer]) {
    let last = answers.iter().map(|each| each.reply.transaction_id()).max().unwrap();
    let next = client.post("/topup/send", json!({"platform": "gemini", "amount_cents": 100})).await;
    let id = next.expect(200, 1001).transaction_id();
    assert!(id > last, "{id} comes after {last}");
}
