//! What is read does not depend on what Postgres found when it last looked: after statistics of empty tables, of few rows
//! that are all alike and of all rows, claims, pages of lists and pages of views read about as much as they give.

use crate::support::{Bank, call, most_rows_read};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio_postgres::Client;

/// Of what statistics were taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Looked {
    Nothing,
    FewAlike,
    All,
}

const ALL: [Looked; 3] = [Looked::Nothing, Looked::FewAlike, Looked::All];

/// So many rows there are of each kind, and so few may be read for a page or a claim of 20.
const MANY: i64 = 2000;
const READ_MAX: i64 = 500;

/// Nobody looks but the test.
const UNWATCHED: &str = "
    do $$ declare t regclass; begin
        for t in select oid from pg_class where relnamespace = 'topup'::regnamespace and relkind = 'r' loop
            execute format('alter table %s set (autovacuum_enabled = false)', t);
        end loop;
    end $$";

/// Fans out what waits, as a worker does, and leases nothing that a test would miss.
async fn fan_out(worker: &Client) {
    loop {
        worker.query("select topup.claim_effects(1, 1, '{}', 1)", &[]).await.unwrap();
        let waits = worker.query_one("select exists (select from topup.outbox)", &[]).await.unwrap();
        if !waits.get::<_, bool>(0) {
            break;
        }
    }
}

async fn times(session: &Client, count: i64, call: &str) {
    let each = format!(
        "do $$ declare reply jsonb; begin for n in 1..{count} loop
             reply := {call};
             if not (reply ->> 'success')::boolean then raise '%', reply; end if;
         end loop; end $$"
    );
    session.batch_execute(&each).await.unwrap_or_else(|error| panic!("{call}: {error:?}"));
}

/// A bank with an endpoint of which much waits; the second session has asked for work before there was any.
async fn queue(looked: Looked) -> (Bank, Client) {
    let bank = Bank::open().await;
    bank.admin.batch_execute(UNWATCHED).await.unwrap();
    let worker = bank.database.admin().await;
    call(&bank.app, "topup.webhook_register('https://example.com/slow', retry_schedule_s => '{0,600}')")
        .await;
    fill_wallet(&bank).await;
    let look = async |now: Looked| {
        if now == looked {
            bank.admin.batch_execute("analyze").await.unwrap();
        }
    };
    look(Looked::Nothing).await;
    fan_out(&worker).await;
    times(&bank.app, 5, "topup.send('claude', 100)").await;
    fan_out(&worker).await;
    look(Looked::FewAlike).await;
    times(&bank.app, MANY, "topup.send('claude', 100)").await;
    fan_out(&worker).await;
    // What is gone from there is stepped over otherwise.
    bank.admin.batch_execute("vacuum topup.outbox").await.unwrap();
    look(Looked::All).await;
    (bank, worker)
}

async fn fill_wallet(bank: &Bank) {
    let fund = "select topup.fund(topup.format_id('acct', tenant_id), 'staging', 100000000, 'statistics') from topup.tenant";
    bank.admin.query(fund, &[]).await.unwrap();
}

#[tokio::test]
async fn a_claim_reads_as_much_of_a_long_queue_as_of_a_short_one() {
    for looked in ALL {
        let (bank, worker) = queue(looked).await;
        let outcomes = "select jsonb_agg(jsonb_build_object('tenant_id', c.tenant_id, 'effect_id', c.effect_id, 'fence', c.fence,
                            'started_at', now(), 'duration_ms', 5, 'http_status', n % 2 * 300 + 200))
                          from topup.claim_effects(20, 20, '{}', 30) with ordinality
                            as c (tenant_id, effect_id, fence, lane, url, body, headers, n)";
        for session in [&worker, &bank.database.admin().await] {
            for work in [
                "select topup.claim_effects(20, 20, '{}', 30)",
                "select topup.claim_effects(20, 20, '{}', 30, 10)",
                &format!("select topup.settle_effects(({outcomes}))"),
                "select topup.next_due()",
                "select topup.run_due(20)",
            ] {
                let (rows, relation) = most_rows_read(session, work).await;
                assert!(rows <= READ_MAX, "{looked:?}: {work} reads {rows} rows of {relation}");
            }
        }
    }
}

/// Customers, usage, payments and grants beside what [`queue`] has.
async fn fill(bank: &Bank) {
    let customer = &bank.customer;
    bank.sell_calls().await;
    times(&bank.app, MANY, "topup.customer_create('C' || n, email => 'c' || n || '@example.com')").await;
    let buy =
        format!("topup.top_up_create('{customer}', 10, 'USD', 'https://a.example', 'https://a.example')");
    times(&bank.app, MANY, &buy).await;
    let give = format!(
        "topup.adjust('gift-' || n, 'USD', 1, 'gift', '{customer}', expires_at => clock_timestamp() + interval '1 day')"
    );
    times(&bank.app, 300, &give).await;
    times(&bank.app, MANY, &format!("topup.adjust('plain-' || n, 'USD', 1, 'gift', '{customer}')")).await;
    let usage = format!(
        "topup.record_usage('{customer}', jsonb_build_array(jsonb_build_object(
             'id', 'event-' || n, 'event_type', 'call', 'occurred_at', '2026-01-05T00:00:00Z')))"
    );
    times(&bank.app, MANY, &usage).await;
    let products = r#"[{"code":"calls"}]"#;
    let subscribe = format!(
        "topup.subscription_create((select customer_id from topup.customers where email = 'c' || n || '@example.com'), '{products}')"
    );
    times(&bank.app, 300, &subscribe).await;
}

/// How a page of each list is asked for, by operation; and by how much it reads more than a page, for the lists that say how
/// many there are in all.
fn pages(customer: &str, product: &str) -> Vec<(&'static str, String, i64)> {
    vec![
        ("history", "topup.history(page_size => 5)".into(), 0),
        ("delivery_list", "topup.delivery_list(page_size => 5)".into(), 0),
        ("asset_list", "topup.asset_list(page_size => 5)".into(), 0),
        ("customer_list", "topup.customer_list(page_size => 5)".into(), MANY),
        ("usage_event_list", "topup.usage_event_list(page_size => 5)".into(), MANY),
        (
            "usage_event_list",
            format!("topup.usage_event_list(customer_id => '{customer}', page_size => 5)"),
            MANY,
        ),
        ("grant_list", format!("topup.grant_list('{customer}', page_size => 5)"), 300),
        ("product_list", "topup.product_list(page_size => 5)".into(), 0),
        ("product_subscribers", format!("topup.product_subscribers('{product}', page_size => 5)"), 300),
        ("invoice_history", "topup.invoice_history(per_page => 5)".into(), 0),
    ]
}

#[tokio::test]
async fn pages_of_lists_and_views_read_about_as_much_as_they_give() {
    for looked in ALL {
        let (bank, _worker) = queue(looked).await;
        fill(&bank).await;
        if looked == Looked::All {
            bank.admin.batch_execute("analyze").await.unwrap();
        }
        let products = call(&bank.app, "topup.product_list()").await;
        let product = products["data"]["items"][0]["id"].as_str().unwrap().to_owned();
        let lists = pages(&bank.customer, &product);
        assert_eq!(
            lists.iter().map(|(name, ..)| (*name).to_owned()).collect::<BTreeSet<_>>(),
            paged(&bank).await
        );
        let reader = bank.database.admin().await;
        let key = format!("set topup.api_key = '{}'", bank.key);
        reader.batch_execute(&key).await.unwrap();
        for (_, page, counted) in lists {
            let reply = call(&reader, &page).await;
            assert_eq!(reply["code"], 1000, "{page}: {reply}");
            // The count reads each once; in pages found by reading all, all would be read twice.
            let max = counted + counted / 4 + READ_MAX;
            let (rows, relation) = most_rows_read(&reader, &format!("select {page}")).await;
            assert!(rows <= max, "{looked:?}: {page} reads {rows} rows of {relation}");
        }
        for view in views(&bank).await {
            let (rows, relation) = most_rows_read(&reader, &format!("select * from {view} limit 20")).await;
            assert!(rows <= READ_MAX, "{looked:?}: a page of {view} reads {rows} rows of {relation}");
        }
    }
}

/// The operations whose requests say how large a page is.
async fn paged(bank: &Bank) -> BTreeSet<String> {
    let query = "select name, request_schema from topup.operations()";
    let rows = bank.admin.query(query, &[]).await.unwrap();
    let is_paged =
        |schema: &Value| ["limit", "per_page"].iter().any(|name| schema["properties"][name].is_object());
    rows.iter().filter(|row| is_paged(&row.get(1))).map(|row| row.get(0)).collect()
}

/// The views that readers have.
async fn views(bank: &Bank) -> Vec<String> {
    let query = "select oid::regclass::text from pg_class where relnamespace = 'topup'::regnamespace and relkind = 'v'
                    and has_table_privilege('topup_reader', oid, 'select')";
    bank.admin.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}
