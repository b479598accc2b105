//! Usage that nothing prices: it is told wherever somebody looks, and refused where that is wanted.

use crate::billing::subscription::{Plan, unit_price};
use crate::support::{Gateway, LIMIT, call, sql_state, wait_until};
use serde_json::{Value, json};

const BEGIN: &str = "2026-01-01T00:00:00Z";

/// A customer that pays for messages and images since the new year.
async fn open() -> Plan {
    let plan = Plan::open().await;
    let prices = format!("[{},{}]", unit_price("message_completed", "1"), unit_price("image_made", "0"));
    plan.product("chat", &prices, "[]").await;
    let made = plan.subscribe("chat", &format!("starts_at => '{BEGIN}'")).await;
    assert_eq!(made["code"], 1000, "{made}");
    plan
}

fn event(id: &str, event_type: &str, at: &str) -> Value {
    json!({"id": id, "event_type": event_type, "occurred_at": at})
}

/// One that is priced, one whose price is nothing, one that is misspelt, and one of just before.
fn events() -> Value {
    json!([
        event("good", "message_completed", "2026-01-05T00:00:00Z"),
        event("gratis", "image_made", "2026-01-05T00:00:00Z"),
        event("misspelt", "mesage_completed", "2026-01-05T00:00:00Z"),
        event("early", "message_completed", "2025-12-31T23:59:59.600Z"),
    ])
}

async fn tenant_id(plan: &Plan) -> String {
    plan.admin.query_one("select distinct tenant_id from topup.keys", &[]).await.unwrap().get(0)
}

async fn set_policy(plan: &Plan, environment: &str, policy: &str) {
    let tenant = tenant_id(plan).await;
    let set = format!("select topup.set_unpriced_usage('{tenant}', '{environment}', '{policy}')");
    plan.admin.batch_execute(&set).await.unwrap();
}

#[tokio::test]
async fn replies_events_lists_and_the_view_tell_what_nothing_prices() {
    let plan = open().await;
    let reply = plan.usage(events()).await;
    let fees = json!([{"asset": "USD", "amount": 1}]);
    assert_eq!(reply["data"], json!({"recorded": 4, "repeated": 0, "unpriced": 2, "fees": fees}));
    // What is repeated was told before.
    assert_eq!(plan.usage(events()).await["data"]["unpriced"], 0);

    for (id, is_priced) in [("good", true), ("gratis", true), ("misspelt", false), ("early", false)] {
        let found = call(&plan.app, &format!("topup.usage_event_get('{id}')")).await;
        assert_eq!(found["data"]["priced"], is_priced, "{found}");
        assert_eq!(found["data"]["fees"].as_array().unwrap().is_empty(), !is_priced, "{found}");
    }
    for (filter, expected) in [
        ("has_fees => false", vec!["early", "misspelt"]),
        ("has_fees => true", vec!["gratis", "good"]),
        ("has_fees => false, event_types => 'mesage_completed'", vec!["misspelt"]),
    ] {
        for customer in ["", ", customer_id => "] {
            let whose =
                if customer.is_empty() { String::new() } else { format!("{customer}'{}'", plan.customer) };
            let list = call(&plan.app, &format!("topup.usage_event_list({filter}{whose})")).await;
            let items = list["data"]["items"].as_array().unwrap();
            let ids: Vec<&str> = items.iter().map(|item| item["id"].as_str().unwrap()).collect();
            assert_eq!(
                (ids, &list["data"]["total_count"]),
                (expected.clone(), &json!(expected.len())),
                "{filter}"
            );
        }
    }
    let view = "select event_id, event_type from topup.unpriced_usage order by event_id";
    let rows = plan.app.query(view, &[]).await.unwrap();
    let rows: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [("early", "message_completed"), ("misspelt", "mesage_completed")];
    assert_eq!(rows, expected.map(|(id, event_type)| (id.to_owned(), event_type.to_owned())));
    plan.database.check().await;
}

#[tokio::test]
async fn an_environment_that_refuses_it_says_which_event_and_what_comes_near() {
    let plan = open().await;
    set_policy(&plan, "live", "refuse").await;
    assert_eq!(plan.usage(json!([event("e-0", "other", BEGIN)])).await["code"], 1000, "live is not staging");

    set_policy(&plan, "staging", "refuse").await;
    let before = plan.database.contents().await;
    for (bad, told) in [
        (event("e-2", "mesage_completed", "2026-01-05T00:00:00Z"), "'message_completed', 'image_made'"),
        (event("e-2", "message_completed", "2025-12-31T23:59:59.600Z"), "occurred_at"),
    ] {
        let good = event("e-1", "message_completed", "2026-01-05T00:00:00Z");
        let refused = plan.usage(json!([good, bad])).await;
        let field = json!("events[1].event_type");
        assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2000), &field), "{refused}");
        assert!(refused["data"]["message"].as_str().unwrap().contains(told), "{refused}");
    }
    assert!(plan.database.contents().await == before, "a refused batch leaves nothing");

    // What is priced at nothing is priced; what was kept before is not judged again.
    let free = json!([event("e-0", "other", BEGIN), event("e-3", "image_made", BEGIN)]);
    let kept = plan.usage(free).await;
    assert_eq!((&kept["code"], &kept["data"]["unpriced"]), (&json!(1000), &json!(0)), "{kept}");

    set_policy(&plan, "staging", "accept").await;
    assert_eq!(plan.usage(json!([event("e-4", "other", BEGIN)])).await["data"]["unpriced"], 1);
    plan.database.check().await;
}

#[tokio::test]
async fn what_a_setting_cannot_be_is_refused() {
    let plan = Plan::open().await;
    let tenant = tenant_id(&plan).await;
    for arguments in [
        format!("'{tenant}', 'staging', 'never'"),
        format!("'{tenant}', 'staging', null"),
        format!("'{tenant}', null, 'refuse'"),
        "'acct_00000000000000000000000000', 'staging', 'refuse'".to_owned(),
        "'nobody', 'staging', 'refuse'".to_owned(),
    ] {
        let set = format!("select topup.set_unpriced_usage({arguments})");
        assert_eq!(sql_state(&plan.admin, &set).await, "22023", "{arguments}");
    }
}

#[tokio::test]
async fn metrics_and_http_tell_it_too() {
    let plan = open().await;
    let gateway = Gateway::start(&plan.database).await;
    let series = "topup_usage_unpriced_last_hour";
    wait_until(LIMIT, "nothing is counted yet", async || {
        (gateway.metric(series).await == Some(0.0)).then_some(())
    })
    .await;
    // Not by this gateway, and an old one too.
    plan.usage(events()).await;
    let older = "update topup.usage_event set sequence = '01900000-0000-7000-8000-000000000000' where event_id = 'early'";
    plan.admin.batch_execute(older).await.unwrap();
    wait_until(LIMIT, "what nothing prices is counted", async || {
        (gateway.metric(series).await == Some(1.0)).then_some(())
    })
    .await;

    let tenant = tenant_id(&plan).await;
    let mint = "select api_key from topup.mint_key($1, 'staging')";
    let key: String = plan.admin.query_one(mint, &[&tenant]).await.unwrap().get(0);
    let client = gateway.client(&key).at_root();
    let list = client.get("/events?has_fees=false").await.expect_status(200);
    assert_eq!(list.json["total_count"], 2);
    set_policy(&plan, "staging", "refuse").await;
    let batch = json!({"customer_id": plan.customer, "events": [event("e-9", "mesage", BEGIN)]});
    let refused = client.post("/events", batch).await.expect_problem(422, 2000, Some("events[0].event_type"));
    assert!(refused.json["detail"].as_str().unwrap().contains("'message_completed'"), "{}", refused.text);
}

#[tokio::test]
async fn what_is_priced_costs_these_indexes_nothing() {
    let plan = open().await;
    let many: Vec<Value> =
        (0..500).map(|n| event(&format!("e-{n}"), "message_completed", "2026-01-05T00:00:00Z")).collect();
    assert_eq!(plan.usage(json!(many)).await["data"]["unpriced"], 0);
    let sizes = "select pg_relation_size('topup.usage_event_unpriced') + pg_relation_size('topup.usage_event_unpriced_lately')";
    let empty: i64 = plan.admin.query_one(sizes, &[]).await.unwrap().get(0);
    // Each has its first page.
    assert_eq!(empty, 2 * 8192);
}
