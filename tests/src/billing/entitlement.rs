//! Entitlements as grants: each period's credit ends with the period, or rolls over into the next.

use crate::billing::subscription::Plan;
use crate::support::call;
use serde_json::json;

async fn plan_with(strategy: &str) -> Plan {
    let plan = Plan::open().await;
    let entitlement = format!(
        r#"[{{"name":"credit","asset":"USD","amount":10,"purpose":"bundled",
             "lifecycle":{{"duration":"month","refresh":{{"strategy":"{strategy}"}}}}}}]"#
    );
    plan.product("plan", "[]", &entitlement).await;
    let made = plan.subscribe("plan", "").await;
    assert_eq!(made["data"]["status"], "active", "{made}");
    let spend = format!("topup.adjust('s', 'USD', -4, 'other', '{}')", plan.customer);
    assert_eq!(call(&plan.app, &spend).await["code"], 1000);
    assert_eq!(plan.balance("USD").await, "6");
    age(&plan).await;
    plan.run_due().await;
    plan
}

/// As if a month and a day had passed: grants age with what is subscribed to.
pub async fn age(plan: &Plan) {
    let age = "update topup.credit_grant set effective_at = effective_at - interval '1 month 1 day',
                      expires_at = expires_at - interval '1 month 1 day';
               update topup.balance set next_due_at = next_due_at - interval '1 month 1 day'";
    plan.admin.batch_execute(age).await.unwrap();
    plan.pass("1 month 1 day").await;
}

#[tokio::test]
async fn what_is_left_expires_and_is_replaced() {
    let plan = plan_with("expire_and_replace").await;
    assert_eq!(plan.balance("USD").await, "10");
}

#[tokio::test]
async fn what_is_left_rolls_over() {
    let plan = plan_with("rollover").await;
    assert_eq!(plan.balance("USD").await, "16");
    let query = "select remaining::text from topup.credit_grant where remaining > 0";
    let remaining: String = plan.admin.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(json!(remaining), json!("16"));
}

#[tokio::test]
async fn a_subscription_at_fault_does_not_stop_the_others() {
    let plan = Plan::open().await;
    for (code, asset) in [("broken", "EUR"), ("plan", "USD")] {
        let entitlement = format!(
            r#"[{{"name":"credit","asset":"{asset}","amount":10,"purpose":"bundled",
                 "lifecycle":{{"duration":"month","refresh":{{"strategy":"rollover"}}}}}}]"#
        );
        plan.product(code, "[]", &entitlement).await;
        assert_eq!(plan.subscribe(code, "").await["data"]["status"], "active");
    }
    let damage = "alter table topup.product_version disable trigger all;
                  update topup.product_version v set entitlements = '[{}]' from topup.product p
                   where p.product_id = v.product_id and p.code = 'broken'";
    plan.admin.batch_execute(damage).await.unwrap();
    age(&plan).await;
    plan.run_due().await;
    assert_eq!(plan.balance("USD").await, "20");
    let put_off = "select string_agg(status, ' '), count(*) filter (where due_at < clock_timestamp() + interval '1 hour')
                     from topup.subscription";
    let row = plan.admin.query_one(put_off, &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, i64>(1)),
        ("active active", 1),
        "the one at fault comes later"
    );
}
