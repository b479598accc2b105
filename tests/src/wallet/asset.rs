//! Assets: made once, priced over time, quoted to the digit.

use crate::support::{Till, call, digits};
use serde_json::{Value, json};

async fn make(till: &Till, code: &str, precision: u32) {
    let asset = json!({"code": code, "name": "Tokens", "precision": precision});
    till.root.post("/assets", asset).await.expect_status(201);
}

/// A quote's destination_amount as the digits of the reply.
async fn buys(till: &Till, code: &str, body: &str) -> String {
    let reply =
        till.root.post_text(&format!("/assets/{code}/quote"), body.to_owned()).await.expect_status(200);
    digits(&reply.text, "destination_amount")
}

#[tokio::test]
async fn an_asset_is_made_once_listed_and_looked_up() {
    let till = Till::open().await;
    let asset = json!({"code": "TOK", "name": "Tokens", "label": "tokens", "symbol": "T", "later": "ignored",
                       "rates": [{"source": "USD", "inverse_rate": 3}, {"source": "EUR", "rate": 0.25}]});
    let made = till.root.post("/assets", asset.clone()).await.expect_status(201);
    assert_eq!(made.json["code"], "TOK");
    assert!(made.json["created_at"].as_str().unwrap().ends_with('Z'));
    till.root.post("/assets", asset).await.expect_problem(409, 2006, Some("code"));
    make(&till, "GPU_H", 18).await;

    let list = till.root.get("/assets?limit=1&offset=1").await.expect_status(200);
    let wanted =
        json!({"items": [{"code": "TOK", "name": "Tokens"}], "total_count": 2, "limit": 1, "offset": 1});
    assert_eq!(list.json, wanted);
    let got = till.root.get("/assets/TOK").await.expect_status(200);
    let fields =
        ["code", "name", "precision", "label", "symbol", "created_at"].map(|field| got.json[field].clone());
    let created_at = made.json["created_at"].clone();
    assert_eq!(fields, [json!("TOK"), json!("Tokens"), json!(2), json!("tokens"), json!("T"), created_at]);
    let rates = &got.json["rates"];
    assert_eq!((&rates[0]["source"], &rates[0]["schedule"][0]["inverse_rate"]), (&json!("EUR"), &json!(4)));
    assert_eq!((&rates[1]["source"], &rates[1]["schedule"][0]["inverse_rate"]), (&json!("USD"), &json!(3)));
    assert!(got.text.contains(r#""rate":0.333333333333333333,"inverse_rate":3"#), "{}", got.text);
    till.root.get("/assets/NOPE").await.expect_problem(404, 2000, Some("code"));
    assert_eq!(till.root.get("/assets/EUR").await.expect_status(200).json["precision"], 9);
    till.shop.database.check().await;
}

#[tokio::test]
async fn what_is_no_asset_is_refused_by_field() {
    let till = Till::open().await;
    let before = till.shop.database.contents().await;
    for (field, asset) in [
        ("code", json!({"code": "tok", "name": "x"})),
        ("code", json!({"code": "T", "name": "x"})),
        ("code", json!({"code": "1TOK", "name": "x"})),
        ("code", json!({"code": "T".repeat(31), "name": "x"})),
        ("code", json!({"code": "A:B", "name": "x"})),
        ("code", json!({"name": "x"})),
        ("name", json!({"code": "TOK", "name": " "})),
        ("precision", json!({"code": "TOK", "name": "x", "precision": 19})),
        ("precision", json!({"code": "TOK", "name": "x", "precision": -1})),
        ("precision", json!({"code": "TOK", "name": "x", "precision": 1.5})),
        ("label", json!({"code": "TOK", "name": "x", "label": "y".repeat(51)})),
        ("rates[0].rate", json!({"code": "TOK", "name": "x", "rates": [{"source": "USD", "rate": 0}]})),
        ("rates[0].rate", json!({"code": "TOK", "name": "x", "rates": [{"source": "USD"}]})),
        (
            "rates[0].rate",
            json!({"code": "TOK", "name": "x", "rates": [{"source": "USD", "rate": 1, "inverse_rate": 1}]}),
        ),
        ("rates[0].source", json!({"code": "TOK", "name": "x", "rates": [{"source": "TOK", "rate": 1}]})),
        ("rates[0].source", json!({"code": "TOK", "name": "x", "rates": [{"source": "XXY", "rate": 1}]})),
    ] {
        till.root.post("/assets", asset).await.expect_problem(422, 2000, Some(field));
    }
    let fiat = json!({"code": "USD", "name": "Dollars"});
    till.root.post("/assets", fiat).await.expect_problem(409, 2006, Some("code"));
    assert!(till.shop.database.contents().await == before);
}

#[tokio::test]
async fn quotes_are_exact_and_rounded_once_half_even() {
    let till = Till::open().await;
    make(&till, "TOK", 0).await;
    make(&till, "FINE", 18).await;
    let add = async |code: &str, body: &str| {
        till.root.post_text(&format!("/assets/{code}/rates"), body.to_owned()).await.expect_status(204)
    };
    assert_eq!(add("TOK", r#"{"source":"USD","rate":0.000001}"#).await.text, "");
    assert_eq!(buys(&till, "TOK", r#"{"source":"USD","amount":50}"#).await, "50000000");
    assert_eq!(buys(&till, "TOK", r#"{"source":"USD","amount":0.0000005}"#).await, "0");
    assert_eq!(buys(&till, "TOK", r#"{"source":"USD","amount":0.0000015}"#).await, "2");
    assert_eq!(buys(&till, "TOK", r#"{"source":"USD","amount":0.0000025}"#).await, "2");
    assert_eq!(buys(&till, "TOK", r#"{"source":"USD","amount":0}"#).await, "0");
    add("FINE", r#"{"source":"USD","rate":3}"#).await;
    assert_eq!(buys(&till, "FINE", r#"{"source":"USD","amount":1}"#).await, "0.333333333333333333");
    assert_eq!(buys(&till, "FINE", r#"{"source":"USD","amount":2}"#).await, "0.666666666666666667");
    let quote = till.root.post("/assets/FINE/quote", json!({"source": "USD", "amount": 9.5})).await;
    assert_eq!(quote.json["source"], "USD");
    assert_eq!(quote.json["destination"], "FINE");
    assert!(
        quote.text.contains(r#""source_amount":9.5,"#) && quote.text.contains(r#""rate":3,"#),
        "{}",
        quote.text
    );
    assert_eq!(digits(&quote.text, "inverse_rate"), "0.333333333333333333");
}

#[tokio::test]
async fn the_rate_that_begins_last_counts() {
    let till = Till::open().await;
    make(&till, "TOK", 2).await;
    for (rate, from, to) in [
        (1, "2020-01-01T00:00:00Z", None),
        (4, "2021-01-01T00:00:00Z", Some("2022-01-01T00:00:00Z")),
        (2, "2021-06-01T02:00:00+02:00", Some("2021-07-01T00:00:00Z")),
        (5, "2023-01-01T00:00:00Z", None),
    ] {
        let body = json!({"source": "USD", "rate": rate, "valid_from": from, "valid_to": to});
        till.root.post("/assets/TOK/rates", body).await.expect_status(204);
    }
    let at = async |time: &str| {
        buys(&till, "TOK", &json!({"source": "USD", "amount": 20, "exchange_at": time}).to_string()).await
    };
    for (time, bought) in [
        ("2020-01-01T00:00:00Z", "20"),
        ("2021-05-31T23:59:59.999Z", "5"),
        ("2021-06-01T00:00:00Z", "10"),
        ("2021-07-01T00:00:00Z", "5"),
        ("2022-01-01T00:00:00Z", "20"),
        ("2023-01-01T00:00:00Z", "4"),
    ] {
        assert_eq!(at(time).await, bought, "{time}");
    }
    assert_eq!(buys(&till, "TOK", r#"{"source":"USD","amount":20}"#).await, "4");
    let early = json!({"source": "USD", "amount": 1, "exchange_at": "2019-12-31T23:59:59Z"});
    till.root.post("/assets/TOK/quote", early).await.expect_problem(422, 2000, Some("source"));
    let got = till.root.get("/assets/TOK").await.json;
    let ends: Vec<&Value> =
        got["rates"][0]["schedule"].as_array().unwrap().iter().map(|rate| &rate["valid_to"]).collect();
    let wanted = [
        json!("2023-01-01T00:00:00.000Z"),
        json!("2022-01-01T00:00:00.000Z"),
        json!("2021-07-01T00:00:00.000Z"),
        Value::Null,
    ];
    assert_eq!(ends, wanted.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_new_rate_closes_the_one_before_it() {
    let till = Till::open().await;
    make(&till, "TOK", 2).await;
    for rate in [1, 2] {
        let body = json!({"source": "USD", "rate": rate});
        till.root.post("/assets/TOK/rates", body).await.expect_status(204);
    }
    assert_eq!(buys(&till, "TOK", r#"{"source":"USD","amount":1}"#).await, "0.5");
    let schedule = till.root.get("/assets/TOK").await.json["rates"][0]["schedule"].clone();
    assert_eq!(schedule[0]["valid_to"], schedule[1]["valid_from"]);
    assert_eq!(schedule[1]["valid_to"], Value::Null);
}

#[tokio::test]
async fn bad_rates_and_quotes_are_refused_by_field() {
    let till = Till::open().await;
    make(&till, "TOK", 2).await;
    make(&till, "BIG", 0).await;
    till.root.post("/assets/BIG/rates", json!({"source": "USD", "rate": 1e-18})).await.expect_status(204);
    let before = till.shop.database.contents().await;
    for (field, code, body) in [
        ("rate", 2000, json!({"source": "USD", "rate": -1})),
        ("rate", 2000, json!({"source": "USD", "rate": 1e30})),
        ("rate", 2000, json!({"source": "USD", "rate": "1"})),
        ("rate", 2000, json!({"source": "USD"})),
        ("source", 2000, json!({"source": "TOK", "rate": 1})),
        ("source", 2000, json!({"source": "usd", "rate": 1})),
        ("valid_from", 2000, json!({"source": "USD", "rate": 1, "valid_from": "yesterday"})),
        ("valid_from", 2000, json!({"source": "USD", "rate": 1, "valid_from": "-000001-01-01T00:00:00Z"})),
        ("valid_to", 2000, json!({"source": "USD", "rate": 1, "valid_to": "2020-01-01T00:00:00Z"})),
    ] {
        till.root.post("/assets/TOK/rates", body).await.expect_problem(422, code, Some(field));
    }
    for (asset, field, code, body) in [
        ("TOK", "source", 2000, json!({"source": "USD", "amount": 1})),
        ("TOK", "amount", 2005, json!({"source": "USD", "amount": -1})),
        ("BIG", "amount", 2005, json!({"source": "USD", "amount": 2})),
        ("BIG", "amount", 2000, json!({"source": "USD", "amount": 1e-19})),
        ("BIG", "source", 2000, json!({"amount": 1})),
    ] {
        let path = format!("/assets/{asset}/quote");
        till.root.post(&path, body).await.expect_problem(422, code, Some(field));
    }
    till.root.post("/assets/NOPE/rates", json!({"source": "USD", "rate": 1})).await.expect_problem(
        404,
        2000,
        Some("code"),
    );
    assert!(till.shop.database.contents().await == before);
}

#[tokio::test]
async fn the_sql_functions_answer_the_same() {
    let till = Till::open().await;
    let app = till.shop.database.app(&till.shop.key).await;
    let made = call(&app, "topup.asset_create('TOK', 'Tokens', 4)").await;
    assert_eq!((&made["code"], &made["data"]["code"]), (&json!(1000), &json!("TOK")));
    let add = "topup.asset_add_rate('TOK', 'USD', 0.1, valid_from => '2024-01-01 00:00+00')";
    assert_eq!(call(&app, add).await["code"], 1000);
    let query = "select (topup.asset_quote('TOK', 'USD', 0.12345) -> 'data' ->> 'destination_amount')";
    assert_eq!(app.query_one(query, &[]).await.unwrap().get::<_, String>(0), "1.2345");
    assert_eq!(call(&app, "topup.asset_get('TOK')").await["data"], till.root.get("/assets/TOK").await.json);
    assert_eq!(call(&app, "topup.asset_list()").await["data"], till.root.get("/assets").await.json);
    assert_eq!(call(&app, "topup.asset_list(page_size => 101)").await["data"]["field"], "limit");
    assert_eq!(call(&app, "topup.asset_add_rate('TOK', 'USD', 'NaN')").await["data"]["field"], "rate");
    let infinite = "topup.asset_add_rate('TOK', 'USD', 1, 'infinity')";
    assert_eq!(call(&app, infinite).await["data"]["field"], "valid_from");
}

#[tokio::test]
async fn times_that_postgres_cannot_tell_apart_are_one_time() {
    let till = Till::open().await;
    till.root.post("/assets", json!({"code": "TOK", "name": "Tokens"})).await.expect_status(201);
    let rate = json!({"source": "USD", "rate": 1, "valid_from": "2026-01-01T00:00:00.0000001Z",
                      "valid_to": "2026-01-01T00:00:00.0000002Z"});
    till.root.post("/assets/TOK/rates", rate).await.expect_problem(422, 2000, Some("valid_to"));
}
