//! Who may connect, or call for nobody but itself, holds up nobody and passes for nobody.

use crate::support::{Bank, Database, call, place};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tokio_postgres::Client;
use uuid::Uuid;

/// Operations that queue up by an id that somebody may guess.
fn named(bank: &Bank) -> Vec<String> {
    let customer = &bank.customer;
    vec![
        "topup.adjust('guess', 'USD', 1, 'gift')".to_owned(),
        format!("topup.charge('{customer}', 'guess-2', 'USD', 0)"),
        format!("topup.hold('{customer}', 'USD', 1, now() + interval '1 hour', transaction_id => 'guess')"),
        "topup.webhook_register('https://example.com/hook', idempotency_key => 'guess')".to_owned(),
        "topup.funding_top_up(1000)".to_owned(),
    ]
}

/// What a session may name of the advisory locks that another one holds now.
async fn locks_held(admin: &Client) -> Vec<(i64, i64)> {
    let held = "select classid::bigint, objid::bigint from pg_locks
                 where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())";
    admin.query(held, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// A session of a role that may connect and nothing else, holding every lock that it can name like these.
async fn thief(database: &Database, locks: &[(i64, i64)]) -> Client {
    let thief = database.admin().await;
    let role = format!("thief_{}", Uuid::now_v7().simple());
    let become_it =
        format!("create role {role} login; set session authorization {role}; set lock_timeout = '10s'");
    thief.batch_execute(&become_it).await.unwrap();
    for (high, low) in locks {
        let whole = (*high << 32) | *low;
        let half = |n: i64| n as u32 as i32;
        thief.query("select pg_advisory_lock($1)", &[&whole]).await.unwrap();
        thief.query("select pg_advisory_lock($1, $2)", &[&half(*high), &half(*low)]).await.unwrap();
    }
    thief
}

#[tokio::test]
async fn whoever_takes_every_lock_that_it_can_name_holds_up_no_operation() {
    let bank = Bank::open().await;
    let mut locks = Vec::new();
    for operation in named(&bank) {
        bank.app.batch_execute("begin").await.unwrap();
        bank.app.batch_execute(&format!("select {operation}")).await.unwrap();
        let held = locks_held(&bank.admin).await;
        assert!(!held.is_empty(), "{operation} queues up by no name");
        locks.extend(held);
        bank.app.batch_execute("rollback").await.unwrap();
    }
    let thief = thief(&bank.database, &locks).await;
    assert!(locks_held(&bank.admin).await.len() >= locks.len());
    bank.app.batch_execute("set lock_timeout = '10s'; set statement_timeout = '60s'").await.unwrap();
    for operation in named(&bank) {
        let reply = call(&bank.app, &operation).await;
        assert!(reply["code"].is_number() || reply["success"].is_boolean(), "{operation}: {reply}");
    }
    thief.query_one("select 1", &[]).await.unwrap();
    bank.database.check().await;
}

/// The files below a directory that call Postgres's advisory locks.
fn with_advisory_locks(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            with_advisory_locks(&path, found);
        } else if fs::read_to_string(&path).is_ok_and(|text| {
            ["advisory_lock(", "advisory_xact_lock(", "advisory_lock_shared("]
                .iter()
                .any(|call| text.contains(call))
        }) {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn no_lock_is_one_that_sql_can_take() {
    let mut found = Vec::new();
    for dir in ["extension/src", "gateway/src", "sql", "contract/src"] {
        with_advisory_locks(&place::root().join(dir), &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}

/// The codes with which a role's calls for a key are answered, from an address that it names.
async fn codes(session: &Client, key: &str, address: &str) -> [Value; 3] {
    let code = async |function: &str| {
        let query = format!("select body from {function}");
        let body: String = session.query_one(&query, &[&key, &address]).await.unwrap().get(0);
        serde_json::from_str::<Value>(&body).unwrap()["code"].clone()
    };
    [
        code("topup.call($1, 'balance', '{}', client_ip => $2::text::inet)").await,
        code("topup.call_many(array[$1], array['balance'], array['{}'], array[null], array[$2])").await,
        code("topup.authenticate($1, $2::text::inet)").await,
    ]
}

#[tokio::test]
async fn the_callers_address_is_believed_of_the_gateway_alone() {
    let database = Database::new().await;
    let tenant = database.tenant("Careful").await;
    let far = tenant.key("staging", "allowed_ips => '{203.0.113.0/24}'").await.1;
    let near = tenant.key("staging", "allowed_ips => '{127.0.0.0/8}'").await.1;
    let all = |code: i64| [json!(code), json!(code), json!(code)];
    let gateway = database.gateway().await;
    assert_eq!(codes(&gateway, &far, "203.0.113.9").await, all(1000));
    assert_eq!(codes(&gateway, &near, "203.0.113.9").await, all(4002));
    let app = database.app("").await;
    let administrator = database.admin().await;
    let role = format!("operator_{}", Uuid::now_v7().simple());
    let become_it = format!("create role {role} login in role topup_admin; set session authorization {role}");
    administrator.batch_execute(&become_it).await.unwrap();
    for session in [&app, &administrator] {
        assert_eq!(codes(session, &far, "203.0.113.9").await, all(4002), "an address that is only said");
        assert_eq!(codes(session, &near, "203.0.113.9").await, all(1000), "where it is connected counts");
    }
}
