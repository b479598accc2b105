//! What roles may call, called with whatever a caller can send: no argument ends the server, or keeps it busy for long. The
//! functions and their arguments are those of the catalog, so that new ones enter by themselves.

use crate::support::{Cluster, Database, place};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const ROLES: [&str; 4] = ["topup_admin", "topup_app", "topup_gateway", "topup_reader"];
/// Far above what any call takes on a busy machine, and far below what an unbounded one would.
const ANSWER_LIMIT: &str = "120s";

/// Values that take long to write down, made once for a session.
const LARGE: &str = "
    create temp table large as select
        repeat('x', 2000000) as words, repeat('[', 2000000) as brackets, repeat('{\"a\":', 300000) as braces,
        (repeat('[', 3000) || repeat(']', 3000))::jsonb as deep,
        (select jsonb_agg(n) from generate_series(1, 100000) n) as numbers,
        (select jsonb_agg('{}'::jsonb) from generate_series(1, 100000) n) as objects,
        (select jsonb_object_agg('k' || n, n) from generate_series(1, 50000) n) as fields,
        jsonb_build_object('metadata', repeat('x', 2000000)) as long_field,
        to_jsonb(repeat('x', 20000000)) as long_text,
        array_fill('x'::text, array[100000]) as texts, array_fill('x'::text, array[100, 100]) as square,
        array_fill(2000000000, array[100000]) as integers,
        array_fill(gen_random_uuid(), array[100000]) as uuids,
        array_fill('10.0.0.0/8'::cidr, array[100000]) as networks";

/// What a caller may send in an argument of a type, as SQL.
fn hostile(kind: &str) -> &'static [&'static str] {
    match kind {
        "integer" => &["2000000000", "-1", "2147483647", "'-2147483648'::integer", "null"],
        "bigint" => &["9223372036854775807", "-1", "2000000000", "'-9223372036854775808'::bigint", "null"],
        "numeric" => {
            &["1e131000::numeric", "'NaN'::numeric", "'-Infinity'::numeric", "1e-16000::numeric", "null"]
        }
        "text" => &["words", "brackets", "braces", "''", "null"],
        "name" => &["'x'::name", "''::name", "null"],
        "jsonb" => {
            &["deep", "numbers", "objects", "fields", "long_field", "long_text", "'{}'::jsonb", "null"]
        }
        "uuid" => &["gen_random_uuid()", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid", "null"],
        "timestamp with time zone" => &[
            "'infinity'::timestamptz",
            "'-infinity'::timestamptz",
            "'294276-12-31'::timestamptz",
            "'4713-01-01 BC'::timestamptz",
            "null",
        ],
        "date" => &["'infinity'::date", "'-infinity'::date", "'5874897-12-31'::date", "null"],
        "double precision" => &["'NaN'::float8", "'Infinity'::float8", "-1e300::float8", "null"],
        "interval" => &["'100000000 years'::interval", "'-1 day'::interval", "null"],
        "bytea" => &["convert_to(words, 'utf8')", "''::bytea", "null"],
        "boolean" => &["true", "null"],
        "inet" => &["'::/0'::inet", "null"],
        "cidr[]" => &["networks", "array[null::cidr]", "'{}'::cidr[]", "null"],
        "text[]" => &["texts", "square", "array[null::text]", "'{}'::text[]", "null"],
        "integer[]" => &["integers", "array[null::integer]", "'{}'::integer[]", "null"],
        "uuid[]" => &["uuids", "array[null::uuid]", "'{}'::uuid[]", "null"],
        other => panic!("this test knows no hostile values of type {other}"),
    }
}

/// What makes sense in an argument, so that a call comes as far as the one that does not.
fn sensible(name: &str, kind: &str, things: &Things) -> String {
    let text = |value: &str| format!("'{value}'::{kind}");
    match (name, kind) {
        ("tenant_id", "text") => text(&things.tenant),
        ("environment", _) => text("staging"),
        ("key_id", "text") => text(&things.key_id),
        ("api_key", _) => text(&things.key),
        ("customer_id", _) => text(&things.customer),
        ("operation", _) => text("balance"),
        ("request", "text") => text("{}"),
        ("platform", _) => text("claude"),
        ("account_id", "text") => text("claude:USD"),
        ("asset", _) => text("USD"),
        (_, "boolean") => "false".to_owned(),
        (_, "integer" | "bigint" | "numeric") => "10".to_owned(),
        (_, "timestamp with time zone" | "date") => format!("now()::{kind}"),
        (_, "double precision" | "interval" | "bytea") => format!("'1'::{kind}"),
        (_, "uuid") => "gen_random_uuid()".to_owned(),
        (_, "jsonb") => "'{}'::jsonb".to_owned(),
        (_, "inet") => text("127.0.0.1"),
        (_, "cidr[]" | "text[]" | "integer[]" | "uuid[]") => format!("'{{}}'::{kind}"),
        _ => text("x"),
    }
}

/// What the calls are about.
struct Things {
    tenant: String,
    /// Of the session.
    key: String,
    /// Of another key, which administrators may revoke.
    key_id: String,
    customer: String,
}

async fn things(database: &Database) -> Things {
    let tenant = database.tenant("Acme").await;
    let all = "scopes => topup.known_scopes()";
    let ((_, key), (key_id, _)) = (tenant.key("staging", all).await, tenant.key("staging", all).await);
    let app = database.app(&key).await;
    let send = "select topup.send('claude', 1000, 'ann@example.com')";
    app.batch_execute(send).await.unwrap();
    let customer = "select customer_id from topup.customers";
    let customer = app.query_one(customer, &[]).await.unwrap().get(0);
    Things { tenant: tenant.id.clone(), key, key_id, customer }
}

/// The functions that a role may execute: names of arguments and their types.
async fn functions(session: &Client) -> Vec<(String, Vec<String>, Vec<String>)> {
    let query = "
        select p.proname::text, coalesce(p.proargnames[1:p.pronargs], '{}'),
               array(select format_type(t, null) from unnest(p.proargtypes) with ordinality t (t, n) order by n)
          from pg_proc p
         where p.pronamespace = 'topup'::regnamespace and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
           and has_function_privilege(p.oid, 'execute')
         order by 1";
    let rows = session.query(query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Each argument in turn with each hostile value, the others sensible; and all at once.
fn calls(function: &(String, Vec<String>, Vec<String>), things: &Things) -> Vec<String> {
    let (name, arguments, kinds) = function;
    let sensible: Vec<String> =
        arguments.iter().zip(kinds).map(|(argument, kind)| sensible(argument, kind, things)).collect();
    let call = |values: &[String]| {
        format!("select count(*) from large, lateral topup.{name}({}) called", values.join(", "))
    };
    let mut calls = vec![call(&sensible)];
    for (n, kind) in kinds.iter().enumerate() {
        for value in hostile(kind) {
            let mut values = sensible.clone();
            values[n] = (*value).to_owned();
            calls.push(call(&values));
        }
    }
    for turn in 0..3 {
        let all = kinds.iter().map(|kind| hostile(kind)[turn % hostile(kind).len()].to_owned());
        calls.push(call(&all.collect::<Vec<_>>()));
    }
    calls
}

/// Calls everything that a role may call; returns how many calls it made.
async fn call_everything(database: &Database, role: &str, things: &Things) -> usize {
    let session = database.admin().await;
    let login = format!("hostile_{role}");
    session.batch_execute(&format!("create role {login} login in role {role}")).await.unwrap();
    session.batch_execute(&format!("set session authorization {login}")).await.unwrap();
    session.batch_execute(LARGE).await.unwrap();
    if role == "topup_app" {
        session.execute("select set_config('topup.api_key', $1, false)", &[&things.key]).await.unwrap();
    }
    session.batch_execute(&format!("set statement_timeout = '{ANSWER_LIMIT}'")).await.unwrap();
    let mut count = 0;
    for function in functions(&session).await {
        for call in calls(&function, things) {
            count += 1;
            let Err(error) = session.batch_execute(&call).await else { continue };
            let fault = error.as_db_error().unwrap_or_else(|| panic!("{role}: {call}: {error}"));
            assert_ne!(fault.code(), &SqlState::QUERY_CANCELED, "{role}: {call} takes too long");
            let message = fault.message();
            let is_panic = ["overflow", "out of bounds", "out of range for slice", "called `", "unreachable"]
                .iter()
                .any(|sign| fault.code() == &SqlState::INTERNAL_ERROR && message.contains(sign));
            assert!(!is_panic, "{role}: {call}: {message}");
        }
    }
    count
}

#[tokio::test]
async fn no_argument_of_any_function_ends_the_server() {
    let cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let things = things(&database).await;
    let witness = database.admin().await;
    let everything = |n: usize| call_everything(&database, ROLES[n], &things);
    let counts = tokio::join!(everything(0), everything(1), everything(2), everything(3));
    let least = counts.0.min(counts.1).min(counts.2).min(counts.3);
    assert!(least > 50, "{counts:?}");
    // A session does not outlive the crash of another.
    witness.query_one("select 1", &[]).await.expect("the server has not crashed");
    let log = cluster.log();
    assert!(!log.contains("terminated by signal") && !log.contains("PANIC"), "the server crashed");
    database.check().await;
}

/// The bytes of address space that a process has.
fn address_space(pid: i32) -> u64 {
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split_whitespace().next().unwrap().parse::<u64>().unwrap() * PAGE
}

/// What a call answers whose replies are long, in a session that may take only so much more memory.
async fn answer_within(database: &Database, key: &str, room: u64) -> Result<(), tokio_postgres::Error> {
    let gateway = database.gateway().await;
    // Loads the library and what a call needs.
    gateway.batch_execute("select topup.call('x', 'balance', '{}')").await.unwrap();
    let pid: i32 = gateway.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let limit = format!("--as={}", address_space(pid) + room);
    let status = place::server_program("/usr/bin/prlimit").args(["--pid", &pid.to_string(), &limit]).status();
    assert!(status.unwrap().success());
    let call = "select count(*) from topup.call_many(
                    array_fill($1::text, array[1000]), array_fill(repeat('x', 16000), array[1000]),
                    array_fill('{}'::text, array[1000]), array_fill(null::text, array[1000]),
                    array_fill(null::text, array[1000]))";
    gateway.query(call, &[&key]).await.map(drop)
}

#[tokio::test]
async fn memory_that_runs_out_ends_one_session_and_not_the_server() {
    const MIB: u64 = 1 << 20;
    let cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let witness = database.admin().await;
    let key = database.staging_key().await;
    let mut ended_by_rust = 0;
    for room in (4..100).step_by(4) {
        let Err(error) = answer_within(&database, &key, room * MIB).await else { continue };
        let fault = error.as_db_error().unwrap_or_else(|| panic!("{room} MiB: {error}"));
        assert_eq!(fault.code(), &SqlState::OUT_OF_MEMORY, "{room} MiB: {fault}");
        if fault.detail().is_some_and(|detail| detail.starts_with("pg_topup failed on a request")) {
            assert_eq!(fault.severity(), "FATAL");
            ended_by_rust += 1;
        }
    }
    assert!(ended_by_rust > 0, "no session ran out of memory in Rust code");
    witness.query_one("select 1", &[]).await.expect("the server has not crashed");
    assert!(!cluster.log().contains("terminated by signal"), "the server crashed");
}
