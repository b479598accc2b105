//! Subscriptions where something is in the way: no room, no money, somebody's lock, a version that comes and goes.

use crate::billing::entitlement::age;
use crate::billing::subscription::Plan;
use crate::support::call;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ONCE: &str = r#"{"name":"Setup","type":"fixed","billing_model":{"type":"one_time","one_time":{}},
    "pricing":[{"asset":"USD","values":[{"unit_price":5}]}]}"#;
const MONTHLY: &str = r#"{"name":"Monthly","type":"fixed","billing_model":{"type":"recurring","recurring":{"interval":"month"}},
    "pricing":[{"asset":"USD","values":[{"unit_price":5}]}]}"#;
const ARREARS: &str = r#"{"name":"Monthly","type":"fixed","billing_model":{"type":"recurring","recurring":{"interval":"month"}},
    "collection":{"type":"balance","timing":"in_arrears"},"pricing":[{"asset":"USD","values":[{"unit_price":5}]}]}"#;
const GIFT: &str =
    r#"{"name":"Gift","asset":"EUR","amount":7,"purpose":"bundled","lifecycle":{"duration":"month"}}"#;

fn credit(duration: &str, strategy: &str) -> String {
    format!(
        r#"[{{"name":"Credit","asset":"EUR","amount":100,"purpose":"bundled",
             "lifecycle":{{"duration":"{duration}","refresh":{{"strategy":"{strategy}"}}}}}}]"#
    )
}

async fn update(plan: &Plan, id: &Value, status: &str) -> Value {
    let id = id.as_str().unwrap();
    call(&plan.app, &format!("topup.subscription_update('{}', '{id}', '{status}')", plan.customer)).await
}

#[tokio::test]
async fn what_cannot_be_granted_is_not_charged() {
    let plan = Plan::open().await;
    plan.product("pro", &format!("[{MONTHLY}]"), &credit("month", "expire_and_replace")).await;
    plan.credit("c", "20").await;
    let full = format!("topup.adjust('full', 'EUR', 1000000000000000000, 'gift', '{}')", plan.customer);
    assert_eq!(call(&plan.app, &full).await["code"], 1000);
    let made = plan.subscribe("pro", "").await;
    assert_eq!((&made["code"], &made["data"]["status"]), (&json!(1000), &json!("action_required")), "{made}");
    assert_eq!(plan.balance("USD").await, "20");
    let less = format!("topup.adjust('less', 'EUR', -100, 'other', '{}')", plan.customer);
    assert_eq!(call(&plan.app, &less).await["code"], 1000);
    assert_eq!(update(&plan, &made["data"]["id"], "active").await["code"], 1000);
    assert_eq!((plan.balance("USD").await.as_str(), plan.status().await.as_str()), ("15", "active"));
    plan.database.check().await;
}

#[tokio::test]
async fn an_account_that_somebody_holds_stops_no_one_elses_renewal() {
    let plan = Plan::open().await;
    plan.product("pro", &format!("[{MONTHLY}]"), "[]").await;
    plan.credit("c", "50").await;
    plan.subscribe("pro", "").await;
    let other = crate::billing::subscription::customer(&plan.app, &plan.database, "bob@example.com").await;
    let credit = format!("topup.adjust('b', 'USD', 50, 'gift', '{other}')");
    assert_eq!(call(&plan.app, &credit).await["code"], 1000);
    let subscribe = format!(r#"topup.subscription_create('{other}', '[{{"code":"pro"}}]')"#);
    assert_eq!(call(&plan.app, &subscribe).await["code"], 1000);
    plan.pass("1 month 1 day").await;

    plan.app.batch_execute("begin").await.unwrap();
    assert_eq!(
        call(&plan.app, &format!("topup.charge('{}', 'x', 'USD', 1)", plan.customer)).await["code"],
        1000
    );
    let started = Instant::now();
    plan.run_due().await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let paid = "select string_agg(trim_scale(balance)::text, ' ' order by created_at) from topup.accounts
                 where kind = 'customer' and name = 'default'";
    let paid_now: String = plan.admin.query_one(paid, &[]).await.unwrap().get(0);
    assert_eq!(paid_now, "45 40");
    plan.app.batch_execute("commit").await.unwrap();
    let statuses: String = plan
        .admin
        .query_one("select string_agg(status, ' ') from topup.subscription", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(statuses, "active active");
    plan.database.check().await;
    plan.pass("5 seconds").await;
    plan.run_due().await;
    let paid_then: String = plan.admin.query_one(paid, &[]).await.unwrap().get(0);
    assert_eq!(paid_then, "39 40");
    plan.database.check().await;
}

#[tokio::test]
async fn a_version_that_comes_back_is_not_paid_or_given_again() {
    let plan = Plan::open().await;
    let product = plan.product("pro", &format!("[{ONCE},{MONTHLY}]"), &format!("[{GIFT}]")).await;
    plan.credit("c", "50").await;
    let made = plan.subscribe("pro", "").await;
    let kept = call(&plan.app, &format!("topup.product_version_get('{product}', 1)")).await;
    let empty = format!("topup.product_version_create('{product}', '[]', publish => true)");
    assert_eq!(call(&plan.app, &empty).await["data"]["version"], 2);
    assert!(kept["data"]["prices"][0]["id"].is_string());
    let change = async |version: i32| {
        let (customer, id) = (&plan.customer, made["data"]["id"].as_str().unwrap());
        let change =
            format!("topup.subscription_product_update('{customer}', '{id}', '{product}', '{version}')");
        let reply = call(&plan.app, &change).await;
        assert_eq!(reply["code"], 1000, "{reply}");
    };
    for version in [2, 1, 2, 1] {
        change(version).await;
    }
    assert_eq!((plan.balance("USD").await.as_str(), plan.balance("EUR").await.as_str()), ("40", "7"));
    plan.database.check().await;
    // Away for longer than a month: the next one begins when it comes back.
    change(2).await;
    plan.pass("3 months").await;
    plan.run_due().await;
    change(1).await;
    plan.run_due().await;
    assert_eq!(plan.balance("USD").await, "35");
    plan.database.check().await;
}

#[tokio::test]
async fn what_is_left_outlives_a_period_without_a_worker() {
    let plan = Plan::open().await;
    plan.product("pro", "[]", &credit("month", "rollover")).await;
    plan.subscribe("pro", "").await;
    let spend = format!("topup.adjust('s', 'EUR', -60, 'other', '{}')", plan.customer);
    assert_eq!(call(&plan.app, &spend).await["code"], 1000);
    age(&plan).await;
    age(&plan).await;
    plan.run_due().await;
    assert_eq!(plan.balance("EUR").await, "140");
}

#[tokio::test]
async fn a_subscription_that_was_ended_before_its_start_is_taken_up_again() {
    let plan = Plan::open().await;
    plan.product("pro", &format!("[{MONTHLY}]"), "[]").await;
    plan.credit("c", "20").await;
    let made = plan.subscribe("pro", "starts_at => now() + interval '1 day'").await;
    for status in ["inactive", "active", "inactive", "active"] {
        assert_eq!(update(&plan, &made["data"]["id"], status).await["code"], 1000, "{status}");
        plan.database.check().await;
    }
    assert_eq!((plan.status().await.as_str(), plan.balance("USD").await.as_str()), ("scheduled", "20"));
    plan.pass("25 hours").await;
    plan.run_due().await;
    assert_eq!((plan.status().await.as_str(), plan.balance("USD").await.as_str()), ("active", "15"));
    plan.database.check().await;
}

#[tokio::test]
async fn a_late_payment_moves_price_and_credit_alike() {
    let plan = Plan::open().await;
    plan.product("pro", &format!("[{MONTHLY}]"), &credit("month", "expire_and_replace")).await;
    plan.subscribe("pro", "").await;
    plan.pass("20 days").await;
    plan.credit("c", "20").await;
    plan.run_due().await;
    assert_eq!((plan.status().await.as_str(), plan.balance("EUR").await.as_str()), ("active", "100"));
    let next = "select count(distinct next_at), min(next_at) > now() + interval '27 days' from topup.subscription_item";
    let row = plan.admin.query_one(next, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (1, true), "they begin at one instant");
    plan.database.check().await;
}

#[tokio::test]
async fn who_ends_a_subscription_pays_for_the_periods_that_are_over() {
    let plan = Plan::open().await;
    plan.product("pro", &format!("[{ARREARS}]"), "[]").await;
    plan.credit("c", "20").await;
    let made = plan.subscribe("pro", "").await;
    plan.pass("1 month 1 day").await;
    assert_eq!(update(&plan, &made["data"]["id"], "inactive").await["code"], 1000);
    assert_eq!((plan.balance("USD").await.as_str(), plan.status().await.as_str()), ("15", "inactive"));
    plan.database.check().await;
}

#[tokio::test]
async fn credit_lets_a_collection_be_tried_at_once_and_failures_ever_later() {
    let plan = Plan::open().await;
    plan.product("pro", &format!("[{MONTHLY}]"), "[]").await;
    plan.subscribe("pro", "").await;
    let wait = "select round(extract(epoch from due_at - clock_timestamp()))::int from topup.subscription";
    for (n, seconds) in [60, 120, 240, 480].into_iter().enumerate() {
        if n > 0 {
            plan.pass("1 hour").await;
            plan.run_due().await;
        }
        let waits: i32 = plan.admin.query_one(wait, &[]).await.unwrap().get(0);
        assert!((seconds - 2..=seconds).contains(&waits), "{n}: {waits}");
    }
    plan.credit("c", "5").await;
    plan.run_due().await;
    assert_eq!((plan.balance("USD").await.as_str(), plan.status().await.as_str()), ("0", "active"));
}
