//! Logical replication: a subscriber of the schema holds the same ledger, and triggers that guard fire there too.

use crate::support::{Cluster, Database, LIMIT, goes_on, live_a_little, sql_state, wait_until, wire};
use serde_json::json;

/// A server whose log tells of rows.
async fn publisher() -> Cluster {
    let mut cluster = Cluster::private().await;
    let server = Database::named(&cluster, "postgres");
    server.admin().await.batch_execute("alter system set wal_level = 'logical'").await.unwrap();
    cluster.stop().await;
    cluster.start().await;
    cluster
}

/// Subscribes to all of it, and waits until the first copy is made.
async fn subscribe(cluster: &Cluster, subscriber: &Database) {
    let source = cluster.config("topup");
    let password = String::from_utf8(source.get_password().unwrap().to_owned()).unwrap();
    let port = source.get_ports()[0];
    let admin = subscriber.admin().await;
    let subscribe = format!(
        "create subscription ledger
             connection 'host=127.0.0.1 port={port} user=postgres password={password} dbname=topup' publication ledger"
    );
    admin.batch_execute(&subscribe).await.unwrap();
    let open = "select count(*) from pg_subscription_rel where srsubstate <> 'r'";
    wait_until(LIMIT, "the first copy is made", async || {
        (admin.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}

async fn catches_up(published: &Database, subscriber: &Database) {
    wait_until(LIMIT, "the subscriber holds the same", async || {
        (subscriber.contents().await == published.contents().await).then_some(())
    })
    .await;
    subscriber.check().await;
}

#[tokio::test]
async fn a_subscriber_holds_the_same_ledger_and_hears_of_changes() {
    let source = publisher().await;
    let published = Database::on(&source).await;
    let before = live_a_little(&published).await;
    let admin = published.admin().await;
    admin.batch_execute("create publication ledger for tables in schema topup").await.unwrap();

    let target = Cluster::private().await;
    let subscriber = Database::on(&target).await;
    subscribe(&source, &subscriber).await;
    catches_up(&published, &subscriber).await;

    // A session that keeps keys and platforms.
    let reader = subscriber.admin().await;
    let balance = async || wire(&reader, &before.key, "balance", &json!({})).await.1["code"].clone();
    let send = json!({"platform": "slow", "amount_cents": 1500});
    let validate = async || wire(&reader, &before.key, "validate", &send).await.1["code"].clone();
    assert_eq!((balance().await, validate().await), (json!(1000), json!(1000)));

    goes_on(&published, &before).await;
    let lower = "select topup.set_platform('slow', 'Slow', 500, 1000, 'deferred')";
    admin.batch_execute(lower).await.unwrap();
    catches_up(&published, &subscriber).await;
    assert_eq!(validate().await, 2005, "the platform has changed");
    admin.batch_execute(&format!("select topup.revoke_key('{}')", before.key_id)).await.unwrap();
    catches_up(&published, &subscriber).await;
    assert_eq!(balance().await, 2001, "the key is revoked");
}

/// Triggers that a subscriber does not fire: this one would charge the card once more.
const NOT_ALWAYS: &[(&str, &str)] = &[("topup.low_account", "auto_top_up_when_low")];

#[tokio::test]
async fn every_trigger_of_ours_fires_whoever_writes() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let pairs = async |query: &str| -> Vec<(String, String)> {
        admin.query(query, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let not_always = "
        select tgrelid::regclass::text, tgname::text from pg_trigger join pg_class c on c.oid = tgrelid
         where relnamespace = 'topup'::regnamespace and not tgisinternal and tgenabled <> 'A'
        union all
        select 'event trigger', evtname::text from pg_event_trigger where evtname like 'topup%' and evtenabled <> 'A'";
    let not_always = pairs(not_always).await;
    let listed: Vec<(String, String)> =
        NOT_ALWAYS.iter().map(|(table, trigger)| ((*table).to_owned(), (*trigger).to_owned())).collect();
    assert_eq!(not_always, listed);
}

#[tokio::test]
async fn foreign_keys_guard_updates_and_deletes_and_let_rows_come_in_any_order() {
    let database = Database::new().await;
    database.staging_key().await;
    let admin = database.admin().await;
    let checks = "
        select count(*), count(*) filter (where tgenabled = 'D') from pg_trigger join pg_class c on c.oid = tgrelid
         where relnamespace = 'topup'::regnamespace and tgfoid = '\"RI_FKey_check_ins\"'::regproc";
    let checks = admin.query_one(checks, &[]).await.unwrap();
    assert!(checks.get::<_, i64>(0) > 15 && checks.get::<_, i64>(0) == checks.get::<_, i64>(1), "{checks:?}");
    for statement in [
        "delete from topup.tenant",
        "delete from topup.tenant_environment",
        "delete from topup.tier where tier = 'standard'",
        "update topup.key set tier = 'wood'",
        "update topup.key set tenant_id = gen_random_uuid()",
    ] {
        assert_eq!(sql_state(&admin, statement).await, "23503", "{statement}");
    }
    // A replica's session may do without; what is append-only is so there too.
    admin.batch_execute("set session_replication_role = replica").await.unwrap();
    for statement in [
        "update topup.entry set amount = 0",
        "delete from topup.transaction",
        "truncate topup.entry",
        "drop extension pg_topup",
    ] {
        let state = sql_state(&admin, statement).await;
        assert!(["23000", "2BP01"].contains(&state.as_str()), "{statement}: {state}");
    }
    database.check().await;
}

#[tokio::test]
async fn a_row_that_create_extension_made_is_changed_by_one_of_its_name() {
    let database = Database::new().await;
    database.staging_key().await;
    let admin = database.admin().await;
    for role in ["origin", "replica"] {
        let bring = format!(
            "begin; set local session_replication_role = {role};
             insert into topup.tier values ('standard', 100, 1), ('wood', 5, 6);
             insert into topup.platform (platform, label, max_cents) values ('claude', 'C', 700);
             do $$ begin
                 assert (select (discount_bps, wanted_volume_cents) = (100, 1) from topup.tier where tier = 'standard');
                 assert (select count(*) from topup.tier) = 5;
                 assert (select (label, min_cents, max_cents) = ('C', 100, 700) from topup.platform where platform = 'claude');
                 assert (select count(*) from topup.platform) = 3;
             end $$;
             rollback"
        );
        admin.batch_execute(&bring).await.unwrap();
    }
}

#[tokio::test]
async fn every_table_that_changes_has_a_key_to_replicate_it_by() {
    let database = Database::new().await;
    let without = "
        select c.oid::regclass::text from pg_class c
         where c.relnamespace = 'topup'::regnamespace and c.relkind in ('r', 'p')
           and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)";
    let without = database.admin().await.query(without, &[]).await.unwrap();
    let without: Vec<String> = without.iter().map(|row| row.get(0)).collect();
    // It is always empty.
    assert_eq!(without, ["topup.cached"]);
}
