//! Usage events: batches whole or not at all, each id once for good, exact fees, and lists.

use crate::billing::subscription::{Plan, customer, unit_price};
use crate::support::{Shop, call};
use serde_json::{Value, json};

/// Two volumes, one price each; rates are those of a million.
const TOKENS: &str = r#"[
    {"name":"Input","type":"usage_based","billing_model":{"type":"real_time"},
     "usage_calculation":{"event_type":"message_completed","usage_type":"volume","volume_field":"input_tokens"},
     "pricing":[{"asset":"USD","values":[{"volume_rate":1.25,"package_size":1000000}]}]},
    {"name":"Output","type":"usage_based","billing_model":{"type":"real_time"},
     "usage_calculation":{"event_type":"message_completed","usage_type":"volume","volume_field":"output_tokens"},
     "pricing":[{"asset":"USD","values":[{"volume_rate":0.00001}]}]}]"#;

fn message(id: &str, input: Value, output: Value) -> Value {
    json!({"id": id, "event_type": "message_completed", "occurred_at": "2026-01-05T10:00:00.123Z",
           "subject": "chat_5f53d23a4958", "description": "Chat message completed",
           "data": {"model": "gpt-4-1", "input_tokens": input, "output_tokens": output}})
}

async fn chat() -> Plan {
    let plan = Plan::open().await;
    plan.product("chat", TOKENS, "[]").await;
    let made = plan.subscribe("chat", "starts_at => '2026-01-01T00:00:00Z'").await;
    assert_eq!(made["code"], 1000, "{made}");
    plan
}

#[tokio::test]
async fn the_example_of_the_source_costs_exactly_0_34991125() {
    let plan = chat().await;
    plan.credit("c", "1").await;
    let reply = plan.usage(json!([message("m-1", json!(2353), json!(34697))])).await;
    assert_eq!(reply["code"], 1000, "{reply}");
    assert_eq!(plan.balance("USD").await, "0.65008875");
    let query = "select string_agg(concat_ws(' ', f ->> 'price_name', f ->> 'input_volume', f ->> 'amount'), ', ' order by n)
                   from jsonb_array_elements(topup.usage_event_get('m-1') -> 'data' -> 'fees') with ordinality x (f, n)";
    let fees: String = plan.app.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(fees, "Input 2353 0.00294125, Output 34697 0.34697");
    plan.database.check().await;
}

#[tokio::test]
async fn a_batch_with_one_bad_event_changes_nothing_and_says_which() {
    let plan = chat().await;
    let before = plan.database.contents().await;
    let good = || message("good", json!(1), json!(1));
    let with = |field: &str, value: Value| {
        let mut event = message("bad", json!(1), json!(1));
        event[field] = value;
        event
    };
    let late = json!("2999-01-01T00:00:00Z");
    for (bad, field) in [
        (message("bad", json!("7"), json!(1)), "events[1].data.input_tokens"),
        (message("bad", json!(-1), json!(1)), "events[1].data.input_tokens"),
        (message("bad", Value::Null, json!(1)), "events[1].data.input_tokens"),
        (message("bad", json!(1), json!([1])), "events[1].data.output_tokens"),
        (message("bad", json!(1e30), json!(1)), "events[1].data.input_tokens"),
        (with("data", json!({"input_tokens": 1})), "events[1].data.output_tokens"),
        (with("data", json!({})), "events[1].data.input_tokens"),
        (with("data", Value::Null), "events[1].data.input_tokens"),
        (with("data", json!([])), "events[1].data"),
        (with("data", json!({"x": "y".repeat(5000)})), "events[1].data"),
        (with("id", json!("")), "events[1].id"),
        (with("id", json!("a b")), "events[1].id"),
        (with("event_type", json!("")), "events[1].event_type"),
        (with("subject", json!("s".repeat(501))), "events[1].subject"),
        (with("description", json!("d".repeat(501))), "events[1].description"),
        (with("occurred_at", late), "events[1].occurred_at"),
        (with("occurred_at", json!("yesterday")), "events[1].occurred_at"),
    ] {
        let refused = plan.usage(json!([good(), bad])).await;
        assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2000), &json!(field)), "{bad}");
    }
    for events in [json!([]), json!(vec![good(); 1001])] {
        assert_eq!(plan.usage(events).await["data"]["field"], "events");
    }
    assert!(plan.database.contents().await == before);
}

#[tokio::test]
async fn an_id_is_one_event_for_good() {
    let plan = chat().await;
    let first = message("m-1", json!(1000), json!(0));
    let reply = plan.usage(json!([first, first])).await;
    assert_eq!((&reply["data"]["recorded"], &reply["data"]["repeated"]), (&json!(1), &json!(1)));
    assert_eq!(plan.balance("USD").await, "-0.00125");
    let reply = plan.usage(json!([first, message("m-2", json!(1000), json!(0))])).await;
    assert_eq!((&reply["data"]["recorded"], &reply["data"]["repeated"]), (&json!(1), &json!(1)));
    assert_eq!(plan.balance("USD").await, "-0.0025");

    let before = plan.database.contents().await;
    let other = message("m-1", json!(1001), json!(0));
    let news = message("m-3", json!(5), json!(5));
    let refused = plan.usage(json!([news, other])).await;
    assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2006), &json!("events[1].id")));
    let refused = plan.usage(json!([news, message("m-3", json!(6), json!(5))])).await;
    assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2006), &json!("events[1].id")));
    // The same event of somebody else is another event.
    let bob = customer(&plan.app, &plan.database, "bob@example.com").await;
    let before_bob = plan.database.contents().await;
    assert!(before != before_bob);
    let query = "select topup.record_usage($1, $2)";
    let refused: Value = plan.app.query_one(query, &[&bob, &json!([first])]).await.unwrap().get(0);
    assert_eq!(refused["code"], 2006);
    assert!(plan.database.contents().await == before_bob);
    plan.database.check().await;
}

#[tokio::test]
async fn what_nothing_prices_is_kept_and_free() {
    let plan = Plan::open().await;
    let reply = plan.usage(json!([message("m-1", json!("none"), Value::Null)])).await;
    assert_eq!(reply["data"], json!({"recorded": 1, "repeated": 0, "unpriced": 1, "fees": []}));
    let event = call(&plan.app, "topup.usage_event_get('m-1')").await;
    assert_eq!(event["data"]["fees"], json!([]));
    assert_eq!(
        event["data"]["data"],
        json!({"model": "gpt-4-1", "input_tokens": "none", "output_tokens": null})
    );
    assert_eq!(event["data"]["occurred_at"], "2026-01-05T10:00:00.123Z");
    let accounts: i64 = plan
        .admin
        .query_one("select count(*) from topup.accounts where name = 'default'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(accounts, 0);
    plan.database.check().await;
}

#[tokio::test]
async fn usage_commits_or_rolls_back_with_the_apps_own_transaction() {
    let plan = chat().await;
    let before = plan.database.contents().await;
    plan.app.batch_execute("begin").await.unwrap();
    let reply = plan.usage(json!([message("m-1", json!(1000), json!(0))])).await;
    assert_eq!(reply["data"]["fees"], json!([{"asset": "USD", "amount": 0.00125}]));
    plan.app.batch_execute("rollback").await.unwrap();
    assert!(plan.database.contents().await == before);
}

const SENDERS: usize = 16;

#[tokio::test]
async fn many_batches_at_once_are_each_booked_once_and_tiers_count_on() {
    let plan = Plan::open().await;
    let tiers = r#"[{"name":"Calls","type":"usage_based","billing_model":{"type":"real_time"},"pricing_model":"tiered",
        "tiering":{"basis":"unit","period":"lifetime"},"usage_calculation":{"event_type":"call","usage_type":"unit"},
        "pricing":[{"asset":"USD","values":[{"up_to":50,"unit_price":1},{"unit_price":0.1}]}]}]"#;
    plan.product("calls", tiers, "[]").await;
    assert_eq!(plan.subscribe("calls", "starts_at => '2026-01-01T00:00:00Z'").await["code"], 1000);
    let query = "select topup.record_usage($1, $2)";
    let mut tasks = Vec::new();
    let key: String =
        plan.app.query_one("select current_setting('topup.api_key')", &[]).await.unwrap().get(0);
    for sender in 0..SENDERS {
        let (app, customer) = (plan.database.app(&key).await, plan.customer.clone());
        tasks.push(tokio::spawn(async move {
            // Each id comes from two senders.
            let event = |n: usize| json!({"id": format!("e-{}-{n}", sender / 2), "event_type": "call", "occurred_at": "2026-01-05T10:00:00Z"});
            let mut ids: Vec<usize> = (0..10).collect();
            if sender % 2 == 1 {
                ids.reverse();
            }
            let events = Value::Array(ids.into_iter().map(event).collect());
            app.query_one(query, &[&customer, &events]).await.unwrap().get::<_, Value>(0)
        }));
    }
    let mut recorded = 0;
    for task in tasks {
        recorded += task.await.unwrap()["data"]["recorded"].as_u64().unwrap();
    }
    assert_eq!(recorded, 80);
    // 50 at 1 dollar, 30 at 10 cents.
    assert_eq!(plan.balance("USD").await, "-53");
    plan.database.check().await;
}

#[tokio::test]
async fn over_http_events_are_sent_listed_and_read() {
    let shop = Shop::open().await;
    let app = shop.database.app(&shop.key).await;
    let id = customer(&app, &shop.database, "ann@example.com").await;
    let http = shop.client.at_root();
    let prices: Value = serde_json::from_str(&format!("[{}]", unit_price("chat", "0.5"))).unwrap();
    let product = json!({"name": "Chat", "code": "chat", "prices": prices, "publish": true});
    assert_eq!(http.post("/products", product).await.status, 201);
    let subscription = json!({"products": [{"code": "chat"}], "starts_at": "2026-01-01T00:00:00Z"});
    assert_eq!(http.post(&format!("/customers/{id}/subscriptions"), subscription).await.status, 201);
    shop.database
        .admin()
        .await
        .execute("update topup.customer set external_id = 'ext-1'", &[])
        .await
        .unwrap();
    let event = |id: &str, event_type: &str, at: &str| json!({"id": id, "event_type": event_type, "occurred_at": at, "subject": "s", "costs": [{"id": "x", "amount": 1}]});
    let events = [
        event("a:1", "chat", "2026-01-05T00:00:00Z"),
        event("b", "chat", "2026-01-06T23:59:59Z"),
        event("c", "other", "2026-01-07T00:00:00Z"),
    ];
    let sent = http.post("/events", json!({"customer_external_id": "ext-1", "events": events})).await;
    assert_eq!((sent.status, sent.text.as_str()), (204, ""));
    let again = http.post("/events", json!({"customer_id": id, "events": [events[0]]})).await;
    assert_eq!(again.status, 204);
    for (query, ids) in [
        ("", vec!["c", "b", "a:1"]),
        ("?limit=1&offset=1", vec!["b"]),
        ("?event_id=a%3A1", vec!["a:1"]),
        ("?customer_external_id=ext-1&has_fees=true", vec!["b", "a:1"]),
        ("?has_fees=false", vec!["c"]),
        ("?event_types=other,none", vec!["c"]),
        ("?period_from=2026-01-06&period_to=2026-01-06", vec!["b"]),
        ("?subject=t", vec![]),
        ("?customer_id=cust_00000000000000000000000000", vec![]),
    ] {
        let list = http.get(&format!("/events{query}")).await;
        assert_eq!(list.status, 200, "{query}: {}", list.text);
        let found: Vec<&str> =
            list.json["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids, "{query}");
    }
    let list = http.get("/events?event_id=b").await.json;
    assert_eq!(
        (&list["total_count"], &list["items"][0]["total_fees"], &list["items"][0]["external_id"]),
        (&json!(1), &json!(0.5), &json!("ext-1"))
    );
    let one = http.get("/events/a%3A1").await;
    assert_eq!((one.status, &one.json["fees"][0]["amount"]), (200, &json!(0.5)), "{}", one.text);
    assert_eq!(http.get("/events/none").await.status, 404);

    let conflict = http
        .post("/events", json!({"customer_id": id, "events": [event("b", "chat", "2026-01-08T00:00:00Z")]}))
        .await;
    assert_eq!((conflict.status, conflict.header("content-type")), (409, Some("application/problem+json")));
    let bad = http
        .post("/events", json!({"customer_id": id, "events": [event("z", "", "2026-01-08T00:00:00Z")]}))
        .await;
    assert_eq!(bad.status, 422);
    assert!(bad.json["errors"]["events[0].event_type"].is_array(), "{}", bad.text);
    let nobody = http.post("/events", json!({"customer_id": "cust_x", "events": []})).await;
    assert_eq!(nobody.status, 422);
    shop.database.check().await;
}

#[tokio::test]
async fn what_an_account_cannot_owe_is_refused_and_not_kept() {
    let plan = Plan::open().await;
    plan.product("chat", &format!("[{}]", unit_price("chat", "600000000000000000")), "[]").await;
    plan.subscribe("chat", "starts_at => '2026-01-01T00:00:00Z'").await;
    let event = |id: &str| json!([{"id": id, "event_type": "chat", "occurred_at": "2026-01-02T00:00:00Z"}]);
    assert_eq!(plan.usage(event("a")).await["code"], 1000);
    let before = plan.database.contents().await;
    for _ in 0..2 {
        let refused = plan.usage(event("b")).await;
        assert_eq!(
            (&refused["code"], &refused["data"]["field"]),
            (&json!(2005), &json!("events")),
            "{refused}"
        );
    }
    assert!(plan.database.contents().await == before);
    plan.database.check().await;
}

#[tokio::test]
async fn numbers_that_no_numeric_holds_are_refused() {
    let plan = chat().await;
    let mut event = message("e", json!(1), json!(1));
    event["data"]["x"] = json!("@");
    let text = json!([event]).to_string().replace("\"@\"", "1e-20000");
    let query = "select topup.call($1, 'record_usage', $2)::text";
    let request = format!(r#"{{"customer_id":"{}","events":{text}}}"#, plan.customer);
    let key: String =
        plan.app.query_one("select current_setting('topup.api_key')", &[]).await.unwrap().get(0);
    let reply: String = plan.admin.query_one(query, &[&key, &request]).await.unwrap().get(0);
    assert!(reply.starts_with("(422,") && reply.contains("exponent"), "{reply}");
}

/// One price, paid from two accounts: before the change of version from one, after it from the other.
#[tokio::test]
async fn a_meter_counts_whatever_account_pays() {
    let plan = Plan::open().await;
    let price = |id: &str, address: &str| {
        format!(
            r#"[{{{id}"name":"Calls","type":"usage_based","billing_model":{{"type":"real_time"}},"pricing_model":"tiered",
                 "tiering":{{"basis":"unit"}},"collection":{{"type":"balance","address":"{address}"}},
                 "usage_calculation":{{"event_type":"call","usage_type":"unit"}},
                 "pricing":[{{"asset":"USD","values":[{{"up_to":100,"unit_price":1}},{{"unit_price":5}}]}}]}}]"#
        )
    };
    let product = plan.product("calls", &price("", "default"), "[]").await;
    let made = plan.subscribe("calls", "starts_at => '2026-01-01T00:00:00Z'").await;
    let version = call(&plan.app, &format!("topup.product_version_get('{product}', 1)")).await;
    let id = format!(r#""id":{},"#, version["data"]["prices"][0]["id"]);
    let second =
        format!("topup.product_version_create('{product}', '{}', publish => true)", price(&id, "other"));
    assert_eq!(call(&plan.app, &second).await["data"]["version"], 2);
    let subscription = made["data"]["id"].as_str().unwrap();
    let change =
        format!("topup.subscription_product_update('{}', '{subscription}', '{product}', '2')", plan.customer);
    assert_eq!(call(&plan.app, &change).await["code"], 1000);
    let key: String =
        plan.app.query_one("select current_setting('topup.api_key')", &[]).await.unwrap().get(0);
    let mut sessions = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (app, customer) = (plan.database.app(&key).await, plan.customer.clone());
        sessions.spawn(async move {
            for n in 0..10 {
                let at = if number % 2 == 0 { "'2026-01-02'::timestamptz" } else { "clock_timestamp()" };
                let record = format!(
                    "topup.record_usage('{customer}', jsonb_build_array(jsonb_build_object(
                         'id', 'm{number}-{n}', 'event_type', 'call', 'occurred_at', {at})))"
                );
                let reply = call(&app, &record).await;
                assert_eq!(reply["code"], 1000, "{reply}");
            }
        });
    }
    sessions.join_all().await;
    plan.database.check().await;
    let sum = "select trim_scale(sum(amount))::text from topup.usage_fee";
    assert_eq!(
        plan.admin.query_one(sum, &[]).await.unwrap().get::<_, String>(0),
        "400",
        "100 at 1 and 60 at 5"
    );
}
