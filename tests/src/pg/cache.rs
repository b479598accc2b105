//! Sessions keep who calls and what may be sent; whatever changes of that holds for the next call of every session.

use crate::support::{Database, LIMIT, Tenant, call, wait_until, wire};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// Whether a session waits for another.
const WAITING: &str = "select exists (select from pg_stat_activity
                                       where datname = current_database() and wait_event_type = 'Lock')";
const SEND: &str = "topup.send('claude', 100)";

async fn tier(session: &Client) -> String {
    let reply = call(session, "topup.balance()").await;
    match &reply["data"]["key"]["tier"] {
        Value::String(tier) => tier.clone(),
        _ => reply["code"].to_string(),
    }
}

async fn set_tier(admin: &Client, key_id: &str, tier: &str) {
    admin.execute("select topup.set_tier($1, $2)", &[&key_id, &tier]).await.unwrap();
}

/// A session for each way in, all of which have called before.
async fn sessions(database: &Database, key_id: &str, key: &str) -> Vec<Client> {
    let sessions = vec![database.app(key).await, database.bound(key_id).await];
    for session in &sessions {
        assert_eq!(call(session, SEND).await["code"], 1001);
    }
    sessions
}

#[tokio::test]
async fn a_change_holds_for_the_next_call_of_every_session() {
    let database = Database::new().await;
    let tenant = database.tenant("Acme").await;
    let (key_id, key) = tenant.key("staging", "").await;
    let (admin, sessions) = (database.admin().await, sessions(&database, &key_id, &key).await);
    let key_changes = |change: &str| {
        format!("update topup.key set {change} where key_id = topup.parse_id('key', '{key_id}')")
    };
    let environment_changes = |change: &str| format!("update topup.tenant_environment set {change}");
    let (no_scope, capped) =
        (key_changes("scopes = '{read}'"), key_changes("scopes = '{send,read}', cap_cents = 1"));
    let uncapped = key_changes("cap_cents = null");
    let limited = environment_changes(
        "spending_limit_cents = 1, spending_limit_duration = 'daily', spending_limit_strategy = 'fixed'",
    );
    let unlimited = environment_changes(
        "spending_limit_cents = null, spending_limit_duration = null, spending_limit_strategy = null",
    );
    let changes = [
        ("update topup.platform set min_cents = 200 where platform = 'claude'", 2005),
        ("delete from topup.platform where platform = 'claude'", 2003),
        ("select topup.set_platform('claude', 'Claude', delivery => 'deferred')", 1002),
        ("update topup.platform set delivery = 'instant'", 1001),
        (&no_scope, 2008),
        (&capped, 2007),
        (&uncapped, 1001),
        (&limited, 2007),
        (&unlimited, 1001),
        ("delete from topup.role_binding; update topup.key set revoked_at = now()", 2001),
    ];
    for (change, code) in changes {
        admin.batch_execute(change).await.unwrap();
        for session in &sessions {
            assert_eq!(call(session, SEND).await["code"], code, "{change}");
        }
    }
    database.check().await;
}

#[tokio::test]
async fn an_address_a_name_and_a_tier_are_judged_as_they_are_now() {
    let database = Database::new().await;
    let (key_id, key) = database.tenant("Acme").await.key("staging", "").await;
    let (admin, gateway) = (database.admin().await, database.gateway().await);
    let (app, bound) = (database.app(&key).await, database.bound(&key_id).await);
    for wanted in ["gold", "standard"] {
        set_tier(&admin, &key_id, wanted).await;
        assert_eq!((tier(&app).await, tier(&bound).await), (wanted.to_owned(), wanted.to_owned()));
    }
    admin.batch_execute("update topup.tier set discount_bps = 100 where tier = 'standard'").await.unwrap();
    assert_eq!(call(&app, SEND).await["data"]["cost_cents"], 99);
    assert_eq!(wire(&gateway, &key, "balance", &json!({})).await.0, 200);
    admin.batch_execute("update topup.key set allowed_ips = '{10.0.0.0/8}'").await.unwrap();
    assert_eq!(wire(&gateway, &key, "balance", &json!({})).await.1["code"], 4002);
    assert_eq!(call(&app, "topup.balance()").await["code"], 4002);
    admin.batch_execute("update topup.key set allowed_ips = null").await.unwrap();
    assert_eq!(wire(&gateway, &key, "balance", &json!({})).await.0, 200);
    // The binding goes by the role's name.
    let role: String = bound.query_one("select current_user::text", &[]).await.unwrap().get(0);
    assert_eq!(tier(&bound).await, "standard");
    admin.batch_execute(&format!("alter role {role} rename to {role}_renamed")).await.unwrap();
    assert_eq!(tier(&bound).await, "2001");
    admin.batch_execute(&format!("alter role {role}_renamed rename to {role}")).await.unwrap();
    assert_eq!(tier(&bound).await, "standard");
    admin.batch_execute("truncate topup.role_binding").await.unwrap();
    assert_eq!(tier(&bound).await, "2001");
}

#[tokio::test]
async fn a_webhook_is_told_from_the_next_send_of_any_session_on_and_not_after_its_end() {
    let database = Database::new().await;
    let (key_id, key) = database.tenant("Acme").await.key("staging", "").await;
    let (admin, other) = (database.admin().await, database.app(&key).await);
    let events = || async {
        admin.query_one("select count(*) from topup.deliveries", &[]).await.unwrap().get::<_, i64>(0)
    };
    for session in sessions(&database, &key_id, &key).await {
        let before = events().await;
        let webhook = call(&other, "topup.webhook_register('https://example.com/hook')").await;
        call(&session, SEND).await;
        assert_eq!(events().await, before + 1);
        let id = webhook["data"]["id"].as_str().unwrap();
        assert_eq!(call(&other, &format!("topup.webhook_delete('{id}')")).await["code"], 1000);
        call(&session, SEND).await;
        assert_eq!(events().await, before + 1);
    }
    database.check().await;
}

/// Each registers while the other has not committed yet.
#[tokio::test]
async fn webhooks_registered_at_once_are_all_told() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let sessions = [database.app(&key).await, database.app(&key).await, database.app(&key).await];
    let register = |session: Client, n: usize| async move {
        call(&session, &format!("topup.webhook_register('https://example.com/{n}')")).await
    };
    let [first, second, third] = sessions;
    let (a, b, c) = tokio::join!(register(first, 1), register(second, 2), register(third, 3));
    assert!([a, b, c].iter().all(|reply| reply["code"] == 1000));
    let app = database.app(&key).await;
    call(&app, SEND).await;
    let deliveries = "select count(*) from topup.deliveries";
    assert_eq!(database.admin().await.query_one(deliveries, &[]).await.unwrap().get::<_, i64>(0), 3);
    database.check().await;
}

/// The second waits for the first, whose change it could not see when it began.
#[tokio::test]
async fn webhooks_deleted_at_once_are_both_gone() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (admin, first, second) = (database.admin().await, database.app(&key).await, database.app(&key).await);
    let mut ids = Vec::new();
    for n in 0..2 {
        let webhook = call(&first, &format!("topup.webhook_register('https://example.com/{n}')")).await;
        ids.push(webhook["data"]["id"].as_str().unwrap().to_owned());
    }
    let delete = |id: &str| format!("topup.webhook_delete('{id}')");
    first.batch_execute("begin").await.unwrap();
    assert_eq!(call(&first, &delete(&ids[0])).await["code"], 1000);
    let waiting = delete(&ids[1]);
    let waits = call(&second, &waiting);
    let commits = async {
        wait_until(LIMIT, "the second waits", async || {
            let found = admin.query_one(WAITING, &[]).await.unwrap();
            found.get::<_, bool>(0).then_some(())
        })
        .await;
        first.batch_execute("commit").await.unwrap();
    };
    let (deleted, ()) = tokio::join!(waits, commits);
    assert_eq!(deleted["code"], 1000);
    let app = database.app(&key).await;
    call(&app, SEND).await;
    let events = "select count(*) from topup.deliveries";
    assert_eq!(admin.query_one(events, &[]).await.unwrap().get::<_, i64>(0), 0);
    database.check().await;
}

#[tokio::test]
async fn a_key_revoked_meanwhile_is_refused_within_a_running_transaction() {
    let database = Database::new().await;
    let (key_id, key) = database.tenant("Acme").await.key("staging", "").await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    app.batch_execute("begin").await.unwrap();
    assert_eq!(call(&app, SEND).await["code"], 1001);
    admin.execute("select topup.revoke_key($1)", &[&key_id]).await.unwrap();
    assert_eq!(call(&app, SEND).await["code"], 2001);
    app.batch_execute("commit").await.unwrap();
    assert_eq!(tier(&app).await, "2001");
}

/// What a snapshot from before a change sees may serve its transaction, and nobody after it.
#[tokio::test]
async fn what_an_old_snapshot_saw_is_not_kept() {
    let database = Database::new().await;
    let (key_id, key) = database.tenant("Acme").await.key("staging", "").await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    app.batch_execute("begin isolation level repeatable read; select 1 from topup.top_ups").await.unwrap();
    set_tier(&admin, &key_id, "gold").await;
    tier(&app).await;
    app.batch_execute("commit").await.unwrap();
    assert_eq!(tier(&app).await, "gold");
    // A statement that began before the change, and calls after it.
    let app = database.app(&key).await;
    let slow = "select b.reply from (select pg_sleep(1.5) offset 0) s, lateral (
                    select topup.balance() as reply where s is not null offset 0) b";
    let changes = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        set_tier(&admin, &key_id, "silver").await;
    };
    let (calls, ()) = tokio::join!(app.query_one(slow, &[]), changes);
    calls.unwrap();
    assert_eq!(tier(&app).await, "silver");
}

#[tokio::test]
async fn what_was_rolled_back_is_forgotten() {
    let database = Database::new().await;
    let tenant: Tenant = database.tenant("Acme").await;
    let (key_id, key) = tenant.key("staging", "").await;
    let admin = database.admin().await;
    let be = |key: String| format!("select set_config('topup.api_key', '{key}', false)");
    admin.batch_execute(&be(key.clone())).await.unwrap();
    for (begin, undo) in [("begin", "rollback"), ("begin; savepoint s", "rollback to s; commit")] {
        admin.batch_execute(begin).await.unwrap();
        set_tier(&admin, &key_id, "platinum").await;
        assert_eq!(tier(&admin).await, "platinum");
        admin.batch_execute(undo).await.unwrap();
        assert_eq!(tier(&admin).await, "standard", "{undo}");
    }
    admin.batch_execute("begin").await.unwrap();
    let mint = "select api_key from topup.mint_key($1, 'staging')";
    let minted: String = admin.query_one(mint, &[&tenant.id]).await.unwrap().get(0);
    admin.batch_execute(&be(minted)).await.unwrap();
    assert_eq!(tier(&admin).await, "standard");
    admin.batch_execute("rollback").await.unwrap();
    assert_eq!(tier(&admin).await, "standard", "the setting is rolled back too");
    admin.batch_execute("select set_config('topup.api_key', 'ak_staging_gone', false)").await.unwrap();
    assert_eq!(tier(&admin).await, "2001");
}

#[tokio::test]
async fn a_ledger_made_anew_is_not_taken_for_the_one_before() {
    let database = Database::new().await;
    let admin = database.admin().await;
    admin.batch_execute("set topup.staging_credit_cents = 0").await.unwrap();
    let mint = "select api_key from topup.mint_key(topup.create_tenant('Acme'), 'staging')";
    let key: String = admin.query_one(mint, &[]).await.unwrap().get(0);
    let app = database.app(&key).await;
    assert_eq!(call(&app, SEND).await["code"], 2002);
    admin.batch_execute("drop extension pg_topup; create extension pg_topup").await.unwrap();
    // Rights on what was made anew are those of a new installation.
    assert_eq!(tier(&app).await, "2001");
    let key: String = admin.query_one(mint, &[]).await.unwrap().get(0);
    app.execute("select set_config('topup.api_key', $1, false)", &[&key]).await.unwrap();
    assert_eq!(call(&app, SEND).await["code"], 2002);
    admin.batch_execute("update topup.key set revoked_at = now()").await.unwrap();
    assert_eq!(call(&app, SEND).await["code"], 2001);
}
