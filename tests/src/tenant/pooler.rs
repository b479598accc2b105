//! A key in `topup.api_key` speaks for whoever set it: behind a pooler the next client of the connection is somebody else.

use crate::support::{Database, Pooler, call, rows, sql_state};
use serde_json::Value;

const SEND: &str = "select topup.send('claude', 1000)";

/// Two tenants with a staging key each, in an installation that says how long keys are taken.
struct Street {
    a: (String, String),
    b: (String, String),
    database: Database,
}

impl Street {
    async fn open(lifetime: &str) -> Street {
        let database = Database::new().await;
        let a = database.tenant("A").await.key("staging", "").await;
        let b = database.tenant("B").await.key("staging", "").await;
        let admin = database.admin().await;
        let name: String = admin.query_one("select current_database()::text", &[]).await.unwrap().get(0);
        let set = format!("alter database {name} set topup.api_key_lifetime = '{lifetime}'");
        admin.batch_execute(&set).await.unwrap();
        Street { a, b, database }
    }

    /// What both wallets hold, in cents.
    async fn wallets(&self) -> (i64, i64) {
        let admin = self.database.admin().await;
        let balance = async |key: &str| {
            let query = "select (body::jsonb #>> '{data,balance_cents}')::bigint from topup.call($1, 'balance', '{}')";
            admin.query_one(query, &[&key]).await.unwrap().get::<_, i64>(0)
        };
        (balance(&self.a.1).await, balance(&self.b.1).await)
    }
}

fn envelope(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The envelope of the last statement of one message that has its own transaction.
async fn within(client: &tokio_postgres::Client, statements: &str) -> Value {
    let said = rows(client, &format!("begin; {statements}; commit")).await;
    envelope(said.last().unwrap())
}

#[tokio::test]
async fn behind_a_pooler_nobody_spends_the_wallet_of_the_client_before() {
    let street = Street::open("transaction").await;
    let pooler = Pooler::start(&street.database).await;
    let (a, b) = (pooler.client().await, pooler.client().await);
    let pid = "select pg_backend_pid()";
    assert_eq!(rows(&a, pid).await, rows(&b, pid).await, "both have one connection to the server");

    // Before the library is loaded, and after.
    for _ in 0..2 {
        rows(&a, &format!("set topup.api_key = '{}'", street.a.1)).await;
        let stolen = envelope(&rows(&b, SEND).await[0]);
        assert_eq!(stolen["code"], 2008, "{stolen}");
        assert!(
            stolen["data"]["message"].as_str().unwrap().contains("set_config('topup.api_key', '…', true)")
        );
        assert_eq!(rows(&b, "select count(*) from topup.keys").await, ["0"]);
    }
    assert_eq!(street.wallets().await, (100_000, 100_000));

    let local = |key: &str| format!("set local topup.api_key = '{key}'; {SEND}");
    let config = |key: &str| format!("select set_config('topup.api_key', '{key}', true); {SEND}");
    assert_eq!(within(&a, &local(&street.a.1)).await["code"], 1001);
    assert_eq!(within(&b, &config(&street.b.1)).await["code"], 1001);
    assert_eq!(within(&b, &local(&street.b.1)).await["code"], 1001);
    assert_eq!(street.wallets().await, (99_000, 98_000));
    // What one transaction set is gone with it, and what was there before is not taken for the next one's.
    assert_eq!(envelope(&rows(&a, SEND).await[0])["code"], 2008);
    assert_eq!(envelope(&rows(&b, SEND).await[0])["code"], 2008);
    assert_eq!(street.wallets().await, (99_000, 98_000));
    street.database.check().await;
}

#[tokio::test]
async fn the_first_transaction_of_a_connection_may_set_its_key() {
    let street = Street::open("transaction").await;
    let pooler = Pooler::start(&street.database).await;
    let client = pooler.client().await;
    // The library is loaded by the call, when the key is there already.
    let sent = within(&client, &format!("set local topup.api_key = '{}'; {SEND}", street.b.1)).await;
    assert_eq!(sent["code"], 1001, "{sent}");
    assert_eq!(street.wallets().await, (100_000, 99_000));
}

#[tokio::test]
async fn a_session_that_keeps_its_key_is_warned_once_unless_told_otherwise() {
    for (lifetime, warnings) in [("warn", 1), ("session", 0)] {
        let street = Street::open(lifetime).await;
        let (app, mut hears) = street.database.warned_app().await;
        app.batch_execute(&format!("begin; set topup.api_key = '{}'", street.a.1)).await.unwrap();
        assert_eq!(call(&app, "topup.balance()").await["code"], 1000);
        app.batch_execute("commit").await.unwrap();
        assert!(hears.try_recv().is_err(), "{lifetime}: a key of the transaction itself needs no warning");
        for _ in 0..3 {
            assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 1001);
        }
        // What the server says comes before the reply.
        let heard: Vec<String> = std::iter::from_fn(|| hears.try_recv().ok()).collect();
        assert_eq!(heard.len(), warnings, "{lifetime}: {heard:?}");
        assert!(heard.iter().all(|text| text.contains("SET LOCAL topup.api_key")), "{heard:?}");
        assert_eq!(sql_state(&app, "set topup.api_key_lifetime = 'session'").await, "42501");
    }
}

#[tokio::test]
async fn a_sessions_key_never_outranks_the_binding_of_its_role() {
    let street = Street::open("session").await;
    let database = &street.database;
    let admin = database.admin().await;
    let tenant = database.tenant("C").await;
    let ((bound_id, _), (_, same)) = (tenant.key("staging", "").await, tenant.key("staging", "").await);
    let live = tenant.key("live", "").await.1;
    let bound = database.bound(&bound_id).await;
    let with = async |key: &str| {
        bound.execute("select set_config('topup.api_key', $1, false)", &[&key]).await.unwrap();
        let seen = bound.query("select from topup.keys", &[]).await.unwrap().len();
        (call(&bound, "topup.send('claude', 1000)").await["code"].clone(), seen > 0)
    };
    assert_eq!(with(&same).await, (1001.into(), true), "another key of the same environment");
    assert_eq!(with(&live).await, (2008.into(), false), "the other environment");
    assert_eq!(with(&street.a.1).await, (2008.into(), false), "another tenant");
    assert_eq!(street.wallets().await.0, 100_000);
    assert_eq!(with("").await, (1001.into(), true), "without one, that of the binding");

    // A role that it may act as does not lift the binding of the login, nor the other way round.
    let login: String = bound.query_one("select session_user::text", &[]).await.unwrap().get(0);
    admin.batch_execute(&format!("grant app to {login}")).await.unwrap();
    bound.batch_execute("set role app").await.unwrap();
    assert_eq!(with(&street.a.1).await, (2008.into(), false));
    let app = database.app(&street.a.1).await;
    assert_eq!(call(&app, "topup.balance()").await["code"], 1000);
    admin.batch_execute(&format!("revoke app from {login}; grant {login} to app")).await.unwrap();
    app.batch_execute(&format!("set role {login}")).await.unwrap();
    assert_eq!(call(&app, "topup.balance()").await["code"], 2008);

    // A binding that comes or goes holds from the next call on.
    app.batch_execute("reset role").await.unwrap();
    assert_eq!(call(&app, "topup.balance()").await["code"], 1000);
    admin.execute("select topup.bind_role($1::text::name, null)", &[&login]).await.unwrap();
    app.batch_execute(&format!("set role {login}")).await.unwrap();
    assert_eq!(call(&app, "topup.balance()").await["code"], 1000);
    admin.batch_execute(&format!("reset role; revoke {login} from app")).await.unwrap();
    database.check().await;
}
