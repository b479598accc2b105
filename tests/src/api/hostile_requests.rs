//! Requests of every operation in which one value is far too large, too long or too deep: each is answered soon, and none ends
//! the server. Made from the catalog, as hostile_arguments is from the functions.

use crate::api::bad_fields::good_value;
use crate::support::{Cluster, Database, wire};
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// Far above what any call takes on a busy machine, and far below what an unbounded one would.
const ANSWER_LIMIT: &str = "120s";
const MANY: usize = 20_000;

/// What takes the place of one value. Numbers that no `i64` holds are written as they are.
fn hostile(value: &Value) -> Vec<String> {
    let many = |item: &str| format!("[{}]", vec![item; MANY].join(","));
    let first = match value {
        Value::Array(items) => items.first().unwrap_or(&Value::Null),
        other => other,
    };
    vec![
        "2000000000".to_owned(),
        i64::MAX.to_string(),
        "-9223372036854775808".to_owned(),
        "1e300".to_owned(),
        "1e-300".to_owned(),
        format!("\"{}\"", "x".repeat(500_000)),
        many(&first.to_string()),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    ]
}

/// Every place in a request, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| places(item, &format!("{at}/{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| places(field, &format!("{at}/{name}"), found));
        }
        _ => {}
    }
}

/// The request with one value replaced each time.
fn requests(good: &Value) -> Vec<String> {
    const HOLE: &str = "a hole in the request";
    let mut all = Vec::new();
    places(good, "", &mut all);
    let mut requests = Vec::new();
    for place in all.iter().filter(|place| !place.is_empty()) {
        let mut request = good.clone();
        let value = std::mem::replace(request.pointer_mut(place).unwrap(), json!(HOLE));
        let text = request.to_string();
        let hole = format!("\"{HOLE}\"");
        requests.extend(hostile(&value).iter().map(|hostile| text.replace(&hole, hostile)));
    }
    requests
}

/// The operations, each with a request that has the right shape and every field that it can have.
async fn operations(admin: &Client, customer: &str) -> Vec<(String, Value)> {
    let query = "select name, request_schema, surface from topup.operations()";
    let of = |row: &tokio_postgres::Row| {
        let (name, schema, surface): (String, Value, String) = (row.get(0), row.get(1), row.get(2));
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let fields = schema["properties"].as_object().into_iter().flatten();
        let good = fields.map(|(field, _)| {
            let value = match field.as_str() {
                "customer_id" => json!(customer),
                field if required.contains(&json!(field)) => good_value(&surface, field),
                // What is optional is left at nothing until it is its turn.
                _ => Value::Null,
            };
            (field.clone(), value)
        });
        (name, Value::Object(good.collect()))
    };
    admin.query(query, &[]).await.unwrap().iter().map(of).collect()
}

#[tokio::test]
async fn no_value_in_a_request_ends_the_server() {
    let cluster = Cluster::private().await;
    let database = Database::on(&cluster).await;
    let (witness, gateway) = (database.admin().await, database.gateway().await);
    let key = database.tenant("Acme").await.key("staging", "scopes => topup.known_scopes()").await.1;
    let send = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann@example.com"});
    assert_eq!(wire(&witness, &key, "send", &send).await.1["code"], 1001);
    let customer = "select customer_id from topup.customers";
    let customer: String = witness.query_one(customer, &[]).await.unwrap().get(0);
    gateway.batch_execute(&format!("set statement_timeout = '{ANSWER_LIMIT}'")).await.unwrap();
    let mut count = 0;
    for (operation, good) in operations(&witness, &customer).await {
        for request in requests(&good) {
            count += 1;
            let call = "select status from topup.call($1, $2, $3)";
            let Err(error) = gateway.query(call, &[&key, &operation, &request]).await else { continue };
            let shown: String = request.chars().take(300).collect();
            let fault = error.as_db_error().unwrap_or_else(|| panic!("{operation}: {shown}: {error}"));
            assert_ne!(fault.code(), &SqlState::QUERY_CANCELED, "{operation}: {shown} takes too long");
            panic!("{operation}: {shown}: a fault instead of a refusal: {fault}");
        }
    }
    assert!(count > 1000, "{count} requests");
    witness.query_one("select 1", &[]).await.expect("the server has not crashed");
    assert!(!cluster.log().contains("terminated by signal"), "the server crashed");
    database.check().await;
}
