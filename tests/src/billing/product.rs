//! Products: what is refused and where, versions that stay as they were published, and simulated usage.

use crate::billing::subscription::{Plan, unit_price};
use crate::support::{Shop, call};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn over_http_a_product_lives_through_its_versions() {
    let shop = Shop::open().await;
    let http = shop.client.at_root();
    let price: Value = serde_json::from_str(&unit_price("chat", "1.250")).unwrap();
    let request = json!({"name": "Chat", "code": "chat", "prices": [price]});
    let made = http.post("/products", request.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("prod_"));
    assert_eq!(
        (&made.json["version"], &made.json["status"], &made.json["is_default"]),
        (&json!(1), &json!("draft"), &json!(false))
    );
    let again = http.post("/products", request).await;
    assert_eq!((again.status, &again.json["errors"]["code"].is_array()), (409, &true), "{}", again.text);

    let patch = async |version: &str, body: Value| {
        let path = format!("/products/{id}/{version}");
        let request = http.request(Method::PATCH, &path).header("content-type", "application/json");
        http.send(request.body(body.to_string())).await.status
    };
    assert_eq!(http.get(&format!("/products/{id}")).await.json["default_version"], Value::Null);
    assert_eq!(patch("1", json!({"make_default": true})).await, 409);
    assert_eq!(patch("1", json!({"publish": true})).await, 204);
    assert_eq!(patch("1", json!({"publish": true})).await, 204);
    assert_eq!(patch("2", json!({"publish": true})).await, 404);
    let shown = http.get(&format!("/products/{id}")).await;
    let kept = shown.json["default_version"]["prices"][0].clone();
    assert!(shown.text.contains(r#""unit_price":1.25}"#), "{}", shown.text);
    assert!(kept["id"].as_str().unwrap().starts_with("price_"));

    let second =
        http.post(&format!("/products/{id}"), json!({"prices": [kept, price], "publish": true})).await;
    assert_eq!(
        (second.status, &second.json["version"], &second.json["is_default"]),
        (201, &json!(2), &json!(false))
    );
    let version = http.get(&format!("/products/{id}/2")).await.json;
    assert_eq!(version["prices"][0]["id"], kept["id"]);
    assert_ne!(version["prices"][1]["id"], kept["id"]);
    let archive = async |version: &str| http.delete(&format!("/products/{id}/{version}")).await.status;
    assert_eq!(archive("1").await, 409);
    assert_eq!(patch("2", json!({"make_default": true})).await, 204);
    assert_eq!((archive("1").await, archive("1").await), (204, 204));
    assert_eq!(patch("1", json!({"publish": true})).await, 409);
    let shown = http.get(&format!("/products/{id}")).await.json;
    let states: Vec<&str> =
        shown["versions"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["published", "archived"]);
    let list = http.get("/products?code=chat").await.json;
    assert_eq!(
        list,
        json!({"items": [{"id": id, "code": "chat", "name": "Chat"}], "total_count": 1, "limit": 20, "offset": 0})
    );
    assert_eq!(http.delete(&format!("/products/{id}")).await.status, 204);
    assert_eq!(http.get(&format!("/products/{id}")).await.status, 404);
    assert_eq!(http.get("/products").await.json["total_count"], 0);
}

#[tokio::test]
async fn a_published_version_cannot_be_changed_even_by_force() {
    let plan = Plan::open().await;
    plan.product("chat", &format!("[{}]", unit_price("chat", "1")), "[]").await;
    let change = "update topup.product_version set prices = '[]'";
    let error = plan.admin.batch_execute(change).await.unwrap_err();
    assert!(error.to_string().contains("db error") || error.as_db_error().is_some());
    let reopen = "update topup.product_version set status = 'draft'";
    assert!(plan.admin.batch_execute(reopen).await.is_err());
}

/// What is changed in a good price, by its JSON pointer, and the path that must be named.
fn faults() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("/name", json!(""), "name"),
        ("/billing_model/type", json!("weekly"), "billing_model.type"),
        ("/billing_model/type", json!("recurring"), "billing_model.recurring"),
        ("/pricing_model", json!("flat"), "pricing[0].values"),
        ("/pricing_model", json!("package"), "pricing[0].values"),
        ("/tiering", Value::Null, "tiering.basis"),
        ("/tiering/basis", json!("custom"), "tiering.basis"),
        ("/tiering/period", json!("custom"), "tiering.period"),
        ("/tiering/basis", json!("package"), "pricing[0].values[0].package_size"),
        ("/usage_calculation", Value::Null, "usage_calculation"),
        ("/usage_calculation/usage_type", json!("custom"), "usage_calculation.usage_type"),
        ("/usage_calculation/usage_type", json!("unit"), "pricing[0].values[0].unit_price"),
        ("/usage_calculation/volume_field", Value::Null, "usage_calculation.volume_field"),
        ("/usage_calculation/volume_aggregation", json!("max"), "usage_calculation.volume_aggregation"),
        ("/usage_calculation/unit_aggregation", json!("sum(x)"), "usage_calculation.unit_aggregation"),
        (
            "/usage_calculation/billable_dimensions",
            json!(["m", "m"]),
            "usage_calculation.billable_dimensions",
        ),
        ("/collection", json!({"type": "invoice"}), "collection.type"),
        ("/collection", json!({"type": "balance", "address": "a:USD"}), "collection.address"),
        ("/pricing", json!([]), "pricing"),
        ("/pricing/0/asset", json!("XYZ"), "pricing[0].asset"),
        ("/pricing/0/values", json!([]), "pricing[0].values"),
        ("/pricing/0/values/0/up_to", Value::Null, "pricing[0].values[0].up_to"),
        ("/pricing/0/values/0/up_to", json!(0), "pricing[0].values[0].up_to"),
        ("/pricing/0/values/1/up_to", json!(20), "pricing[0].values[1].up_to"),
        ("/pricing/0/values/1/volume_rate", json!(-1), "pricing[0].values[1].volume_rate"),
        ("/pricing/0/values/1/volume_rate", json!("1"), "pricing[0].values[1].volume_rate"),
        (
            "/pricing/0/values/1",
            json!({"volume_rate": 1, "min_amount": 2, "max_amount": 1}),
            "pricing[0].values[1].max_amount",
        ),
        (
            "/pricing/0/values/1",
            json!({"volume_rate": 1, "package_size": 0}),
            "pricing[0].values[1].package_size",
        ),
        (
            "/pricing/0/values",
            json!([{"dimensions": {"x": "1"}, "values": []}]),
            "pricing[0].values[0].dimensions.x",
        ),
        (
            "/pricing/0/values",
            json!([{"dimensions": {"m": "1"}, "values": []}]),
            "pricing[0].values[0].values",
        ),
        ("/pricing/0/values", json!([{"values": []}]), "pricing[0].values[0].dimensions"),
    ]
}

#[tokio::test]
async fn what_is_wrong_with_a_price_is_named_by_its_path() {
    let plan = Plan::open().await;
    let before = plan.database.contents().await;
    let tiered = json!({
        "name": "Calls", "type": "usage_based", "billing_model": {"type": "real_time"}, "pricing_model": "tiered",
        "tiering": {"basis": "volume", "period": "monthly"},
        "usage_calculation": {"event_type": "call", "usage_type": "volume", "volume_field": "s", "billable_dimensions": ["m"]},
        "pricing": [{"asset": "USD", "values": [{"up_to": 10, "volume_rate": 1}, {"volume_rate": 2}]}]});
    let at = "prices[0]";
    for (pointer, value, path) in faults() {
        let mut price = tiered.clone();
        let parent = pointer.rsplit_once('/').unwrap();
        let holder = price.pointer_mut(parent.0).unwrap();
        match parent.1.parse::<usize>() {
            Ok(index) => holder[index] = value.clone(),
            Err(_) => holder[parent.1] = value.clone(),
        }
        let query = "select topup.product_create('x', 'x', $1)";
        let refused: Value = plan.app.query_one(query, &[&json!([price])]).await.unwrap().get(0);
        let named =
            refused["data"]["field"].as_str().unwrap_or_else(|| panic!("{pointer} {value}: {refused}"));
        assert_eq!(
            (&refused["code"], named),
            (&json!(2000), format!("{at}.{path}").as_str()),
            "{pointer} {value}"
        );
    }
    let entitlement = json!([{"name": "t", "asset": "USD", "amount": 0, "purpose": "bundled", "lifecycle": {"duration": "month"}}]);
    let query = "select topup.product_create('x', 'x', '[]', $1)";
    let refused: Value = plan.app.query_one(query, &[&entitlement]).await.unwrap().get(0);
    assert_eq!(refused["data"]["field"], "entitlements[0].amount");
    assert!(plan.database.contents().await == before);
}

#[tokio::test]
async fn simulated_usage_shows_fees_and_warns_of_what_is_free() {
    let plan = Plan::open().await;
    let prices = r#"[{"name":"Video","type":"usage_based","billing_model":{"type":"real_time"},
        "usage_calculation":{"event_type":"video","usage_type":"unit_and_volume","volume_field":"minutes","billable_dimensions":["speed"]},
        "pricing":[{"asset":"USD","values":[{"dimensions":{"speed":"fast"},"values":[{"volume_rate":1,"unit_price":0.1}]},
                                            {"dimensions":{"speed":"*"},"values":[{"volume_rate":0.4}]}]}]}]"#;
    let id = plan.product("video", prices, "[]").await;
    let before = plan.database.contents().await;
    let event = |id: &str, event_type: &str, speed: &str| json!({"id": id, "event_type": event_type, "occurred_at": "2026-01-05T10:00:00Z", "data": {"speed": speed, "minutes": 2.5}});
    let events =
        json!([event("a", "video", "fast"), event("b", "video", "slow"), event("c", "audio", "fast")]);
    let query = "select topup.simulate_usage($1, 1, $2)";
    let reply: Value = plan.app.query_one(query, &[&id, &events]).await.unwrap().get(0);
    let fees = &reply["data"]["fees"];
    assert_eq!((&fees[0]["amount"], &fees[0]["dimensions"]), (&json!(2.6), &json!({"speed": "fast"})));
    assert_eq!((&fees[1]["amount"], &fees[1]["dimensions"]), (&json!(1), &json!({"speed": "*"})));
    assert_eq!(reply["data"]["warnings"], json!(["events[2] (c): nothing prices it."]));
    assert!(plan.database.contents().await == before);
    let gone = format!("topup.simulate_usage('{id}', 2, '{events}')");
    assert_eq!(call(&plan.app, &gone).await["data"]["field"], "version");
}

#[tokio::test]
async fn a_fixed_price_that_no_account_could_hold_is_no_price() {
    let plan = Plan::open().await;
    let price = r#"[{"name":"Much","type":"fixed","billing_model":{"type":"one_time","one_time":{}},
        "pricing":[{"asset":"USD","values":[{"unit_price":1000000000000000000,"quantity":2}]}]}]"#;
    let refused = call(&plan.app, &format!("topup.product_create('m', 'm', '{price}')")).await;
    assert_eq!(refused["data"]["field"], "prices[0].pricing[0].values[0].quantity", "{refused}");
}

/// So many prices of one type, each with so many tiers.
fn tiered(prices: usize, tiers: usize) -> String {
    let tier = |n: usize| match n + 1 == tiers {
        true => json!({"unit_price": 0.001}),
        false => json!({"up_to": n + 1, "unit_price": 0.01}),
    };
    let values: Vec<Value> = (0..tiers).map(tier).collect();
    let price = |n: usize| {
        json!({"name": format!("P{n}"), "type": "usage_based", "billing_model": {"type": "real_time"},
            "pricing_model": "tiered", "tiering": {"basis": "unit", "period": "monthly"},
            "usage_calculation": {"event_type": "call", "usage_type": "unit"},
            "pricing": [{"asset": "USD", "values": values.clone()}]})
    };
    Value::Array((0..prices).map(price).collect()).to_string()
}

fn calls(count: usize) -> Value {
    let event = |n: usize| json!({"id": format!("e-{n}"), "event_type": "call", "occurred_at": "2026-01-05T10:00:00Z"});
    Value::Array((0..count).map(event).collect())
}

#[tokio::test]
async fn sizes_that_are_each_allowed_are_bounded_together() {
    let plan = Plan::open().await;
    let too_many = tiered(100, 101);
    let refused = call(&plan.app, &format!("topup.product_create('m', 'm', '{too_many}')")).await;
    assert_eq!(refused["data"]["field"], "prices", "{refused}");
    assert!(refused["data"]["message"].as_str().unwrap().contains("10000"), "{refused}");
    let id = plan.product("many", &tiered(100, 100), "[]").await;
    let query = "select topup.simulate_usage($1, 1, $2)";
    let refused: Value = plan.app.query_one(query, &[&id, &calls(1000)]).await.unwrap().get(0);
    assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2000), &json!("events")), "{refused}");
    assert!(refused["data"]["message"].as_str().unwrap().contains("at most 20000 fees"), "{refused}");
    let reply: Value = plan.app.query_one(query, &[&id, &calls(200)]).await.unwrap().get(0);
    let fees = reply["data"]["fees"].as_array().unwrap();
    assert_eq!(fees.len(), 20_000);
    let of_first: Vec<&Value> = fees.iter().step_by(100).map(|fee| &fee["amount"]).collect();
    let dear = of_first.iter().filter(|amount| ***amount == json!(0.01)).count();
    assert_eq!(
        (dear, of_first.len()),
        (99, 200),
        "the first 99 at the price of their tiers, the rest at the last"
    );
}

#[tokio::test]
async fn a_long_calculation_ends_when_its_time_is_over() {
    let plan = Plan::open().await;
    let id = plan.product("many", &tiered(100, 100), "[]").await;
    let query = "select topup.simulate_usage($1, 1, $2)";
    let events = calls(200);
    let run = async || {
        let start = std::time::Instant::now();
        (plan.app.query_one(query, &[&id, &events]).await, start.elapsed())
    };
    let (whole, took) = run().await;
    assert_eq!(whole.unwrap().get::<_, Value>(0)["code"], 1000);
    plan.app.batch_execute("set statement_timeout = '1ms'").await.unwrap();
    let (cut, took_until_cut) = run().await;
    assert_eq!(cut.unwrap_err().code().unwrap().code(), "57014");
    assert!(took_until_cut < took / 2, "{took_until_cut:?} of {took:?}");
}
