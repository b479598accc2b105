//! What is found by its key stays so in tables that Postgres has never looked at: all is done in one transaction of a
//! fresh database, where a plan that reads too much reads more each time, and the rows that were read are counted.

use crate::support::{Bank, call, reads};
use tokio_postgres::Client;

/// Runs a statement with `n` from 1 to `times`, and fails where some table or index gave more rows than `rows_max` for each.
async fn repeat(client: &Client, times: i64, rows_max: i64, statement: &str) {
    let before = reads(client).await;
    let each =
        format!("do $$ begin for n in 1..{times} loop perform pg_temp.accept({statement}); end loop; end $$");
    client.batch_execute(&each).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    let after = reads(client).await;
    let grown = after.iter().zip(&before).map(|(after, before)| (&after.relation, after.rows - before.rows));
    let too_many: Vec<_> = grown.filter(|(_, rows)| *rows > rows_max * times).collect();
    assert!(too_many.is_empty(), "{statement}, {times} times, reads too much: {too_many:?}");
}

/// A session of the bank's key, in a transaction, with a price for each call and one by tiers.
async fn begin(bank: &Bank) -> Client {
    let session = bank.database.admin().await;
    let begin = format!(
        "set topup.api_key = '{}'; begin;
         create function pg_temp.accept(reply jsonb) returns void language plpgsql as $$ begin
             if not (reply ->> 'success')::boolean then raise '%', reply; end if; end $$;
         create temp table customer (n int primary key, id text not null);
         create function pg_temp.customer(of int) returns text language sql as $$
             select id from pg_temp.customer where n = of $$;
         create function pg_temp.events(name text, count int) returns jsonb language sql as $$
             select jsonb_agg(jsonb_build_object('id', name || '/' || i, 'event_type', 'call',
                                                 'occurred_at', '2026-01-05T00:00:00Z')) from generate_series(1, count) i $$",
        bank.key
    );
    session.batch_execute(&begin).await.unwrap();
    let prices = r#"[{"name":"Calls","type":"usage_based","billing_model":{"type":"real_time"},
        "usage_calculation":{"event_type":"call","usage_type":"unit"},
        "pricing":[{"asset":"USD","values":[{"unit_price":0.05}]}]},
        {"name":"Tiers","type":"usage_based","billing_model":{"type":"real_time"},"pricing_model":"tiered",
        "tiering":{"basis":"unit"},"usage_calculation":{"event_type":"call","usage_type":"unit"},
        "pricing":[{"asset":"USD","values":[{"up_to":50,"unit_price":0.5},{"unit_price":0.1}]}]}]"#;
    let product = format!("topup.product_create('Calls', 'calls', '{prices}', publish => true)");
    assert_eq!(call(&session, &product).await["code"], 1000);
    session
}

/// Customers who are subscribed to the product.
async fn make_customers(session: &Client, count: i64) {
    let create =
        "topup.customer_create('C' || n, external_id => 'c' || n, email => 'c' || n || '@example.com')";
    repeat(session, count, 20, create).await;
    let known = "insert into customer select substr(external_id, 2)::int, customer_id from topup.customers where external_id <> ''";
    session.batch_execute(known).await.unwrap();
    let subscribe =
        r#"topup.subscription_create(pg_temp.customer(n), '[{"code":"calls"}]', starts_at => '2026-01-01')"#;
    repeat(session, count, 20, subscribe).await;
}

#[tokio::test]
async fn a_first_import_of_usage_finds_ids_by_their_key() {
    let bank = Bank::open().await;
    let session = begin(&bank).await;
    make_customers(&session, 20).await;
    // Each of a batch's 100 is looked for, written, and looked for by its two fees.
    let usage = |customer: &str, events: &str| format!("topup.record_usage({customer}, {events})");
    let events = "pg_temp.events('batch-' || n, 100)";
    repeat(&session, 20, 400, &usage("pg_temp.customer(1)", events)).await;
    repeat(&session, 20, 400, &usage("pg_temp.customer(1)", events)).await;
    repeat(&session, 20, 400, &usage("pg_temp.customer(n)", "pg_temp.events('one-of-' || n, 100)")).await;
    repeat(&session, 100, 10, "topup.usage_event_get('batch-7/' || n)").await;
    let scanned = reads(&session).await;
    let scanned: Vec<_> = scanned
        .iter()
        .filter(|read| read.is_table && read.scans > 0 && read.relation.contains("usage"))
        .collect();
    assert!(scanned.is_empty(), "{scanned:?}");
    session.batch_execute("commit").await.unwrap();
    bank.database.check().await;
}

#[tokio::test]
async fn lists_of_events_go_by_their_order_in_tables_that_were_never_analysed() {
    let bank = Bank::open().await;
    let session = begin(&bank).await;
    make_customers(&session, 2).await;
    repeat(&session, 10, 400, "topup.record_usage(pg_temp.customer(1), pg_temp.events('n' || n, 200))").await;
    repeat(&session, 1, 400, "topup.record_usage(pg_temp.customer(2), pg_temp.events('m', 30))").await;
    // A page and the count of all.
    repeat(&session, 10, 80, "topup.usage_event_list(customer_id => pg_temp.customer(2), page_size => 5)")
        .await;
    repeat(&session, 10, 2100, "topup.usage_event_list(page_size => 5, page_offset => n * 5)").await;
    let reads = reads(&session).await;
    let scans = |relation: &str| reads.iter().find(|read| read.relation == relation).unwrap().scans;
    assert_eq!(scans("topup.usage_event"), 0);
    assert!(scans("topup.usage_event_of_customer") >= 10 && scans("topup.usage_event_sequence") >= 10);
}

#[tokio::test]
async fn operations_read_no_more_while_a_new_database_fills_up() {
    let bank = Bank::open().await;
    let session = begin(&bank).await;
    make_customers(&session, 300).await;
    assert_eq!(call(&session, "topup.webhook_register('https://example.com/hook')").await["code"], 1000);
    for statement in [
        "topup.adjust('gift-' || n, 'USD', 50, 'gift', pg_temp.customer(n), expires_at => now() + interval '1 day')",
        "topup.charge(pg_temp.customer(n), 'charge-' || n, 'USD', 2)",
        "topup.refund(pg_temp.customer(n), 'charge-' || n)",
        "topup.hold(pg_temp.customer(n), 'USD', 2, clock_timestamp() + interval '1 hour')",
        "topup.wallet(pg_temp.customer(n))",
        "topup.send('claude', 100, 'c' || n || '@example.com', idempotency_key => 'send-' || n)",
        "topup.send('claude', 100, 'c' || n || '@example.com', idempotency_key => 'send-' || n)",
        "topup.top_up_create(pg_temp.customer(n), 10, 'USD', 'https://a.example', 'https://a.example')",
        "topup.set_auto_top_up(20, 5, pg_temp.customer(n))",
    ] {
        repeat(&session, 300, 20, statement).await;
    }
    session.batch_execute("commit").await.unwrap();
    bank.database.check().await;
}

#[tokio::test]
async fn a_key_that_was_everybodys_when_postgres_looked_is_no_reason_to_read_all() {
    let bank = Bank::open().await;
    for _ in 0..3 {
        let app = bank.database.app(&bank.database.staging_key().await).await;
        assert_eq!(call(&app, "topup.send('claude', 100, idempotency_key => 'welcome')").await["code"], 1001);
    }
    bank.database.admin().await.batch_execute("analyze topup.idempotency").await.unwrap();
    let session = begin(&bank).await;
    repeat(&session, 50, 4, "topup.send('claude', 100, idempotency_key => 'order-' || n)").await;
    session.batch_execute("commit").await.unwrap();
    bank.database.check().await;
}

/// Events that wait in tables that Postgres found empty when it looked.
#[tokio::test]
async fn a_queue_that_fills_is_claimed_by_its_keys() {
    let bank = Bank::open().await;
    call(&bank.app, "topup.webhook_register('https://example.com/hook')").await;
    let admin = bank.database.admin().await;
    admin.batch_execute("analyze").await.unwrap();
    let session = begin(&bank).await;
    repeat(&session, 200, 4, "topup.send('claude', 100)").await;
    session.batch_execute("commit; begin").await.unwrap();
    let claim =
        "(select jsonb_build_object('success', count(*) = 10) from topup.claim_effects(10, 10, '{}', 30))";
    // Entries of rows that this transaction has taken away or changed are stepped over.
    repeat(&session, 20, 500, claim).await;
    session.batch_execute("commit").await.unwrap();
    bank.database.check().await;
}

/// What a statement of ours runs is somebody else's: it is planned as it would be without us.
#[tokio::test]
async fn a_trigger_that_fires_inside_our_statements_plans_as_ever() {
    let bank = Bank::open().await;
    let admin = bank.database.admin().await;
    admin
        .batch_execute(
            "create schema audit; grant usage on schema audit to public;
             create table audit.small as select n from generate_series(1, 3) n;
             create index on audit.small (n); analyze audit.small;
             create table audit.seen (plan text, settings text);
             grant select on audit.small to public; grant insert on audit.seen to public;
             create function audit.note() returns trigger language plpgsql as $$
             declare line text; plan text := ''; begin
                 for line in execute 'explain select a.n from audit.small a join audit.small b using (n) where a.n > 0' loop
                     plan := plan || line || E'\\n';
                 end loop;
                 insert into audit.seen select plan, string_agg(current_setting(name), ' ' order by name)
                   from unnest(array['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin',
                                     'jit', 'plan_cache_mode']) name;
                 return new; end $$;
             create trigger note before insert on topup.customer for each row execute function audit.note();
             insert into topup.customer select (c).* from (select c from topup.customer c limit 1) c
                 on conflict do nothing",
        )
        .await
        .unwrap();
    let own = "select plan, settings from audit.seen";
    let as_ever = admin.query_one(own, &[]).await.unwrap();
    let as_ever: (String, String) = (as_ever.get(0), as_ever.get(1));
    assert!(as_ever.0.contains("Seq Scan"), "{as_ever:?}");
    for n in 1..8 {
        let create = format!("topup.customer_create('C', external_id => 'c-{n}')");
        assert_eq!(call(&bank.app, &create).await["code"], 1000);
    }
    let seen = admin.query(own, &[]).await.unwrap();
    assert_eq!(seen.len(), 8);
    for row in seen {
        assert_eq!((row.get(0), row.get(1)), as_ever);
    }
}
