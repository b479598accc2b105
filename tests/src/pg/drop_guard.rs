//! A ledger with entries is not dropped by accident; an empty one, and everything else, is.

use crate::support::{Database, sql_state};
use tokio_postgres::Client;
use uuid::Uuid;

const STILL_NEEDED: &str = "2BP01";

async fn entries(admin: &Client) -> i64 {
    admin.query_one("select count(*) from topup.entry", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn dropping_the_extension_is_refused_while_it_has_entries_and_says_what_to_do() {
    let database = Database::new().await;
    database.staging_key().await;
    let admin = database.admin().await;
    admin.batch_execute("create extension citext").await.unwrap();
    for statement in [
        "drop extension pg_topup",
        "drop extension pg_topup cascade",
        "drop extension if exists pg_topup restrict",
        "DROP EXTENSION \"pg_topup\" CASCADE",
        "drop extension citext, pg_topup cascade",
        "do 'begin drop extension pg_topup; end'",
        "do 'begin execute ''drop extension pg_'' || ''topup''; end'",
    ] {
        let error = admin.batch_execute(statement).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), STILL_NEEDED, "{statement}: {error}");
        assert!(error.message().contains("entries"), "{statement}: {error}");
        let advice = format!("{} {}", error.hint().unwrap_or_default(), error.detail().unwrap_or_default());
        assert!(advice.contains("ALTER EVENT TRIGGER topup_refuse_drop DISABLE"), "{statement}: {advice}");
    }
    assert!(entries(&admin).await > 0);
    database.check().await;
}

#[tokio::test]
async fn the_schema_and_its_tables_are_not_dropped_around_the_extension() {
    let database = Database::new().await;
    database.staging_key().await;
    let admin = database.admin().await;
    for statement in [
        "drop schema topup",
        "drop schema topup cascade",
        "drop table topup.entry cascade",
        "drop table topup.tenant cascade",
        "drop function topup.refuse_drop() cascade",
        "drop event trigger topup_refuse_drop",
        "drop type topup.environment cascade",
    ] {
        assert_eq!(sql_state(&admin, statement).await, STILL_NEEDED, "{statement}");
    }
    assert!(entries(&admin).await > 0);
    database.check().await;
}

#[tokio::test]
async fn dropping_all_that_its_owner_owns_is_refused() {
    let database = Database::without_extension().await;
    let admin = database.admin().await;
    let owner = format!("owner_{}", Uuid::now_v7().simple());
    let create =
        format!("create role {owner} superuser; set role {owner}; create extension pg_topup; reset role");
    admin.batch_execute(&create).await.unwrap();
    database.staging_key().await;
    for statement in [format!("drop owned by {owner}"), format!("drop owned by topup_app, {owner} cascade")] {
        let error = admin.batch_execute(&statement).await.unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains("entries"), "{statement}: {error}");
    }
    admin.batch_execute(&format!("set role {owner}")).await.unwrap();
    assert_eq!(sql_state(&admin, "drop owned by current_user cascade").await, STILL_NEEDED);
    assert!(entries(&admin).await > 0);
    database.check().await;
}

#[tokio::test]
async fn dropping_what_it_stands_on_with_cascade_is_refused() {
    let database = Database::new().await;
    database.staging_key().await;
    let admin = database.admin().await;
    for statement in ["drop extension plpgsql", "drop extension plpgsql cascade"] {
        assert_eq!(sql_state(&admin, statement).await, STILL_NEEDED, "{statement}");
    }
    database.check().await;
}

#[tokio::test]
async fn what_belongs_to_others_is_dropped_as_ever() {
    let database = Database::new().await;
    database.staging_key().await;
    let admin = database.admin().await;
    let role = format!("leaver_{}", Uuid::now_v7().simple());
    admin
        .batch_execute(&format!(
            "create extension citext; drop extension citext; drop extension if exists nowhere;
             create role {role}; create table t (); alter table t owner to {role};
             drop owned by {role}; drop role {role};
             create schema s; drop schema s"
        ))
        .await
        .unwrap();
    assert_eq!(sql_state(&admin, "select from t").await, "42P01");
    database.check().await;
}

#[tokio::test]
async fn an_empty_ledger_is_dropped_and_can_be_made_anew() {
    let database = Database::new().await;
    let admin = database.admin().await;
    // A tenant without money is no entry.
    database.tenant("Acme").await;
    admin.batch_execute("drop extension pg_topup; create extension pg_topup").await.unwrap();
    database.staging_key().await;
    database.check().await;
}

#[tokio::test]
async fn whoever_follows_the_advice_drops_the_ledger() {
    let database = Database::new().await;
    database.staging_key().await;
    let admin = database.admin().await;
    let advice = "alter event trigger topup_refuse_drop disable; drop extension pg_topup cascade";
    admin.batch_execute(advice).await.unwrap();
    assert_eq!(sql_state(&admin, "select topup.version()").await, "3F000");
    admin.batch_execute("create extension pg_topup").await.unwrap();
    assert_eq!(entries(&admin).await, 0);
}

#[tokio::test]
async fn a_second_database_of_the_cluster_has_a_ledger_of_its_own() {
    let first = Database::new().await;
    let key = first.staging_key().await;
    let second = Database::without_extension().await;
    second.admin().await.batch_execute("create extension pg_topup").await.unwrap();
    second.staging_key().await;
    let stranger = "select body::jsonb->>'code' from topup.call($1, 'balance', '{}')";
    for (database, code) in [(&first, "1000"), (&second, "2001")] {
        let row = database.admin().await.query_one(stranger, &[&key]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), code);
        database.check().await;
    }
}
