//! What sends write goes into tables row by row; whatever somebody has made of such a table takes part all the same.

use crate::support::{Database, LIMIT, call, sql_state, wait_until};
use tokio_postgres::Client;

/// A tenant that tells an endpoint of its sends, and has sent once.
async fn shop() -> (Database, Client, Client) {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    call(&app, "topup.webhook_register('https://example.com/hook')").await;
    assert_eq!(call(&app, SEND).await["code"], 1001);
    (database, admin, app)
}

const SEND: &str = "topup.send('claude', 1000)";

/// What a send writes.
const WRITTEN: [(&str, i64); 4] = [("transaction", 1), ("entry", 2), ("top_up", 1), ("outbox", 1)];

async fn number(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn row_triggers_see_what_a_send_writes() {
    let (database, admin, app) = shop().await;
    admin
        .batch_execute(
            "create schema audit; create table audit.seen (relation text, operation text);
             create function audit.note() returns trigger language plpgsql as $$
             begin insert into audit.seen values (tg_relname, tg_op); return new; end $$;
             grant usage on schema audit to public; grant insert on audit.seen to public",
        )
        .await
        .unwrap();
    let tables = WRITTEN.iter().map(|(table, _)| *table).chain(["balance", "key_usage"]);
    for (n, table) in tables.enumerate() {
        let when = if n % 2 == 0 { "before" } else { "after" };
        let trigger = format!(
            "create trigger note {when} insert or update on topup.{table} for each row execute function audit.note()"
        );
        admin.batch_execute(&trigger).await.unwrap();
    }
    assert_eq!(call(&app, SEND).await["code"], 1001);
    for (table, rows) in WRITTEN {
        let seen =
            format!("select count(*) from audit.seen where relation = '{table}' and operation = 'INSERT'");
        assert_eq!(number(&admin, &seen).await, rows, "{table}");
    }
    for table in ["balance", "key_usage"] {
        let seen =
            format!("select count(*) from audit.seen where relation = '{table}' and operation = 'UPDATE'");
        assert_eq!(number(&admin, &seen).await, 1, "{table}");
    }
    database.check().await;
}

#[tokio::test]
async fn statement_triggers_and_those_of_columns_see_what_a_send_writes() {
    let (database, admin, app) = shop().await;
    admin
        .batch_execute(
            "create schema audit; create table audit.seen (relation text, rows bigint);
             create function audit.count() returns trigger language plpgsql as $$
             begin insert into audit.seen select tg_relname, count(*) from written; return null; end $$;
             create function audit.note() returns trigger language plpgsql as $$
             begin insert into audit.seen values (tg_relname, 1); return new; end $$;
             grant usage on schema audit to public; grant insert on audit.seen to public;
             create trigger note after update of balance on topup.balance for each row execute function audit.note();
             create trigger count after update on topup.key_usage referencing new table as written
                 for each statement execute function audit.count()",
        )
        .await
        .unwrap();
    for (table, _) in WRITTEN {
        let trigger = format!(
            "create trigger count after insert on topup.{table} referencing new table as written
                 for each statement execute function audit.count()"
        );
        admin.batch_execute(&trigger).await.unwrap();
    }
    assert_eq!(call(&app, SEND).await["code"], 1001);
    for (table, rows) in WRITTEN.into_iter().chain([("balance", 1), ("key_usage", 1)]) {
        let seen =
            format!("select coalesce(sum(rows), 0)::bigint from audit.seen where relation = '{table}'");
        assert_eq!(number(&admin, &seen).await, rows, "{table}");
    }
    database.check().await;
}

#[tokio::test]
async fn a_table_in_parts_takes_what_a_send_writes() {
    let (database, admin, app) = shop().await;
    admin
        .batch_execute(
            "alter table topup.outbox rename to outbox_part;
             create table topup.outbox (like topup.outbox_part including defaults) partition by list (type);
             alter table topup.outbox attach partition topup.outbox_part for values in ('topup.delivered');
             create table topup.outbox_rest partition of topup.outbox default;
             alter table topup.top_up enable row level security",
        )
        .await
        .unwrap();
    assert_eq!(call(&app, SEND).await["code"], 1001);
    assert_eq!(number(&admin, "select count(*) from topup.outbox_part").await, 2);
    assert_eq!(number(&admin, "select count(*) from topup.top_up").await, 2);
    assert_eq!(call(&app, "topup.send('claude', 1000, 'ann+pending@example.com')").await["code"], 1002);
    assert_eq!(number(&admin, "select count(*) from topup.outbox_rest").await, 1);
    assert_eq!(number(&admin, "select count(*) from topup.claim_effects(10, 10, '{}', 30)").await, 3);
    assert_eq!(number(&admin, "select count(*) from topup.outbox").await, 0);
    database.check().await;
}

#[tokio::test]
async fn a_column_that_fills_itself_is_filled() {
    let (database, admin, app) = shop().await;
    admin
        .batch_execute(
            "alter table topup.top_up add column noted text not null default 'by default';
             alter table topup.transaction add column n bigint generated always as identity",
        )
        .await
        .unwrap();
    assert_eq!(call(&app, SEND).await["code"], 1001);
    assert_eq!(number(&admin, "select count(*) from topup.top_up where noted = 'by default'").await, 2);
    database.check().await;
}

#[tokio::test]
async fn sessions_that_have_sent_before_fill_the_indexes_that_come_later() {
    let (database, admin, app) = shop().await;
    let changes = [
        "create index concurrently of_platform on topup.top_up (platform)",
        "create index concurrently large on topup.top_up (created_at) where amount_cents >= 1000",
        "create index concurrently small on topup.top_up (created_at) where amount_cents < 1000",
        "drop index concurrently topup.of_platform",
        "alter table topup.balance add grown bigint generated always as (version * 2) stored",
        "create index concurrently grown on topup.balance (account_id) where grown > 4",
        "create index concurrently noted on topup.top_up (created_at) where metadata is not null",
        "create function public.note() returns trigger language plpgsql as $$
         begin new.metadata := '{}'; return new; end $$",
        "create trigger note before insert on topup.top_up for each row execute function public.note()",
    ];
    for change in changes {
        admin.batch_execute(change).await.unwrap();
        assert_eq!(call(&app, SEND).await["code"], 1001, "{change}");
        assert_eq!(call(&app, "topup.send('claude', 999)").await["code"], 1001, "{change}");
        database.check().await;
    }
    assert_eq!(number(&admin, "select count(*) from topup.top_up where metadata = '{}'").await, 2);
}

#[tokio::test]
async fn partial_indexes_go_by_functions_as_they_are_now_and_by_whole_rows() {
    let (database, admin, app) = shop().await;
    let function = |argument: &str, body: &str| {
        format!(
            "create or replace function public.counts({argument}) returns boolean immutable language {body}"
        )
    };
    let changes = [
        &function("topup.top_up", "plpgsql as 'begin return $1.amount_cents = 1000; end'"),
        "create index of_rows on topup.top_up (created_at) where public.counts(top_up)",
        &function("bigint", "plpgsql as 'begin return $1 = 1000; end'"),
        "create index of_amounts on topup.top_up (created_at) where public.counts(amount_cents)",
        &function("bigint", "sql as 'select $1 = 1000'"),
    ];
    for change in changes {
        admin.batch_execute(change).await.unwrap();
        for cents in [1000, 999, 1000] {
            assert_eq!(call(&app, &format!("topup.send('claude', {cents})")).await["code"], 1001, "{change}");
        }
        database.check().await;
    }
}

#[tokio::test]
async fn what_an_index_that_is_not_ready_asks_of_a_row_is_not_asked() {
    let (_database, admin, app) = shop().await;
    let build =
        "create index concurrently refused on topup.top_up (created_at) where 1 / (amount_cents - 1000) > 0";
    assert_eq!(admin.batch_execute(build).await.unwrap_err().code().unwrap().code(), "22012");
    assert_eq!(number(&admin, "select count(*) from pg_index where not indisready").await, 1);
    assert_eq!(call(&app, SEND).await["code"], 1001);
}

#[tokio::test]
async fn a_narrower_type_is_kept_to() {
    let (_database, admin, app) = shop().await;
    let send = |key: &str| format!("topup.send('claude', 100, idempotency_key => '{key}')");
    admin.batch_execute("alter table topup.idempotency alter reply type varchar(10000)").await.unwrap();
    assert_eq!(call(&app, &send("fits")).await["code"], 1001);
    admin
        .batch_execute("alter table topup.idempotency alter reply type varchar(3) using 'was'")
        .await
        .unwrap();
    assert_eq!(sql_state(&app, &format!("select {}", send("too-long"))).await, "22001");
}

#[tokio::test]
async fn a_table_that_takes_anothers_place_gets_the_rows_of_whoever_waited() {
    let (_database, admin, app) = shop().await;
    admin.batch_execute("create table topup.entry_after (like topup.entry including all)").await.unwrap();
    // The session has heard of that, and knows its tables again.
    assert_eq!(call(&app, SEND).await["code"], 1001);
    admin
        .batch_execute(
            "begin; alter table topup.entry rename to entry_before;
             alter table topup.entry_after rename to entry; insert into topup.entry table topup.entry_before",
        )
        .await
        .unwrap();
    let sent = tokio::spawn(async move { call(&app, SEND).await });
    let waiting = "select count(*) from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock'";
    wait_until(LIMIT, "the send waits", async || (number(&admin, waiting).await == 1).then_some(())).await;
    admin.batch_execute("commit").await.unwrap();
    assert_eq!(sent.await.unwrap()["code"], 1001);
    assert_eq!(number(&admin, "select count(*) from topup.entry_before").await, 6);
    assert_eq!(number(&admin, "select count(*) from topup.entry").await, 8);
}

#[tokio::test]
async fn a_table_that_takes_anothers_place_has_it_until_that_is_undone() {
    let database = Database::new().await;
    let (admin, key) = (database.admin().await, database.staging_key().await);
    admin.execute("select set_config('topup.api_key', $1, false)", &[&key]).await.unwrap();
    assert_eq!(call(&admin, SEND).await["code"], 1001);
    let swap = "alter table topup.entry rename to entry_before;
                create table topup.entry (like topup.entry_before including all)";
    for (begin, end) in [("begin", "rollback"), ("begin; savepoint a", "rollback to a; commit")] {
        let before = number(&admin, "select count(*) from topup.entry").await;
        admin.batch_execute(&format!("{begin}; {swap}")).await.unwrap();
        assert_eq!(call(&admin, SEND).await["code"], 1001);
        assert_eq!(number(&admin, "select count(*) from topup.entry_before").await, before);
        assert_eq!(number(&admin, "select count(*) from topup.entry").await, 2);
        admin.batch_execute(end).await.unwrap();
        assert_eq!(call(&admin, SEND).await["code"], 1001);
        assert_eq!(number(&admin, "select count(*) from topup.entry").await, before + 2);
    }
    database.check().await;
}

#[tokio::test]
async fn what_a_table_refuses_is_refused_and_undone() {
    let (database, admin, app) = shop().await;
    admin
        .batch_execute(
            "alter table topup.outbox add constraint none_more check (created_at < '2001-01-01') not valid",
        )
        .await
        .unwrap();
    let before = database.contents().await;
    assert_eq!(sql_state(&app, &format!("select {SEND}")).await, "23514");
    assert_eq!(database.contents().await, before);
    admin.batch_execute("alter table topup.outbox drop constraint none_more").await.unwrap();
    app.batch_execute("begin read only").await.unwrap();
    assert_eq!(sql_state(&app, &format!("select {SEND}")).await, "25006");
    app.batch_execute("rollback").await.unwrap();
    assert_eq!(call(&app, SEND).await["code"], 1001);
    database.check().await;
}

#[tokio::test]
async fn many_sends_in_a_transaction_leave_nothing_open() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (admin, app) = (database.admin().await, database.app(&key).await);
    call(&app, "topup.webhook_register('https://example.com/hook')").await;
    let script = format!(
        "set topup.api_key = '{key}';
         do $$ begin
             for n in 1..50 loop
                 begin
                     perform topup.send('claude', 1000);
                     if n % 2 = 0 then raise exception 'undone'; end if;
                 exception when raise_exception then null;
                 end;
             end loop;
         end $$"
    );
    let output = database.program("psql").args(["--no-psqlrc", "--quiet", "-c", &script]).output().unwrap();
    // Postgres warns of whatever a transaction forgets to close.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    for table in ["top_up", "outbox"] {
        assert_eq!(number(&admin, &format!("select count(*) from topup.{table}")).await, 25);
    }
    database.check().await;
}

/// A send under a key to an address, and again with the address as somebody else writes it.
async fn keyed_sends_are_one_customers(admin: &Client, recipient: &str) {
    let send =
        |email: &str, key: &str| format!("topup.send('claude', 1000, '{email}', idempotency_key => '{key}')");
    let (first, second) = (send(recipient, "one"), send(&recipient.to_ascii_uppercase(), "another"));
    let reply = call(admin, &first).await;
    assert_eq!(reply["code"], 1001);
    assert_eq!(call(admin, &first).await, reply);
    assert_eq!(call(admin, &second).await["code"], 1001);
    assert_eq!(call(admin, &send(recipient, "another")).await["code"], 2006);
    let customers = format!("select count(*) from topup.customer where lower(email) = lower('{recipient}')");
    assert_eq!(number(admin, &customers).await, 1, "{recipient}");
}

#[tokio::test]
async fn keys_and_recipients_are_found_whatever_has_become_of_their_tables() {
    let database = Database::new().await;
    let (admin, key) = (database.admin().await, database.staging_key().await);
    admin.execute("select set_config('topup.api_key', $1, false)", &[&key]).await.unwrap();
    let in_parts = "alter table topup.idempotency rename to idempotency_part;
         create table topup.idempotency (like topup.idempotency_part including all) partition by list (namespace);
         alter table topup.idempotency attach partition topup.idempotency_part default";
    let with_row_security = "alter table topup.customer enable row level security;
         alter table topup.balance enable row level security";
    for (n, begin) in ["", in_parts, with_row_security].into_iter().enumerate() {
        for isolation in ["read committed", "repeatable read", "serializable"] {
            let recipient = format!("ärger-{n}-{}@example.com", isolation.replace(' ', "-"));
            admin.batch_execute(&format!("begin isolation level {isolation}; {begin}")).await.unwrap();
            keyed_sends_are_one_customers(&admin, &recipient).await;
            admin.batch_execute("rollback").await.unwrap();
        }
    }
    keyed_sends_are_one_customers(&admin, "ärger@example.com").await;
    database.check().await;
}
