//! Charges: taken once, never beyond what is there, and given back whole or in parts.

use crate::support::{Reply, Till, call, digits};
use serde_json::{Value, json};
use tokio::task::JoinSet;

async fn refund(till: &Till, charge: &str, body: Value) -> Reply {
    till.post(&format!("/charges/{charge}/refund"), body).await
}

#[tokio::test]
async fn a_charge_is_taken_once_for_its_transaction_id() {
    let till = Till::open().await;
    till.gift("g", "USD", "10").await.expect_status(201);
    let charge = json!({"transaction_id": "c-1", "asset": "USD", "amount": 2.5, "subject": "chat_1", "description": "One chat",
                        "metadata": {"model": "m"}, "input_units": 5, "input_volume": 2353, "unit_price": 0.5,
                        "volume_rate": 0.00000125, "package_size": 1000000});
    let first = till.post("/charges", charge.clone()).await.expect_status(201);
    assert_eq!((&first.json["id"], &first.json["balance"]), (&json!("c-1"), &json!(7.5)));
    assert_eq!(till.post("/charges", charge.clone()).await.expect_status(201).text, first.text);
    for (field, value) in [
        ("amount", json!(2.6)),
        ("subject", json!("chat_2")),
        ("input_volume", json!(2354)),
        ("account_name", json!("b")),
    ] {
        let mut other = charge.clone();
        other[field] = value;
        till.post("/charges", other).await.expect_problem(409, 2006, None);
    }
    // Adjustments and charges share their ids.
    till.gift("c-1", "USD", "2.5").await.expect_problem(409, 2006, None);
    till.charge("g", "USD", "1").await.expect_problem(409, 2006, None);
    assert_eq!(till.available("USD").await, "7.5");
    let got = till.get("/transactions/c-1").await.expect_status(200).json;
    assert_eq!(
        (&got["type"], &got["amount"], &got["description"], &got["metadata"]),
        (&json!("fee"), &json!(-2.5), &json!("One chat"), &json!({"model": "m"}))
    );
    let query = "select detail ->> 'volume_rate' from topup.transactions where reference = 'c-1'";
    let kept: String = till.shop.database.admin().await.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(kept, "0.00000125");
    till.shop.database.check().await;
}

#[tokio::test]
async fn a_charge_never_overdraws() {
    let till = Till::open().await;
    till.gift("g", "USD", "1").await.expect_status(201);
    let before = till.shop.database.contents().await;
    till.charge("c", "USD", "1.000000001").await.expect_problem(422, 2002, Some("amount"));
    till.charge("c", "EUR", "1").await.expect_problem(422, 2002, Some("amount"));
    till.charge("c", "USD", "0").await.expect_problem(422, 2005, Some("amount"));
    till.charge("c", "USD", "-1").await.expect_problem(422, 2005, Some("amount"));
    till.charge("c", "USD", "0.0000000001").await.expect_problem(422, 2005, Some("amount"));
    till.charge("c", "TOK", "1").await.expect_problem(422, 2000, Some("asset"));
    till.charge("", "USD", "1").await.expect_problem(422, 2000, Some("transaction_id"));
    let long = json!({"transaction_id": "c", "asset": "USD", "amount": 1, "subject": "x".repeat(256)});
    till.post("/charges", long).await.expect_problem(422, 2000, Some("subject"));
    assert!(till.shop.database.contents().await == before, "a refused charge wrote something");
    till.charge("c", "USD", "1").await.expect_status(201);
    assert_eq!(till.available("USD").await, "0");
    till.shop.database.check().await;
}

#[tokio::test]
async fn a_charge_is_given_back_in_parts_and_never_more_than_it_took() {
    let till = Till::open().await;
    till.gift("g", "USD", "10").await.expect_status(201);
    till.charge("c", "USD", "6").await.expect_status(201);
    let first = refund(&till, "c", json!({"transaction_id": "r-1", "amount": 1.25})).await.expect_status(201);
    assert_eq!((&first.json["id"], &first.json["amount"]), (&json!("r-1"), &json!(1.25)));
    let again = refund(&till, "c", json!({"transaction_id": "r-1", "amount": 1.25})).await.expect_status(201);
    assert_eq!(again.text, first.text);
    refund(&till, "c", json!({"transaction_id": "r-1", "amount": 1})).await.expect_problem(409, 2006, None);
    let before = till.shop.database.contents().await;
    for amount in [json!(4.750000001), json!(0), json!(-1), json!(0.0000000001)] {
        let body = json!({"transaction_id": "r-2", "amount": amount});
        refund(&till, "c", body).await.expect_problem(422, 2005, Some("amount"));
    }
    refund(&till, "d", json!({})).await.expect_problem(404, 2000, Some("charge_id"));
    refund(&till, "g", json!({})).await.expect_problem(404, 2000, Some("charge_id"));
    assert!(till.shop.database.contents().await == before);
    let rest = refund(&till, "c", json!({})).await.expect_status(201);
    assert_eq!((&rest.json["id"], &rest.json["amount"]), (&json!("c"), &json!(4.75)));
    assert_eq!(refund(&till, "c", json!({})).await.expect_status(201).text, rest.text);
    refund(&till, "c", json!({"transaction_id": "r-3"})).await.expect_problem(409, 2006, None);
    assert_eq!(till.available("USD").await, "10");
    let got = till.get("/transactions/r-1").await.expect_status(200).json;
    assert_eq!((&got["type"], &got["amount"]), (&json!("fee"), &json!(1.25)));
    assert_eq!(till.get("/transactions/c").await.json["amount"], -6, "the charge comes before its refund");
    till.shop.database.check().await;
}

#[tokio::test]
async fn a_charge_of_another_customer_is_not_given_back() {
    let till = Till::open().await;
    till.gift("g", "USD", "10").await.expect_status(201);
    till.charge("c", "USD", "6").await.expect_status(201);
    let other =
        till.root.post("/customers", json!({"name": "Bob"})).await.json["id"].as_str().unwrap().to_owned();
    let path = format!("/customers/{other}/wallet/charges/c/refund");
    till.root.post(&path, json!({})).await.expect_problem(404, 2000, Some("charge_id"));
    let path = format!("/customers/{other}/wallet/transactions/c");
    till.root.get(&path).await.expect_problem(404, 2000, Some("transaction_id"));
}

#[tokio::test]
async fn a_charge_in_the_apps_transaction_goes_with_it() {
    let till = Till::open().await;
    till.gift("g", "USD", "10").await.expect_status(201);
    let app = till.shop.database.app(&till.shop.key).await;
    let charge = format!("topup.charge('{}', 'c', 'USD', 0.34991125, subject => 's')", till.customer);
    app.batch_execute("begin").await.unwrap();
    assert_eq!(call(&app, &charge).await["data"]["balance"], 9.65008875);
    let beyond = format!("topup.charge('{}', 'd', 'USD', 100)", till.customer);
    assert_eq!(call(&app, &beyond).await["code"], 2002, "and the transaction goes on");
    app.batch_execute("rollback").await.unwrap();
    assert_eq!(till.available("USD").await, "10");
    assert_eq!(call(&app, &charge).await["code"], 1000);
    assert_eq!(till.available("USD").await, "9.65008875");
    let refund = format!("topup.refund('{}', 'c', amount => 0.00008875)", till.customer);
    assert_eq!(call(&app, &refund).await["code"], 1000);
    assert_eq!(till.available("USD").await, "9.65017750".trim_end_matches('0'));
    for (call_text, field) in [
        (format!("topup.charge('{}', 'x', 'USD', 'NaN')", till.customer), "amount"),
        (format!("topup.charge('{}', 'x', 'USD', null)", till.customer), "amount"),
        ("topup.charge(null, 'x', 'USD', 1)".to_owned(), "customer_id"),
    ] {
        assert_eq!(call(&app, &call_text).await["data"]["field"], field, "{call_text}");
    }
    till.shop.database.check().await;
}

/// 32 clients charge at once what 20 charges would use up, and take back some of them, each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_spend_no_more_than_there_is() {
    let till = Till::open().await;
    till.gift("g", "USD", "20").await.expect_status(201);
    let mut clients = JoinSet::new();
    for n in 0..32 {
        let (root, path) = (till.root.clone(), till.path("/charges"));
        clients.spawn(async move {
            let charge = json!({"transaction_id": format!("c{n}"), "asset": "USD", "amount": 1});
            root.post(&path, charge).await.status
        });
    }
    let statuses = clients.join_all().await;
    let taken = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!((taken, statuses.iter().filter(|status| **status == 422).count()), (20, 12));
    assert_eq!(till.available("USD").await, "0");
    let won = (0..32).find(|n| statuses[*n] == 201);
    assert!(won.is_some());
    let charges = till.shop.database.admin().await;
    let query = "select reference from topup.transactions where kind = 'charge' limit 1";
    let charge: String = charges.query_one(query, &[]).await.unwrap().get(0);
    let mut refunds = JoinSet::new();
    for n in 0..8 {
        let (root, path) = (till.root.clone(), till.path(&format!("/charges/{charge}/refund")));
        refunds.spawn(async move {
            root.post(&path, json!({"transaction_id": format!("r{n}"), "amount": 0.3})).await.status
        });
    }
    let statuses = refunds.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 3, "{statuses:?}");
    let account = till.get("/default%3AUSD").await;
    assert_eq!(digits(&account.text, "available"), "0.9");
    till.shop.database.check().await;
}
