//! Postgres is killed again and again under sends of one wallet by SQL, while others ask about them: nothing that anybody
//! was told is taken back. Commits are slow on their way to the disk, so that each kill meets some.

use crate::support::{Cluster, Database, call, wait_until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::{JoinSet, LocalSet};
use tokio_postgres::{Client as Session, Config, Error, NoTls};
use uuid::Uuid;

const KILLS: usize = 12;
const SENDERS: usize = 20;
const READERS: usize = 4;
/// Replies between one kill and the next, at least.
const REPLIES_BETWEEN: usize = 60;
const FUNDS_CENTS: i64 = 100_000_000;
/// A restart with recovery, on a busy machine.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// What senders and readers have in common.
struct Load {
    /// How an app connects.
    config: Config,
    key: String,
    replies: AtomicUsize,
    over: AtomicBool,
    /// The youngest sends that a superuser saw in the tables, before they are on disk.
    seen: Mutex<Vec<String>>,
}

/// Everything that was told.
#[derive(Default)]
struct Told {
    /// The reply to each request under its key.
    sends: BTreeMap<String, (String, Value)>,
    ids: BTreeSet<String>,
    balances: BTreeSet<i64>,
}

impl Load {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn connect(&self) -> Session {
        wait_until(RECOVERY_LIMIT, "Postgres is back", async || {
            let (client, connection) = self.config.connect(NoTls).await.ok()?;
            tokio::spawn(connection);
            let set = "select set_config('topup.api_key', $1, false)";
            client.execute(set, &[&self.key]).await.ok()?;
            Some(client)
        })
        .await
    }

    /// Sends until it is over, each under a key of its own that is repeated until there is a reply.
    async fn send(self: Arc<Load>, number: usize) -> Told {
        let (mut told, mut session) = (Told::default(), self.connect().await);
        for turn in 0.. {
            if self.is_over() {
                break;
            }
            let (key, cents) = (format!("{number}-{turn}"), 100 + random(900));
            let recipient =
                if turn % 2 == 0 { "null".to_owned() } else { format!("'u{}@example.com'", turn % 5) };
            let request = format!("topup.send('claude', {cents}, {recipient}, '{key}')");
            let reply = loop {
                match ask(&session, &request).await {
                    Ok(reply) => break reply,
                    Err(_) => session = self.connect().await,
                }
            };
            assert_eq!(reply["code"], 1001, "{request}: {reply}");
            told.ids.insert(text(&reply["transaction_id"]));
            told.balances.insert(reply["data"]["new_balance_cents"].as_i64().unwrap());
            told.sends.insert(key, (request, reply));
            self.replies.fetch_add(1, Ordering::Relaxed);
        }
        told
    }

    /// Asks in turn for the balance, the youngest sends, and a send that can be seen in the tables already.
    async fn read(self: Arc<Load>) -> Told {
        let (mut told, mut session) = (Told::default(), self.connect().await);
        for turn in 0.. {
            if self.is_over() {
                break;
            }
            let seen = self.seen.lock().unwrap().last().cloned().unwrap_or_default();
            let question = match turn % 3 {
                0 => "topup.balance()".to_owned(),
                1 => "topup.history(page_size => 5)".to_owned(),
                _ => format!("topup.status('{seen}')"),
            };
            let Ok(reply) = ask(&session, &question).await else {
                session = self.connect().await;
                continue;
            };
            if let Some(balance) = reply["data"]["balance_cents"].as_i64() {
                told.balances.insert(balance);
            }
            let listed = reply["data"]["transactions"].as_array().into_iter().flatten();
            told.ids.extend(listed.map(|each| text(&each["transaction_id"])));
            if reply["code"] == 1001 {
                told.ids.insert(text(&reply["transaction_id"]));
            }
        }
        told
    }

    /// Looks into the tables, where sends are before they are on disk.
    async fn watch(self: Arc<Load>, admin: Config) -> Told {
        while !self.is_over() {
            let Ok((client, connection)) = admin.connect(NoTls).await else { continue };
            tokio::spawn(connection);
            let youngest = "select max(transaction_id) from topup.top_ups";
            while let Ok(row) = client.query_one(youngest, &[]).await {
                self.seen.lock().unwrap().extend(row.get::<_, Option<String>>(0));
                if self.is_over() {
                    break;
                }
            }
        }
        Told::default()
    }

    async fn wait_for_more(&self) {
        let wanted = self.replies.load(Ordering::Relaxed) + REPLIES_BETWEEN + random(REPLIES_BETWEEN);
        wait_until(RECOVERY_LIMIT, "sends go on", async || {
            (self.replies.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }
}

async fn ask(session: &Session, call: &str) -> Result<Value, Error> {
    Ok(session.query_one(&format!("select {call}"), &[]).await?.get(0))
}

fn random(below: usize) -> usize {
    (Uuid::now_v7().as_u128() % below as u128) as usize
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A cluster on which commits are slow, but not too slow; and nobody else writes the log meanwhile.
async fn slow_cluster() -> (Cluster, Database) {
    let mut cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let admin = database.admin().await;
    for setting in ["commit_delay = 20000", "commit_siblings = 0", "wal_writer_delay = '10s'"] {
        admin.batch_execute(&format!("alter system set {setting}")).await.unwrap();
    }
    cluster.stop().await;
    cluster.start().await;
    (cluster, database)
}

#[tokio::test]
async fn what_sql_was_told_survives_every_kill() {
    LocalSet::new().run_until(kill_under_sends()).await;
}

async fn kill_under_sends() {
    let (mut cluster, database) = slow_cluster().await;
    let tenant = database.tenant("Acme").await;
    let (_, key) = tenant.key("staging", "").await;
    let fund = format!("topup.fund('{}', 'staging', {FUNDS_CENTS}, 'deposit-1')", tenant.id);
    call(&database.admin().await, &fund).await;
    let mut config = cluster.config("topup");
    config.user("app");
    let load = Arc::new(Load {
        config,
        key: key.clone(),
        replies: AtomicUsize::new(0),
        over: AtomicBool::new(false),
        seen: Mutex::default(),
    });
    let mut all = JoinSet::new();
    for number in 0..SENDERS {
        all.spawn_local(load.clone().send(number));
    }
    for _ in 0..READERS {
        all.spawn_local(load.clone().read());
    }
    all.spawn_local(load.clone().watch(cluster.config("topup")));
    for _ in 0..KILLS {
        load.wait_for_more().await;
        cluster.kill_9();
        cluster.start().await;
    }
    load.wait_for_more().await;
    load.over.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    for one in all.join_all().await {
        told.sends.extend(one.sends);
        told.ids.extend(one.ids);
        told.balances.extend(one.balances);
    }
    nothing_was_taken_back(&database, &key, &told).await;
    let seen: BTreeSet<String> = load.seen.lock().unwrap().drain(..).collect();
    let kept = kept_ids(&database).await;
    assert!(!seen.is_subset(&kept), "no kill met a send on its way to the disk");
    database.check().await;
}

async fn kept_ids(database: &Database) -> BTreeSet<String> {
    let rows = database.admin().await.query("select transaction_id from topup.top_ups", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn nothing_was_taken_back(database: &Database, key: &str, told: &Told) {
    let app = database.app(key).await;
    for (request, reply) in told.sends.values() {
        assert_eq!(call(&app, request).await, *reply, "{request}");
    }
    let kept = kept_ids(database).await;
    let lost: Vec<_> = told.ids.difference(&kept).collect();
    assert!(lost.is_empty(), "told of and gone: {lost:?}");
    assert_eq!(kept.len(), told.sends.len(), "each key was paid once");

    // Amounts are random, so that a balance that came and went does hardly come again.
    let rows = "select (100 * balance_after)::bigint from topup.entries where balance_after is not null";
    let rows = database.admin().await.query(rows, &[]).await.unwrap();
    let stood: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
    let lost: Vec<_> = told.balances.difference(&stood).collect();
    assert!(lost.is_empty(), "balances that never stood: {lost:?}");
}
