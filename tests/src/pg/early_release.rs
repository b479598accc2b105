//! A wallet is given back before its send is on disk, and whoever is told of the send is told when it is there. On a
//! cluster on which it takes an application's session a tenth of a second to write its commit.

use crate::support::{Client, Cluster, Database, Gateway, LIMIT, call, wait_until};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::Client as Session;

/// Sends after which one should have been met on its way to the disk.
const ATTEMPTS: usize = 20;
/// Often enough that none of them was met by chance.
const TIMES: usize = 3;
const SENDERS: u32 = 20;
const SEND: &str = "select topup.send('claude', 100, 'ann@example.com')";

struct Slow {
    key: String,
    customer: String,
    admin: Session,
    database: Database,
    _cluster: Cluster,
}

/// A send that everybody could see.
struct Seen {
    id: String,
    /// A place in the log that is not before its commit.
    place: String,
    is_on_disk: bool,
    sending: JoinHandle<()>,
}

impl Slow {
    async fn open() -> Slow {
        let mut cluster = Cluster::private().await;
        let database = Database::on(&cluster).await;
        let key = database.staging_key().await;
        let first =
            call(&database.app(&key).await, "topup.customer_create('Ann', null, 'ann@example.com')").await;
        let customer = first["data"]["id"].as_str().unwrap_or_else(|| panic!("{first}")).to_owned();
        let admin = database.admin().await;
        for statement in [
            "alter role app set commit_delay = 100000",
            "alter system set commit_siblings = 0",
            "alter system set wal_writer_delay = '10s'",
            "alter system set autovacuum = off",
            "alter system set max_prepared_transactions = 2",
            "create table note (n int primary key, of int references note deferrable initially deferred)",
            "grant all on note to app",
        ] {
            admin.batch_execute(statement).await.unwrap();
        }
        cluster.stop().await;
        cluster.start().await;
        let admin = database.admin().await;
        // As a session of the superuser it knows the extension's settings only so.
        admin.batch_execute("load 'pg_topup'").await.unwrap();
        Slow { key, customer, admin, database, _cluster: cluster }
    }

    async fn app(&self) -> Session {
        self.database.app(&self.key).await
    }

    async fn set(&self, setting: &str) {
        self.admin.batch_execute(&format!("alter system set {setting}")).await.unwrap();
        self.admin.batch_execute("select pg_reload_conf()").await.unwrap();
        let (name, value) = setting.split_once(" = ").unwrap();
        wait_until(LIMIT, setting, async || {
            let now: String = self.admin.query_one(&format!("show {name}"), &[]).await.unwrap().get(0);
            (now == value.trim_matches('\'')).then_some(())
        })
        .await;
    }

    /// How often the log was brought to the disk, once all applications have gone and said so.
    async fn syncs(&self) -> i64 {
        let apps = "select count(*) from pg_stat_activity where usename = 'app'";
        let gone =
            async || (self.admin.query_one(apps, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(());
        wait_until(LIMIT, "applications to go", gone).await;
        self.admin.query_one("select wal_sync from pg_stat_wal", &[]).await.unwrap().get(0)
    }

    /// The youngest send, and the place that the log had come to.
    async fn youngest(&self) -> (String, String) {
        let query =
            "select coalesce(max(transaction_id), ''), pg_current_wal_insert_lsn()::text from topup.top_ups";
        let row = self.admin.query_one(query, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Has a session run what sends, and waits until others see that.
    async fn send(&self, sender: Session, statements: &str) -> Seen {
        let (before, statements) = (self.youngest().await, statements.to_owned());
        let sending = tokio::spawn(async move { sender.batch_execute(&statements).await.unwrap() });
        let youngest = wait_until(LIMIT, "others see a send", async || {
            Some(self.youngest().await).filter(|(id, _)| *id != before.0)
        });
        let (id, place) = youngest.await;
        // The log is written in order: what began after that place cannot be there without going beyond it.
        let is_on_disk = self.has_gone_beyond(&before.1).await;
        Seen { id, place, is_on_disk, sending }
    }

    /// One that is not on disk yet.
    async fn send_early(&self, statements: &str) -> Seen {
        for _ in 0..ATTEMPTS {
            let seen = self.send(self.app().await, statements).await;
            if !seen.is_on_disk {
                return seen;
            }
            seen.sending.await.unwrap();
        }
        panic!("each of {ATTEMPTS} was on disk before others saw it: {statements}");
    }

    async fn sends_late(&self, what: &str, before: &str, statements: &str) {
        for _ in 0..TIMES {
            let app = self.app().await;
            app.batch_execute(before).await.unwrap();
            let seen = self.send(app, statements).await;
            assert!(seen.is_on_disk, "{what}");
            seen.sending.await.unwrap();
        }
    }

    /// Whether the disk has.
    async fn has_gone_beyond(&self, place: &str) -> bool {
        let query = "select pg_current_wal_flush_lsn() > $1::text::pg_lsn";
        self.admin.query_one(query, &[&place]).await.unwrap().get(0)
    }

    async fn is_on_disk(&self, place: &str) -> bool {
        let query = "select pg_current_wal_flush_lsn() >= $1::text::pg_lsn";
        self.admin.query_one(query, &[&place]).await.unwrap().get(0)
    }
}

async fn show(session: &Session) -> String {
    session.query_one("show synchronous_commit", &[]).await.unwrap().get(0)
}

/// Each of them goes to the disk by itself where it holds the wallet until it is there, and together with others where not.
#[tokio::test]
async fn sends_of_one_wallet_do_not_wait_for_one_anothers_disk() {
    let slow = Slow::open().await;
    for (setting, share) in [("on", true), ("off", false)] {
        slow.set(&format!("topup.early_lock_release = {setting}")).await;
        let (before, mut sessions) = (slow.syncs().await, Vec::new());
        for _ in 0..SENDERS {
            sessions.push(slow.app().await);
        }
        // A session's first call takes long, and would leave the disk time for each send.
        for session in &sessions {
            assert_eq!(call(session, "topup.balance()").await["code"], 1000);
        }
        let mut sends = JoinSet::new();
        for session in sessions {
            sends.spawn(async move { call(&session, "topup.send('claude', 100)").await });
        }
        let replies = sends.join_all().await;
        assert!(replies.iter().all(|reply| reply["code"] == 1001), "{replies:?}");
        let syncs = slow.syncs().await - before;
        assert_eq!(syncs < i64::from(SENDERS) / 2, share, "{setting}: {syncs} syncs");
    }
    slow.database.check().await;
}

/// Under a key that is another each time.
const SEND_KEYED: &str = "select topup.send('claude', 100, null, (select count(*) from topup.top_ups)::text)";

/// Who could tell of a send before it is on disk.
const READERS: [&str; 10] =
    ["balance", "status", "history", "wallet", "again", "written", "sent", "http", "portal", "claim"];

struct Readers {
    app: Session,
    gateway: Session,
    client: Client,
    portal: String,
    _gateway: Gateway,
}

impl Readers {
    async fn of(slow: &Slow) -> Readers {
        let (app, gateway) = (slow.app().await, slow.database.gateway().await);
        app.batch_execute("set topup.allow_private_webhooks = on").await.unwrap();
        assert_eq!(call(&app, "topup.webhook_register('http://127.0.0.1:9/hook')").await["code"], 1000);
        let link = format!(
            "topup.portal_session_create('{}', 'https://a.example', 'https://a.example')",
            slow.customer
        );
        let link = call(&app, &link).await;
        let token = link["data"]["redirect_url"].as_str().unwrap_or_else(|| panic!("{link}"));
        let token = token.rsplit(['/', '=']).next().unwrap();
        let entered: Value =
            gateway.query_one("select topup.portal_enter($1)", &[&token]).await.unwrap().get(0);
        let portal = entered["session"].as_str().unwrap_or_else(|| panic!("{entered}")).to_owned();
        let served = Gateway::start_with(&slow.database, &["--no-worker"]).await;
        Readers { app, gateway, client: served.client(&slow.key), portal, _gateway: served }
    }

    async fn ask(&self, reader: &str, slow: &Slow, id: &str) -> Value {
        let app = &self.app;
        match reader {
            "balance" => call(app, "topup.balance()").await,
            "status" => call(app, &format!("topup.status('{id}')")).await,
            "history" => call(app, "topup.history()").await,
            "wallet" => call(app, &format!("topup.wallet('{}')", slow.customer)).await,
            "again" => {
                call(app, "topup.send('claude', 100, null, ((select count(*) from topup.top_ups) - 1)::text)")
                    .await
            }
            "written" => {
                app.batch_execute("begin; insert into note values (1)").await.unwrap();
                call(app, "topup.history()").await
            }
            "sent" => {
                app.batch_execute("begin").await.unwrap();
                call(app, "topup.send('claude', 100)").await
            }
            "http" => self.client.get(&format!("/topup/status/{id}")).await.json,
            "portal" => {
                let view = "select topup.portal_view($1)";
                json!({"success": true, "data": self.gateway.query_one(view, &[&self.portal]).await.unwrap().get::<_, Value>(0)})
            }
            "claim" => {
                let claim = "select count(*) from topup.claim_effects(100, 100, '{}', 1)";
                let claimed: i64 = self.gateway.query_one(claim, &[]).await.unwrap().get(0);
                json!({"success": claimed > 0})
            }
            unknown => panic!("{unknown}"),
        }
    }
}

#[tokio::test]
async fn what_a_reader_is_told_is_on_disk() {
    let slow = Slow::open().await;
    let readers = Readers::of(&slow).await;
    for reader in READERS {
        let seen = slow.send_early(if reader == "again" { SEND_KEYED } else { SEND }).await;
        let told = readers.ask(reader, &slow, &seen.id).await;
        assert!(slow.is_on_disk(&seen.place).await, "{reader}");
        assert_ne!(told["success"], false, "{reader}: {told}");
        assert!(reader != "again" || told["transaction_id"] == seen.id, "{told}");
        readers.app.batch_execute("rollback").await.unwrap();
        seen.sending.await.unwrap();
    }
    slow.database.check().await;
}

#[tokio::test]
async fn only_what_does_nothing_but_send_is_given_back_early() {
    let slow = Slow::open().await;
    let blocks = format!("begin; {SEND}; savepoint a; {SEND}; release a; {SEND}; commit");
    for early in
        [SEND, &blocks, "select topup.send_many('[{\"platform\": \"claude\", \"amount_cents\": 100}]')"]
    {
        slow.send_early(early).await.sending.await.unwrap();
    }
    let mine = "insert into note values ((select count(*) from note) + 1)";
    for (what, late) in [
        ("rows before it", format!("begin; {mine}; {SEND}; commit")),
        ("rows after it", format!("begin; {SEND}; {mine}; commit")),
        ("rows in its statement", format!("with mine as ({mine}) {SEND}")),
        (
            "a savepoint that is given up",
            format!("begin; {SEND}; savepoint a; {SEND}; rollback to a; commit"),
        ),
        ("another operation", format!("begin; {SEND}; select topup.customer_create('Bob'); commit")),
    ] {
        slow.sends_late(what, "", &late).await;
    }
    slow.set("topup.early_lock_release = off").await;
    slow.sends_late("switched off", "", SEND).await;
    slow.set("topup.early_lock_release = on").await;
    slow.database.check().await;
    let free = "insert into topup.tier values ('free', 10000, 0); update topup.key set tier = 'free'";
    slow.admin.batch_execute(free).await.unwrap();
    slow.sends_late("a send that costs nothing leaves the wallet's row as it was", "", SEND).await;
}

/// More transactions than lie between two sends of a wallet that is busy.
const OTHERS: &str = "do $$ begin for i in 1..200 loop perform txid_current(); commit; end loop; end $$";

#[tokio::test]
async fn a_wallet_that_was_left_alone_is_kept_until_its_send_is_on_disk() {
    let slow = Slow::open().await;
    slow.sends_late("a wallet that was left alone", OTHERS, SEND).await;
    slow.send_early(SEND).await.sending.await.unwrap();
    slow.database.check().await;
}

#[tokio::test]
async fn nothing_is_given_back_early_where_a_standby_is_waited_for() {
    let slow = Slow::open().await;
    slow.set("synchronous_standby_names = 'nobody'").await;
    slow.sends_late("a standby by configuration", "set synchronous_commit = local", SEND).await;

    let (app, before) = (slow.app().await, slow.youngest().await.0);
    let sending = tokio::spawn(async move { call(&app, "topup.send('claude', 100)").await });
    let waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
    wait_until(LIMIT, "the send waits for the standby", async || {
        (slow.admin.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    assert_eq!(slow.youngest().await.0, before, "nobody sees it");
    slow.set("synchronous_standby_names = ''").await;
    assert_eq!(sending.await.unwrap()["code"], 1001);
    slow.send_early(SEND).await.sending.await.unwrap();
}

#[tokio::test]
async fn a_sessions_own_setting_stays_what_it_was() {
    let slow = Slow::open().await;
    let app = slow.app().await;
    for own in ["on", "local", "remote_write", "remote_apply", "off"] {
        app.batch_execute(&format!("set synchronous_commit = {own}; {SEND}")).await.unwrap();
        assert_eq!(show(&app).await, own);
        let place = slow.youngest().await.1;
        app.batch_execute(SEND).await.unwrap();
        assert_eq!(slow.has_gone_beyond(&place).await, own != "off", "{own}");
        assert_eq!(show(&app).await, own);
    }
    app.batch_execute("set synchronous_commit = on").await.unwrap();
    let local = format!("begin; set local synchronous_commit = local; {SEND}");
    app.batch_execute(&local).await.unwrap();
    assert_eq!(show(&app).await, "local");
    app.batch_execute("commit").await.unwrap();
    assert_eq!(show(&app).await, "on");
    app.batch_execute(&format!("begin; {SEND}; savepoint a; {SEND}; rollback to a; rollback")).await.unwrap();
    assert_eq!(show(&app).await, "on");

    let orphan = "insert into note values (1, 2)";
    for broken in [format!("begin; {SEND}; {orphan}; commit"), format!("with mine as ({orphan}) {SEND}")] {
        let before = slow.youngest().await.0;
        assert!(app.batch_execute(&broken).await.is_err());
        app.batch_execute("rollback").await.unwrap();
        assert_eq!(show(&app).await, "on", "{broken}");
        assert_eq!(slow.youngest().await.0, before);
    }
    slow.send_early(SEND).await.sending.await.unwrap();
    slow.database.check().await;
}

/// The commit fails after it was decided to give the wallet back early.
#[tokio::test]
async fn a_commit_that_fails_at_the_last_moment_leaves_the_setting_as_it_was() {
    let slow = Slow::open().await;
    let (app, rival) = (slow.app().await, slow.app().await);
    slow.admin.batch_execute("insert into note values (1)").await.unwrap();
    for session in [&app, &rival] {
        session.batch_execute("begin isolation level serializable; select count(*) from note").await.unwrap();
    }
    assert_eq!(call(&rival, "topup.balance()").await["code"], 1000);
    rival.batch_execute("insert into note values (2)").await.unwrap();
    assert_eq!(call(&app, "topup.send('claude', 100)").await["code"], 1001);
    rival.batch_execute("commit").await.unwrap();
    let error = app.batch_execute("commit").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "40001");
    assert_eq!(show(&app).await, "on");
    assert_eq!(slow.youngest().await.0, "");
    app.batch_execute(SEND).await.unwrap();
    slow.database.check().await;
}

#[tokio::test]
async fn a_send_can_be_prepared_and_is_seen_when_it_is_on_disk() {
    let slow = Slow::open().await;
    let app = slow.app().await;
    app.batch_execute(&format!("begin; {SEND}; prepare transaction 'one'")).await.unwrap();
    assert_eq!(show(&app).await, "on");
    assert_eq!(slow.youngest().await.0, "", "nobody sees it");
    let seen = slow.send(slow.app().await, "commit prepared 'one'").await;
    assert!(seen.is_on_disk, "committed");
    seen.sending.await.unwrap();
    slow.database.check().await;
}
