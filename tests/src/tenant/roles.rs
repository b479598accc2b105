//! The four database roles and those bound to keys: what each may do and see, and nothing more.

use crate::support::{Database, Tenant, call, sql_state, wire};
use serde_json::json;
use std::collections::BTreeSet;
use tokio_postgres::Client;
use uuid::Uuid;

const ROLES: [&str; 4] = ["topup_admin", "topup_app", "topup_gateway", "topup_reader"];
const DENIED: &str = "42501";

/// What roles may read: every view but those that topup.check() uses for itself.
const VIEWS: [&str; 9] = [
    "accounts",
    "transactions",
    "entries",
    "top_ups",
    "customers",
    "keys",
    "webhook_endpoints",
    "deliveries",
    "unpriced_usage",
];

/// Everybody with a role may ask what there is.
const PUBLISHED: [&str; 8] =
    ["operations", "event_types", "codes", "version", "format_id", "parse_id", "rfc3339", "replayed"];
const WORKER: [&str; 6] =
    ["claim_effects", "settle_effects", "run_due", "next_due", "worker_sleep", "worker_wake"];
/// The gateway's part in payments.
const CASHIER: [&str; 6] = [
    "checkout_view",
    "checkout_begin",
    "report_payment",
    "claim_payments",
    "settle_payments",
    "next_payment_due",
];
/// What the pages of the billing portal show and do.
const PORTAL: [&str; 7] = [
    "portal_link",
    "portal_enter",
    "portal_view",
    "portal_history",
    "portal_csv",
    "portal_act",
    "portal_leave",
];
/// What the gateway counts in its metrics.
const COUNTED: [&str; 1] = ["unpriced_last_hour"];
const DOOR: [&str; 3] = ["authenticate", "call", "call_many"];
/// They show what the views show, or are called by them.
const READING: [&str; 5] = ["visible", "due_changes", "statement_lines", "balance_at", "delivery_ids"];
const ADMINISTRATION: [&str; 11] = [
    "create_tenant",
    "mint_key",
    "revoke_key",
    "bind_role",
    "fund",
    "set_tier",
    "review_tiers",
    "set_platform",
    "set_low_balance",
    "set_unpriced_usage",
    "check",
];

/// A session of a new login role that is a member of this group only.
async fn member(database: &Database, group: &str) -> (Client, String) {
    let admin = database.admin().await;
    let role = format!("member_{}", Uuid::now_v7().simple());
    admin.batch_execute(&format!("create role {role} login in role {group}")).await.unwrap();
    admin.batch_execute(&format!("set session authorization {role}")).await.unwrap();
    (admin, role)
}

async fn column(client: &Client, query: &str) -> Vec<String> {
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn relations(client: &Client, kind: &str) -> Vec<String> {
    let query = format!(
        "select relname::text from pg_class where relnamespace = 'topup'::regnamespace and relkind = '{kind}'"
    );
    column(client, &query).await
}

/// Makes a row for every view in one environment; returns the id of the key that made them.
async fn fill(tenant: &Tenant<'_>, admin: &Client, environment: &str) -> String {
    let (key_id, key) = tenant.key(environment, "").await;
    admin.execute("select topup.fund($1, $2, 100000, 'f')", &[&tenant.id, &environment]).await.unwrap();
    let events = json!([{"id": "e-1", "event_type": "seen", "occurred_at": "2026-01-01T00:00:00Z"}]);
    for (operation, request) in [
        ("customer_create", json!({"name": "Max", "external_id": "max"})),
        ("record_usage", json!({"customer_external_id": "max", "events": events})),
        ("webhook_register", json!({"url": "https://hooks.example.com/in"})),
        ("send", json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann@example.com"})),
    ] {
        assert_eq!(wire(admin, &key, operation, &request).await.1["success"], true);
    }
    key_id
}

#[tokio::test]
async fn no_role_reads_or_writes_a_table() {
    let database = Database::new().await;
    let before = database.contents().await;
    for role in ROLES {
        let (session, _) = member(&database, role).await;
        for table in relations(&session, "r").await {
            let first: String = session
                .query_one(
                    "select attname::text from pg_attribute
                      where attrelid = to_regclass(format('topup.%I', $1::text)) and attnum = 1",
                    &[&table],
                )
                .await
                .map_or_else(|_| "ctid".to_owned(), |row| row.get(0));
            for statement in [
                format!("select from topup.{table}"),
                format!("insert into topup.{table} default values"),
                format!("update topup.{table} set {first} = {first}"),
                format!("delete from topup.{table}"),
                format!("truncate topup.{table} cascade"),
                format!("drop table topup.{table}"),
            ] {
                assert_eq!(sql_state(&session, &statement).await, DENIED, "{role}: {statement}");
            }
        }
    }
    assert!(database.contents().await == before);
}

#[tokio::test]
async fn views_are_for_reading_only_and_not_for_the_gateway() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let views = relations(&admin, "v").await;
    for role in ROLES {
        for view in &views {
            let may = async |right: &str| {
                let query = format!("select has_table_privilege('{role}', 'topup.{view}', '{right}')");
                admin.query_one(&query, &[]).await.unwrap().get::<_, bool>(0)
            };
            let readable = VIEWS.contains(&view.as_str()) && role != "topup_gateway";
            assert_eq!(may("select").await, readable, "{role}, {view}");
            assert!(!may("insert, update, delete, truncate, trigger, references").await, "{role}, {view}");
        }
    }
}

/// The functions of the schema that a role may execute.
async fn executable(admin: &Client, role: &str) -> BTreeSet<String> {
    let query = format!(
        "select distinct proname::text from pg_proc
          where pronamespace = 'topup'::regnamespace and has_function_privilege('{role}', oid, 'execute')"
    );
    column(admin, &query).await.into_iter().collect()
}

fn names(lists: &[&[&str]]) -> BTreeSet<String> {
    lists.concat().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn each_role_may_execute_exactly_what_it_is_for() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let operations = column(&admin, "select name from topup.operations()").await;
    let operations: Vec<&str> = operations.iter().map(String::as_str).collect();
    let apps: [&[&str]; 5] = [&PUBLISHED, &DOOR, &operations, &["send_many"], &READING];

    assert_eq!(
        executable(&admin, "topup_gateway").await,
        names(&[&PUBLISHED, &DOOR, &WORKER, &CASHIER, &PORTAL, &COUNTED])
    );
    assert_eq!(executable(&admin, "topup_app").await, names(&apps));
    assert_eq!(executable(&admin, "topup_reader").await, names(&[&PUBLISHED, &READING]));
    let admins: Vec<&[&str]> = apps.into_iter().chain([&ADMINISTRATION as &[&str]]).collect();
    assert_eq!(executable(&admin, "topup_admin").await, names(&admins));
    assert_eq!(executable(&admin, "public").await, BTreeSet::new());
}

#[tokio::test]
async fn the_gateway_calls_for_a_key_and_does_the_workers_part() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (gateway, _) = member(&database, "topup_gateway").await;
    let request = json!({"platform": "claude", "amount_cents": 1000});
    assert_eq!(wire(&gateway, &key, "send", &request).await.1["code"], 1001);
    for call in [
        "topup.call_many(array[''], array['balance'], array['{}'], array[null], array[null])",
        "topup.claim_effects(10, 5, '{}', 30)",
        "topup.settle_effects('[]')",
        "topup.run_due(10)",
        "topup.next_due()",
        "topup.worker_sleep(gen_random_uuid(), 1)",
        "topup.worker_wake(gen_random_uuid())",
    ] {
        gateway.batch_execute(&format!("select * from {call}")).await.unwrap();
    }
    for call in
        ["topup.send('claude', 1000)", "topup.visible()", "topup.check()", "topup.new_api_key('live')"]
    {
        assert_eq!(sql_state(&gateway, &format!("select * from {call}")).await, DENIED, "{call}");
    }
}

#[tokio::test]
async fn an_app_cannot_administrate_nor_claim_effects() {
    let database = Database::new().await;
    let tenant = database.tenant("Acme").await;
    let (key_id, key) = tenant.key("staging", "").await;
    let app = database.app(&key).await;
    let id = &tenant.id;
    for call in [
        "topup.create_tenant('Mine')".to_owned(),
        format!("topup.mint_key('{id}', 'live', tier => 'platinum')"),
        format!("topup.revoke_key('{key_id}')"),
        format!("topup.bind_role('postgres', '{key_id}')"),
        format!("topup.fund('{id}', 'staging', 100, 'x')"),
        format!("topup.set_tier('{key_id}', 'platinum')"),
        "topup.review_tiers()".to_owned(),
        "topup.set_platform('mine', 'Mine')".to_owned(),
        format!("topup.set_low_balance('{id}', 'staging', 1)"),
        format!("topup.set_unpriced_usage('{id}', 'staging', 'accept')"),
        "topup.check()".to_owned(),
        "topup.claim_effects(10, 5, '{}', 30)".to_owned(),
        "topup.settle_effects('[]')".to_owned(),
        "topup.report_payment('{}')".to_owned(),
        "topup.checkout_view('x')".to_owned(),
        "topup.checkout_begin('x', null)".to_owned(),
        "topup.claim_payments(10, 30)".to_owned(),
        "topup.settle_payments('[]')".to_owned(),
        "topup.portal_link('x')".to_owned(),
        "topup.portal_enter('x')".to_owned(),
        "topup.portal_view('x')".to_owned(),
        "topup.portal_act('x', 'remove_card', '{}')".to_owned(),
    ] {
        assert_eq!(sql_state(&app, &format!("select * from {call}")).await, DENIED, "{call}");
    }
    assert_eq!(call(&app, "topup.balance()").await["data"]["balance_cents"], 100_000);
    assert_eq!(sql_state(&app, "set topup.staging_credit_cents = 1000000").await, DENIED);
}

/// How many rows of a view lie in an environment of a tenant, and how many in others, for this session.
async fn seen(session: &Client, view: &str, tenant: &str, environment: &str) -> (i64, i64) {
    let query = format!(
        "select count(*) filter (where mine), count(*) filter (where mine is not true)
           from (select tenant_id = $1 and environment::text = $2 as mine from topup.{view}) v"
    );
    let row = session.query_one(&query, &[&tenant, &environment]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_bound_role_sees_its_own_rows_and_nothing_else() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let (a, b) = (database.tenant("A").await, database.tenant("B").await);
    for (tenant, environment) in [(&a, "live"), (&b, "staging"), (&b, "live")] {
        fill(tenant, &admin, environment).await;
    }
    let key_id = fill(&a, &admin, "staging").await;
    let bound = database.bound(&key_id).await;
    for view in VIEWS {
        let (mine, others) = seen(&admin, view, &a.id, "staging").await;
        assert!(mine > 0 && others > 0, "the test shows nothing of {view}: {mine} and {others}");
        assert_eq!(seen(&bound, view, &a.id, "staging").await, (mine, 0), "{view}");
    }
    assert_eq!(call(&bound, "topup.balance()").await["data"]["key"]["id"], key_id.as_str());

    admin
        .execute(
            "select topup.bind_role(rolname, null) from pg_roles where rolname in
                   (select role_name from topup.role_binding)",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(seen(&bound, "top_ups", &a.id, "staging").await, (0, 0));
    assert_eq!(call(&bound, "topup.balance()").await["code"], 2001);
}

#[tokio::test]
async fn a_role_without_a_key_sees_nothing_and_sends_nothing() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    fill(&tenant, &admin, "staging").await;
    let (app, _) = member(&database, "topup_app").await;
    for view in VIEWS {
        assert_eq!(seen(&app, view, &tenant.id, "staging").await, (0, 0), "{view}");
    }
    for operation in ["send('claude', 1000)", "balance()", "history()", "webhook_list()"] {
        assert_eq!(call(&app, &format!("topup.{operation}")).await["code"], 2001, "{operation}");
    }
    app.batch_execute("set topup.api_key = 'ak_staging_wrong'").await.unwrap();
    assert_eq!(call(&app, "topup.balance()").await["code"], 2001);
    assert_eq!(seen(&app, "top_ups", &tenant.id, "staging").await, (0, 0));
}

#[tokio::test]
async fn a_reader_bound_to_a_key_reads_and_cannot_send() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let key_id = fill(&tenant, &admin, "staging").await;
    let (reader, role) = member(&database, "topup_reader").await;
    admin.execute("select topup.bind_role($1::text::name, $2)", &[&role, &key_id]).await.unwrap();
    let (mine, others) = seen(&reader, "top_ups", &tenant.id, "staging").await;
    assert_eq!((mine, others), (1, 0));
    assert_eq!(sql_state(&reader, "select topup.send('claude', 1000)").await, DENIED);
    assert_eq!(sql_state(&reader, "select topup.balance()").await, DENIED);
}

#[tokio::test]
async fn an_administrator_without_a_key_sees_every_environment_and_sends_nothing() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    for environment in ["staging", "live"] {
        fill(&tenant, &admin, environment).await;
    }
    let (administrator, _) = member(&database, "topup_admin").await;
    for view in VIEWS {
        let (staging, live) = seen(&administrator, view, &tenant.id, "staging").await;
        assert!(staging > 0 && live > 0, "{view}: {staging} and {live}");
    }
    assert_eq!(call(&administrator, "topup.send('claude', 1000)").await["code"], 2001, "no key, no sending");
    let rows = administrator.query("select from topup.check() where not holds", &[]).await.unwrap();
    assert!(rows.is_empty());
    administrator.batch_execute("select topup.mint_key(topup.create_tenant('Mine'), 'live')").await.unwrap();
}
