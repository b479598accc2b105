//! Wallets over HTTP: accounts and transactions to the digit, and adjustments of any asset.

use crate::support::{Till, call};
use serde_json::{Value, json};

async fn make_asset(till: &Till, code: &str, precision: u32) {
    till.root
        .post("/assets", json!({"code": code, "name": "x", "precision": precision}))
        .await
        .expect_status(201);
}

#[tokio::test]
async fn a_wallet_shows_its_accounts_to_the_digit() {
    let till = Till::open().await;
    assert_eq!(till.get("").await.expect_status(200).json, json!({"accounts": []}));
    make_asset(&till, "FINE", 18).await;
    make_asset(&till, "TOK", 0).await;
    till.gift("a", "USD", "14.566678").await.expect_status(201);
    till.gift("b", "TOK", "993450234").await.expect_status(201);
    till.gift("c", "FINE", "123456789012345678.123456789012345678").await.expect_status(201);
    till.gift("d", "FINE", "0.000000000000000001").await.expect_status(201);
    let wallet = till.get("").await.expect_status(200).text;
    let wanted = r#"{"accounts":[{"id":"default:USD","name":"default","asset":"USD","available":14.566678},{"id":"default:TOK","name":"default","asset":"TOK","available":993450234},{"id":"default:FINE","name":"default","asset":"FINE","available":123456789012345678.123456789012345679}]}"#;
    assert_eq!(wallet, wanted);
    let account = till.get("/default%3AFINE").await.expect_status(200).text;
    let wanted = r#"{"id":"default:FINE","name":"default","asset":"FINE","available":123456789012345678.123456789012345679,"pending_in":0,"pending_out":0}"#;
    assert_eq!(account, wanted);
    // A colon may stand in a path as it is.
    assert_eq!(till.get("/default:FINE").await.text, wanted);
    let app = till.shop.database.app(&till.shop.key).await;
    let query =
        format!("select topup.wallet_account('{}', 'default:FINE') #>> '{{data,available}}'", till.customer);
    let available: String = app.query_one(&query, &[]).await.unwrap().get(0);
    assert_eq!(available, "123456789012345678.123456789012345679");
    let wallet = call(&app, &format!("topup.wallet('{}')", till.customer)).await;
    assert_eq!(wallet["data"]["accounts"].as_array().unwrap().len(), 3);
    till.shop.database.check().await;
}

#[tokio::test]
async fn what_is_not_in_the_wallet_is_404() {
    let till = Till::open().await;
    till.gift("a", "USD", "1").await.expect_status(201);
    for account in ["default%3AEUR", "other%3AUSD", "default", "%3AUSD", "default%3A", "transactions"] {
        till.get(&format!("/{account}")).await.expect_problem(404, 2000, Some("account_id"));
    }
    till.get("/transactions/b").await.expect_problem(404, 2000, Some("transaction_id"));
    for path in
        ["", "/default%3AUSD", "/transactions/a", "/default%3AUSD/statement", "/default%3AUSD/statement.csv"]
    {
        let path = format!("/customers/cust_00000000000000000000000000/wallet{path}");
        till.root.get(&path).await.expect_problem(404, 2000, Some("customer_id"));
    }
}

#[tokio::test]
async fn an_account_name_may_be_any_text_but_a_colon() {
    let till = Till::open().await;
    for (n, name) in ["a b/c", "käse", "x%y", "🦀"].into_iter().enumerate() {
        let body = json!({"transaction_id": format!("n{n}"), "asset": "USD", "amount": 1, "reason": "gift", "account_name": name});
        till.post("/adjustments", body).await.expect_status(201);
        let id = format!("{name}:USD");
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(till.get(&format!("/{encoded}")).await.expect_status(200).json["id"], json!(id));
    }
    for name in ["", "a:b", &"x".repeat(101)] {
        let body = json!({"transaction_id": "z", "asset": "USD", "amount": 1, "reason": "gift", "account_name": name});
        till.post("/adjustments", body).await.expect_problem(422, 2000, Some("account_name"));
    }
}

#[tokio::test]
async fn an_adjustment_is_one_over_http_and_sql() {
    let till = Till::open().await;
    let body = json!({"transaction_id": "g-1", "account_name": "main", "asset": "USD", "amount": 25.5, "reason": "gift",
                      "description": "Welcome", "metadata": {"order": "7"}, "later": "ignored"});
    let first = till.post("/adjustments", body.clone()).await.expect_status(201);
    assert_eq!((&first.json["id"], &first.json["balance"]), (&json!("g-1"), &json!(25.5)));
    assert_eq!(till.post("/adjustments", body.clone()).await.expect_status(201).text, first.text);
    let app = till.shop.database.app(&till.shop.key).await;
    let adjust = format!(
        "topup.adjust('g-1', 'USD', 25.50, 'gift', '{}', 'main', 'Welcome', '{{\"order\": \"7\"}}')",
        till.customer
    );
    assert_eq!(call(&app, &adjust).await["data"], first.json);
    let mut other = body;
    other["amount"] = json!(25.6);
    till.post("/adjustments", other).await.expect_problem(409, 2006, None);
    let got = till.get("/transactions/g-1").await.expect_status(200).json;
    let wanted = json!({"id": "g-1", "type": "adjustment", "account_id": "main:USD", "asset": "USD", "amount": 25.5,
                        "description": "Welcome", "metadata": {"order": "7"}, "created_at": first.json["created_at"],
                        "executed_at": first.json["created_at"]});
    assert_eq!(got, wanted);
    till.shop.database.check().await;
}

#[tokio::test]
async fn an_adjustment_takes_what_is_there_and_no_more() {
    let till = Till::open().await;
    make_asset(&till, "TOK", 3).await;
    till.gift("a", "TOK", "10").await.expect_status(201);
    let before = till.shop.database.contents().await;
    till.gift("b", "TOK", "-10.001").await.expect_problem(422, 2002, Some("amount"));
    till.gift("b", "EUR", "-1").await.expect_problem(422, 2002, Some("amount"));
    till.gift("b", "TOK", "0.0001").await.expect_problem(422, 2005, Some("amount"));
    till.gift("b", "TOK", "0").await.expect_problem(422, 2005, Some("amount"));
    till.gift("b", "NOPE", "1").await.expect_problem(422, 2000, Some("asset"));
    assert!(till.shop.database.contents().await == before);
    till.gift("b", "TOK", "-9.999").await.expect_status(201);
    assert_eq!(till.available("TOK").await, "0.001");
    assert_eq!(till.get("/transactions/b").await.json["amount"], -9.999);
    till.shop.database.check().await;
}

#[tokio::test]
async fn only_added_credit_of_a_customer_begins_later_or_expires() {
    let till = Till::open().await;
    till.gift("a", "USD", "10").await.expect_status(201);
    let before = till.shop.database.contents().await;
    let soon = "2099-01-01T00:00:00Z";
    for (field, change) in [
        ("effective_at", json!({"amount": -1, "effective_at": soon})),
        ("expires_at", json!({"amount": -1, "expires_at": soon})),
        ("expires_at", json!({"amount": 1, "expires_at": "2020-01-01T00:00:00Z"})),
        ("expires_at", json!({"amount": 1, "effective_at": soon, "expires_at": soon})),
        ("effective_at", json!({"amount": 1, "effective_at": "9999-06-01T00:00:00Z"})),
        ("effective_at", json!({"amount": 1, "effective_at": "tomorrow"})),
    ] {
        let mut body = json!({"transaction_id": "b", "asset": "USD", "reason": "gift"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        till.post("/adjustments", body).await.expect_problem(422, 2000, Some(field));
    }
    let app = till.shop.database.app(&till.shop.key).await;
    let own = call(&app, "topup.adjust('o', 'USD', 1, 'gift', expires_at => '2099-01-01')").await;
    assert_eq!((&own["code"], &own["data"]["field"]), (&json!(2000), &json!("expires_at")));
    assert_eq!(call(&app, "topup.adjust('o', 'EUR', 1, 'gift')").await["data"]["field"], "asset");
    assert!(till.shop.database.contents().await == before);
    // A beginning in the past is one at once.
    let body = json!({"transaction_id": "p", "asset": "USD", "amount": -1, "reason": "other", "effective_at": "2020-01-01T00:00:00Z"});
    till.post("/adjustments", body).await.expect_status(201);
}

/// What the journal keeps of an adjustment's times.
async fn kept(till: &Till, id: &str) -> (Value, Value) {
    let query = "select detail from topup.transactions where reference = $1";
    let detail: Value = till.shop.database.admin().await.query_one(query, &[&id]).await.unwrap().get(0);
    (detail["effective_at"].clone(), detail["expires_at"].clone())
}

#[tokio::test]
async fn paid_credit_expires_after_a_year_and_gifts_do_not() {
    let till = Till::open().await;
    let adjust = async |id: &str, reason: &str, effective_at: Value| {
        let body = json!({"transaction_id": id, "asset": "USD", "amount": 1, "reason": reason, "effective_at": effective_at});
        till.post("/adjustments", body).await.expect_status(201)
    };
    adjust("gift", "gift", Value::Null).await;
    adjust("other", "other", Value::Null).await;
    let paid = adjust("paid", "external_topup", Value::Null).await;
    adjust("refund", "external_refund", Value::Null).await;
    adjust("later", "gift", json!("2090-02-28T12:00:00+01:00")).await;
    for id in ["gift", "other"] {
        assert_eq!(kept(&till, id).await, (Value::Null, Value::Null), "{id}");
    }
    let next_year = |created_at: &Value| {
        let at: jiff::Timestamp = created_at.as_str().unwrap().parse().unwrap();
        at.strftime("%Y").to_string().parse::<i32>().unwrap() + 1
    };
    for id in ["paid", "refund"] {
        let (effective_at, expires_at) = kept(&till, id).await;
        assert_eq!(effective_at, Value::Null);
        assert!(
            expires_at.as_str().unwrap().starts_with(&next_year(&paid.json["created_at"]).to_string()),
            "{id}"
        );
    }
    assert_eq!(kept(&till, "later").await, (json!("2090-02-28T11:00:00Z"), json!("2091-02-28T11:00:00Z")));
    assert_eq!(till.get("/transactions/later").await.json["executed_at"], "2090-02-28T11:00:00.000Z");
    till.shop.database.check().await;
}
