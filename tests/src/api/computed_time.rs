//! A time that a client computes anew each time it asks makes no other request of it; and a hold is found by the client's own
//! id of it.

use crate::support::{Bank, Till, call, wire};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Operations with an id of the client's own that is good for good, and with times in their request.
async fn operations(bank: &Bank) -> BTreeSet<String> {
    let query = "select o.name from topup.operations() o
                  where o.request_schema -> 'properties' ? 'transaction_id'
                    and jsonb_path_exists(o.request_schema, '$.**.format ? (@ == \"date-time\")')
                    and o.method = 'POST'";
    bank.admin.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn in_minutes(minutes: i64) -> Value {
    json!(jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_mins(minutes)).unwrap().to_string())
}

#[tokio::test]
async fn an_own_id_with_a_time_computed_anew_is_the_same_request() {
    let bank = Bank::open().await;
    bank.adjust("20", "gift", "").await;
    let customer = &bank.customer;
    let requests = [
        (
            "hold",
            json!({"customer_id": customer, "asset": "USD", "amount": 1, "transaction_id": "x"}),
            vec!["expires_at"],
        ),
        (
            "adjust",
            json!({"customer_id": customer, "asset": "USD", "amount": 1, "reason": "gift", "transaction_id": "x"}),
            vec!["effective_at", "expires_at"],
        ),
    ];
    let known: BTreeSet<String> = requests.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(operations(&bank).await, known);
    for (operation, request, times) in requests {
        let at = |minutes: i64| {
            let mut request = request.clone();
            for (n, time) in times.iter().enumerate() {
                request[*time] = in_minutes(minutes + n as i64);
            }
            request
        };
        let first = wire(&bank.admin, &bank.key, operation, &at(10)).await;
        assert_eq!(first.1["code"], 1000, "{operation}: {first:?}");
        let before = bank.database.contents().await;
        assert_eq!(wire(&bank.admin, &bank.key, operation, &at(11)).await, first, "{operation}");
        let mut other = at(12);
        other["amount"] = json!(2);
        let refused = wire(&bank.admin, &bank.key, operation, &other).await;
        assert_eq!((refused.0, &refused.1["code"]), (409, &json!(2006)), "{operation}: {refused:?}");
        assert!(bank.database.contents().await == before, "{operation} wrote something");
    }
    // Whether a time is given is part of the request.
    let plain = json!({"customer_id": customer, "asset": "USD", "amount": 1, "reason": "gift", "transaction_id": "x"});
    assert_eq!(wire(&bank.admin, &bank.key, "adjust", &plain).await.1["code"], 2006);
    bank.database.check().await;
}

#[tokio::test]
async fn a_hold_is_found_by_its_own_id_in_sql() {
    let bank = Bank::open().await;
    bank.adjust("20", "gift", "").await;
    let hold = |id: &str| {
        format!("topup.hold('{}', 'USD', 4, now() + interval '10 minutes', '{id}')", bank.customer)
    };
    let first = call(&bank.app, &hold("call/1")).await;
    assert_eq!(call(&bank.app, &hold("call/1")).await, first);
    let found = call(&bank.app, "topup.hold_status('call/1')").await;
    assert_eq!((&found["code"], &found["data"]), (&json!(1000), &first["data"]), "{found}");
    let settled = call(&bank.app, "topup.settle('call/1', 1.5)").await;
    assert_eq!(
        (&settled["data"]["id"], &settled["data"]["status"]),
        (&first["data"]["id"], &json!("settled")),
        "{settled}"
    );
    let released = call(&bank.app, &hold("call/2")).await;
    assert_eq!(call(&bank.app, "topup.release('call/2')").await["data"]["id"], released["data"]["id"]);
    // Our own id comes first, whatever else somebody has called a hold.
    let id = released["data"]["id"].as_str().unwrap();
    assert_eq!(call(&bank.app, &hold(id)).await["code"], 1000);
    assert_eq!(call(&bank.app, &format!("topup.hold_status('{id}')")).await["data"]["status"], "released");
    assert_eq!(call(&bank.app, "topup.hold_status('call/3')").await["code"], 2000);
    let stranger = bank.database.tenant("Other").await.key("staging", "").await.1;
    let stranger = bank.database.app(&stranger).await;
    assert_eq!(call(&stranger, "topup.hold_status('call/1')").await["code"], 2000);
    bank.database.check().await;
}

#[tokio::test]
async fn a_hold_is_found_by_its_own_id_over_http() {
    let till = Till::open().await;
    till.gift("g", "USD", "10").await.expect_status(201);
    let hold = |minutes| json!({"asset": "USD", "amount": 4, "expires_at": in_minutes(minutes), "transaction_id": "call 1".replace(' ', "/")});
    let first = till.post("/holds", hold(10)).await.expect_status(201);
    let again = till.post("/holds", hold(11)).await.expect_status(201);
    assert_eq!((&again.text, again.header("idempotent-replayed")), (&first.text, Some("true")));
    let found = till.get("/holds/call%2F1").await.expect_status(200);
    assert_eq!(found.json["id"], first.json["id"]);
    let settled = till.post("/holds/call%2F1/settle", json!({"amount": 1})).await.expect_status(200);
    assert_eq!((&settled.json["id"], &settled.json["status"]), (&first.json["id"], &json!("settled")));
    assert_eq!(till.available("USD").await, "9");
    till.get("/holds/call%2F2").await.expect_problem(404, 2000, Some("hold_id"));
    till.shop.database.check().await;
}
