//! What usage costs, against a model in exact fractions that shares no code with the server.

use crate::support::{Database, call, python};
use serde_json::{Value, json};
use tokio_postgres::Client;

const MODEL: &str = include_str!("../../clients/pricing_model.py");

/// 1,100 products with 100 events each: 110,000 cases.
const PRODUCTS: usize = 1100;
const EVENTS: usize = 100;
/// Those whose events are billed as well, and not only simulated.
const BILLED: usize = 60;

struct Case {
    prices: String,
    events: String,
    fees: String,
}

fn cases(seed: u64, products: usize, events: usize) -> Vec<Case> {
    let wanted = json!({"seed": seed, "products": products, "events": events});
    let text = |case: &Value, name: &str| case[name].as_str().unwrap().to_owned();
    let case = |line: &str| {
        let case: Value = serde_json::from_str(line).unwrap();
        Case { prices: text(&case, "prices"), events: text(&case, "events"), fees: text(&case, "fees") }
    };
    python(MODEL, &wanted.to_string()).lines().map(case).collect()
}

/// An app of a tenant that has two assets of its own.
async fn open(database: &Database) -> Client {
    let key = database.staging_key().await;
    let admin = database.admin().await;
    let assets = "insert into topup.asset (tenant_id, environment, code, name, precision)
                  select tenant_id, environment, code, code, precision from topup.tenant_environment,
                         (values ('TOK', 2::smallint), ('INT', 0)) a (code, precision)";
    admin.batch_execute(assets).await.unwrap();
    database.app(&key).await
}

async fn product(app: &Client, code: &str, prices: &str) -> String {
    let query = "select topup.product_create($1, $1, $2::text::jsonb, publish => true)";
    let made: Value = app.query_one(query, &[&code, &prices]).await.unwrap().get(0);
    made["data"]["id"].as_str().unwrap_or_else(|| panic!("{made}\n{prices}")).to_owned()
}

/// Materialized, or Postgres would simulate once more for each fee.
const SIMULATED: &str = "
    with r as materialized (select topup.simulate_usage($1, 1, $2::text::jsonb) as reply)
    select coalesce(string_agg(concat_ws(' ', fee ->> 'usage_id', fee ->> 'price_name', fee ->> 'amount'), chr(10) order by n), ''),
           min(reply::text)
      from r left join lateral jsonb_array_elements(reply -> 'data' -> 'fees') with ordinality f (fee, n) on true";

/// The first lines that differ, with the case that they come from.
fn compare(case: &Case, found: &str, reply: &str) {
    if found == case.fees {
        return;
    }
    let differ = found.lines().zip(case.fees.lines()).find(|(ours, models)| ours != models);
    let start = &reply[..reply.len().min(300)];
    panic!("server and model: {differ:?}\nprices: {}\nevents: {}\n{start}", case.prices, case.events);
}

#[tokio::test]
async fn every_fee_is_what_exact_fractions_give() {
    let database = Database::new().await;
    let app = open(&database).await;
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut fees = 0;
    for (n, case) in cases(seed, PRODUCTS, EVENTS).iter().enumerate() {
        let id = product(&app, &format!("product-{n}"), &case.prices).await;
        let row = app.query_one(SIMULATED, &[&id, &case.events]).await.unwrap();
        compare(case, row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default().as_str());
        fees += case.fees.lines().count();
    }
    assert!(fees > 50_000, "the cases show little: {fees} fees");
}

const BILL: &str = "
    select min(topup.record_usage($1, (select jsonb_agg(e order by n) from jsonb_array_elements($2::text::jsonb)
                                        with ordinality x (e, n) where n > $3 and n <= $4))::text)";

const BILLED_FEES: &str = "
    select coalesce(string_agg(concat_ws(' ', f.event_id, f.price_name, trim_scale(f.amount)), chr(10)
                               order by e.sequence, f.position), '')
      from topup.usage_fee f join topup.usage_event e using (tenant_id, environment, event_id)
     where e.customer_id = topup.parse_id('cust', $1)";

/// The same events in batches of any size, over which the meters are kept.
#[tokio::test]
async fn what_is_billed_is_what_exact_fractions_give() {
    let database = Database::new().await;
    let app = open(&database).await;
    let admin = database.admin().await;
    let seed = u64::from(std::process::id()) + 1_000_000;
    println!("seed {seed}");
    for (n, case) in cases(seed, BILLED, EVENTS).iter().enumerate() {
        let id = product(&app, &format!("product-{n}"), &case.prices).await;
        let customer = super::subscription::customer(&app, &database, &format!("c{n}@example.com")).await;
        let subscribe = format!(
            r#"topup.subscription_create('{customer}', '[{{"id": "{id}"}}]', starts_at => '2025-01-01T00:00:00Z')"#
        );
        assert_eq!(call(&app, &subscribe).await["code"], 1000);
        let mut start = 0_i64;
        let mut size = 1_i64;
        while start < EVENTS as i64 {
            let end = start + size;
            let reply: String =
                app.query_one(BILL, &[&customer, &case.events, &start, &end]).await.unwrap().get(0);
            assert!(reply.contains("1000"), "{reply}\n{}", case.prices);
            (start, size) = (end, size * 3 % 17 + 1);
        }
        let found: String = admin.query_one(BILLED_FEES, &[&customer]).await.unwrap().get(0);
        compare(case, &found, "");
    }
    database.check().await;
}
