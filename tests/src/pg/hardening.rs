//! What holds against those who are inside: hostile search paths, curious readers, and the superuser's own slips.

use crate::support::{Database, Tenant, call, sql_state, wire};
use serde_json::json;
use tokio_postgres::{Client, SimpleQueryMessage};

async fn lines(client: &Client, query: &str) -> Vec<String> {
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_function_is_described_pinned_and_closed_to_the_public() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let careless = "
        select format('%s: %s', p.oid::regprocedure, fault)
          from pg_proc p, lateral (values
              ('no comment', obj_description(p.oid, 'pg_proc') is null),
              ('search_path', p.prosqlbody is null and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)),
              ('public may execute it', has_function_privilege('public', p.oid, 'execute'))) f (fault, at_fault)
         where p.pronamespace = 'topup'::regnamespace and at_fault";
    assert_eq!(lines(&admin, careless).await, Vec::<String>::new());

    let silent = "select relname::text from pg_class
                   where relnamespace = 'topup'::regnamespace and relkind in ('r', 'v') and obj_description(oid) is null";
    assert_eq!(lines(&admin, silent).await, Vec::<String>::new());
}

#[tokio::test]
async fn functions_that_only_read_are_stable_and_those_that_write_are_volatile() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let volatility = "select distinct provolatile::text || ' ' || proname::text from pg_proc
                       where pronamespace = 'topup'::regnamespace and proname = any
                             (array['send', 'cancel', 'redeem', 'deliver', 'fail', 'adjust', 'fund', 'call', 'mint_key',
                                    'balance', 'status', 'history', 'webhook_list', 'delivery_list', 'check', 'visible',
                                    'parse_id', 'format_id', 'hash_api_key', 'new_id']) order by 1";
    let expected = [
        "i format_id",
        "i hash_api_key",
        "i parse_id",
        "s balance",
        "s check",
        "s delivery_list",
        "s history",
        "s status",
        "s visible",
        "s webhook_list",
        "v adjust",
        "v call",
        "v cancel",
        "v deliver",
        "v fail",
        "v fund",
        "v mint_key",
        "v new_id",
        "v redeem",
        "v send",
    ];
    assert_eq!(lines(&admin, volatility).await, expected);
}

/// Puts impostors of what the functions use before pg_catalog, as far as a role can that may create things.
const IMPOSTORS: &str = "
    create function evil.yes(bigint, bigint) returns boolean language sql immutable as 'select true';
    create operator evil.<= (leftarg = bigint, rightarg = bigint, function = evil.yes);
    create operator evil.>= (leftarg = bigint, rightarg = bigint, function = evil.yes);
    create operator pg_temp.= (leftarg = bigint, rightarg = bigint, function = evil.yes);
    create function evil.same(uuid, uuid) returns boolean language sql immutable as 'select true';
    create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.same);
    create function evil.pg_has_role(oid, text, text) returns boolean language sql as 'select true';
    create function evil.pg_get_userbyid(oid) returns name language sql as 'select ''postgres''::name';
    create function evil.clock_timestamp() returns timestamptz language sql as 'select ''2001-01-01''::timestamptz';
    create function evil.now() returns timestamptz language sql as 'select ''2001-01-01''::timestamptz';
    create function evil.lower(text) returns text language sql as 'select ''''::text';
    create function evil.format_id(text, uuid) returns text language sql as 'select ''''::text';
    create temp table balance (tenant_id uuid, account_id uuid, balance numeric);
    create temp table key (like topup.keys);
    create function pg_temp.balance() returns jsonb language sql as 'select null::jsonb';
    set search_path = evil, pg_temp, pg_catalog, topup;";

/// A session of an app whose names resolve to impostors first.
async fn hostile(database: &Database, key: &str) -> Client {
    let admin = database.admin().await;
    admin.batch_execute("create schema evil; grant all on schema evil to app").await.unwrap();
    let app = database.app(key).await;
    app.batch_execute(IMPOSTORS).await.unwrap();
    // The trap is set: in this session, names do mean something else.
    let trapped = "select 2::bigint <= 1::bigint and pg_has_role(1::oid, 'x', 'y') and now() < '2002-01-01'";
    let row = app.query_one(trapped, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    app
}

#[tokio::test]
async fn a_hostile_search_path_changes_nothing() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let (tenant, other) = (database.tenant("Acme").await, database.tenant("Other").await);
    other.key("staging", "").await;
    let (_, key) = tenant.key("staging", "cap_cents => 1500, cap_period => 'day'").await;
    let app = hostile(&database, &key).await;

    let sent = call(&app, "topup.send('claude', 1000, 'ann@example.com')").await;
    assert_eq!((&sent["code"], &sent["data"]["new_balance_cents"]), (&json!(1001), &json!(99_000)));
    assert!(!sent["timestamp"].as_str().unwrap().starts_with("2001"));
    assert_eq!(call(&app, "topup.send('claude', 600)").await["code"], 2007);
    let balance = call(&app, "topup.balance()").await;
    assert_eq!(balance["data"]["key"]["cap_used_cents"], 1000);
    let adjust = "topup.adjust('a', 'USD', -1000, 'other')";
    assert_eq!(call(&app, adjust).await["code"], 2002);
    let seen = lines(&app, "select distinct tenant_id || environment::text from topup.accounts").await;
    assert_eq!(seen, [format!("{}staging", tenant.id)]);

    let (_, live) = tenant.key("live", "").await;
    app.execute("select pg_catalog.set_config('topup.api_key', $1, false)", &[&live]).await.unwrap();
    assert_eq!(call(&app, "topup.adjust('a', 'USD', 1000, 'other')").await["code"], 2008);
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 2002);
    app.batch_execute("reset topup.api_key").await.unwrap();
    assert_eq!(call(&app, "topup.balance()").await["code"], 2001);
    assert_eq!(lines(&app, "select key_id from topup.keys").await, Vec::<String>::new());
    let customers = admin.query("select from topup.customers where email = 'ann@example.com'", &[]).await;
    assert_eq!(customers.unwrap().len(), 1);
    database.check().await;
}

/// A tenant with a webhook, a voucher and a key, and the texts that no role may read.
async fn secrets(tenant: &Tenant<'_>, admin: &Client) -> (String, Vec<String>) {
    let (key_id, key) = tenant.key("staging", "").await;
    let register = json!({"url": "https://hooks.example.com/in"});
    let webhook = wire(admin, &key, "webhook_register", &register).await.1;
    wire(admin, &key, "send", &json!({"platform": "claude", "amount_cents": 1000})).await;
    wire(admin, &key, "customer_create", &json!({"name": "Max", "external_id": "max"})).await;
    let events = json!([{"id": "e-1", "event_type": "seen", "occurred_at": "2026-01-01T00:00:00Z"}]);
    wire(admin, &key, "record_usage", &json!({"customer_external_id": "max", "events": events})).await;
    let secret = webhook["data"]["secret"].as_str().unwrap().to_owned();
    let hash: String =
        admin.query_one("select encode(topup.hash_api_key($1), 'hex')", &[&key]).await.unwrap().get(0);
    let stored = "select exists (select from topup.key where encode(secret_hash, 'hex') = $1)";
    assert!(admin.query_one(stored, &[&hash]).await.unwrap().get::<_, bool>(0));
    (key_id, vec![key, hash, secret])
}

#[tokio::test]
async fn no_role_reads_a_keys_hash_or_a_webhooks_secret() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let (key_id, secrets) = secrets(&tenant, &admin).await;
    let bound = database.bound(&key_id).await;
    let views =
        "select relname::text from pg_class where relnamespace = 'topup'::regnamespace and relkind = 'v'
            and has_table_privilege('topup_reader', oid, 'select')";
    for view in lines(&admin, views).await {
        // An administrator sees every row; what the superuser sees of a view is no less.
        for session in [&admin, &bound] {
            let rows = lines(session, &format!("select v::text from topup.{view} v")).await;
            assert!(!rows.is_empty(), "{view}");
            let text = rows.join("\n");
            assert!(secrets.iter().all(|secret| !text.contains(secret)), "{view} shows a secret");
        }
    }
    for role in ["topup_admin", "topup_app", "topup_gateway", "topup_reader"] {
        let readable = format!(
            "select a.attrelid::regclass || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid
              where c.relnamespace = 'topup'::regnamespace and c.relkind in ('r', 'v', 'i') and a.attnum > 0
                and a.attname ~ 'secret|hash' and has_column_privilege('{role}', a.attrelid, a.attnum, 'select')"
        );
        assert_eq!(lines(&admin, &readable).await, Vec::<String>::new(), "{role}");
    }
}

#[tokio::test]
async fn the_sessions_key_is_not_listed_among_the_settings() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let app = database.app(&key).await;
    for query in ["show all", "select * from pg_settings", "select * from pg_file_settings"] {
        let Ok(messages) = app.simple_query(query).await else { continue };
        for message in messages {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let shows = |column: usize| row.get(column).is_some_and(|text| text.contains(&key));
            assert!(!(0..row.len()).any(shows), "{query}");
        }
    }
    assert_eq!(call(&app, "topup.balance()").await["code"], 1000);
}

#[tokio::test]
async fn not_even_the_superuser_rewrites_the_ledger() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let app = database.app(&key).await;
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 1001);
    let before = database.contents().await;
    let admin = database.admin().await;
    for statement in [
        "update topup.entry set amount = amount * 2",
        "delete from topup.entry",
        "truncate topup.entry",
        "update topup.transaction set kind = 'gift'",
        "delete from topup.transaction",
        "truncate topup.transaction",
    ] {
        assert_eq!(sql_state(&admin, statement).await, "23000", "{statement}");
    }
    assert!(database.contents().await == before);
    database.check().await;
}
