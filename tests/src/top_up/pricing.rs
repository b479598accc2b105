//! What a top-up costs: tiers, margins, caps, the monthly review, and the dry run that tells it beforehand.

use crate::support::{Database, call, wire};
use serde_json::{Value, json};
use tokio_postgres::Client;

async fn send(admin: &Client, key: &str, cents: i64) -> Value {
    wire(admin, key, "send", &json!({"platform": "claude", "amount_cents": cents})).await.1
}

/// Sends what stays pending; gives its id.
async fn send_pending(admin: &Client, key: &str, cents: i64) -> String {
    let request =
        json!({"platform": "claude", "amount_cents": cents, "recipient_email": "ann+pending@example.com"});
    let envelope = wire(admin, key, "send", &request).await.1;
    assert_eq!(envelope["code"], 1002, "{envelope}");
    envelope["transaction_id"].as_str().unwrap().to_owned()
}

/// The balance's block about the key.
async fn figures(admin: &Client, key: &str) -> Value {
    wire(admin, key, "balance", &json!({})).await.1["data"]["key"].clone()
}

#[tokio::test]
async fn each_tier_pays_its_wholesale_price_rounded_half_even() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    for (tier, bps, prices) in [
        ("standard", 0, [(1000, 1000), (150, 150), (101, 101)]),
        ("silver", 1000, [(1000, 900), (105, 94), (115, 104)]),
        ("gold", 1700, [(1000, 830), (150, 124), (250, 208)]),
        ("platinum", 2500, [(1000, 750), (102, 76), (106, 80)]),
    ] {
        let (_, key) = tenant.key("staging", &format!("tier => '{tier}'")).await;
        let mut margin = 0;
        for (list, cost) in prices {
            let before = wire(&admin, &key, "balance", &json!({})).await.1["data"]["balance_cents"].clone();
            let sent = send(&admin, &key, list).await;
            let data = &sent["data"];
            assert_eq!((&sent["code"], &data["cost_cents"]), (&json!(1001), &json!(cost)), "{tier} {list}");
            assert_eq!((&data["discount_bps"], &data["amount_cents"]), (&json!(bps), &json!(list)));
            assert_eq!(data["new_balance_cents"], before.as_i64().unwrap() - cost);
            margin += list - cost;
        }
        let key = figures(&admin, &key).await;
        assert_eq!((&key["tier"], &key["discount_bps"]), (&json!(tier), &json!(bps)));
        assert_eq!((&key["margin_cents"], &key["cap_cents"]), (&json!(margin), &Value::Null), "{tier}");
    }
    database.check().await;
}

#[tokio::test]
async fn margins_and_volume_are_kept_for_each_top_up_and_each_key() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let (gold_id, gold) = tenant.key("staging", "tier => 'gold'").await;
    let (_, standard) = tenant.key("staging", "").await;
    send(&admin, &gold, 1000).await;
    let pending = send_pending(&admin, &gold, 2000).await;
    send(&admin, &standard, 500).await;
    let key = figures(&admin, &gold).await;
    assert_eq!((&key["margin_cents"], &key["month_volume_cents"]), (&json!(510), &json!(3000)));

    wire(&admin, &gold, "cancel", &json!({"transaction_id": pending})).await;
    let key = figures(&admin, &gold).await;
    assert_eq!((&key["margin_cents"], &key["month_volume_cents"]), (&json!(170), &json!(1000)));
    let key = figures(&admin, &standard).await;
    assert_eq!((&key["margin_cents"], &key["month_volume_cents"]), (&json!(0), &json!(500)));
    let margins = "select margin_cents, status from topup.top_ups where key_id = $1 order by transaction_id";
    let rows = admin.query(margins, &[&gold_id]).await.unwrap();
    let rows: Vec<(i64, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows, [(170, "delivered"), (340, "cancelled")]);
    database.check().await;
}

#[tokio::test]
async fn a_cap_stops_a_key_at_exactly_its_limit_and_what_comes_back_frees_it() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    for period in ["day", "month", "total"] {
        let options =
            format!("cap_cents => 1500, cap_period => '{period}', scopes => '{{send,read,cancel,fulfil}}'");
        let (_, key) = tenant.key("staging", &options).await;
        let used = async |used: i64| {
            let key = figures(&admin, &key).await;
            let seen = [&key["cap_cents"], &key["cap_used_cents"], &key["cap_remaining_cents"]];
            assert_eq!(seen, [&json!(1500), &json!(used), &json!(1500 - used)], "{period}");
            assert_eq!(key["cap_period"], period);
        };
        let cancelled = send_pending(&admin, &key, 1000).await;
        let refused = send(&admin, &key, 501).await;
        assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2007), &json!("amount_cents")));
        used(1000).await;
        let failed = send_pending(&admin, &key, 500).await;
        assert_eq!(send(&admin, &key, 100).await["code"], 2007);
        used(1500).await;
        wire(&admin, &key, "cancel", &json!({"transaction_id": cancelled})).await;
        used(500).await;
        wire(&admin, &key, "fail", &json!({"transaction_id": failed, "reason": "no stock"})).await;
        used(0).await;
        assert_eq!(send(&admin, &key, 1500).await["code"], 1001);
        used(1500).await;
    }
    database.check().await;
}

#[tokio::test]
async fn a_cap_counts_wholesale_cost() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let (_, key) = tenant.key("staging", "tier => 'platinum', cap_cents => 750").await;
    assert_eq!(send(&admin, &key, 1000).await["code"], 1001);
    assert_eq!(send(&admin, &key, 100).await["code"], 2007);
}

/// Moves a key's use, and its top-ups, to an earlier day.
async fn age(admin: &Client, key_id: &str, new_day: &str) {
    let aged = format!(
        "update topup.top_up set created_at = ({new_day})::timestamp at time zone 'UTC'
          where key_id = topup.parse_id('key', '{key_id}');
         update topup.key_usage set day = ({new_day})::date where key_id = topup.parse_id('key', '{key_id}')"
    );
    admin.batch_execute(&aged).await.unwrap();
}

const TODAY: &str = "(now() at time zone 'UTC')::date";
const LAST_MONTH: &str = "date_trunc('month', now() at time zone 'UTC')::date - 1";

#[tokio::test]
async fn a_top_up_of_yesterday_that_is_cancelled_frees_nothing_of_today() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let (key_id, key) = tenant.key("staging", "cap_cents => 1500, cap_period => 'day'").await;
    let yesterdays = send_pending(&admin, &key, 1500).await;
    age(&admin, &key_id, &format!("{TODAY} - 1")).await;
    assert_eq!(figures(&admin, &key).await["cap_used_cents"], 0);
    assert_eq!(send(&admin, &key, 1000).await["code"], 1001);

    let cancelled = wire(&admin, &key, "cancel", &json!({"transaction_id": yesterdays})).await.1;
    assert_eq!((&cancelled["code"], &cancelled["data"]["refunded_cents"]), (&json!(3001), &json!(1500)));
    assert_eq!(figures(&admin, &key).await["cap_used_cents"], 1000);
    assert_eq!(send(&admin, &key, 501).await["code"], 2007);
    assert_eq!(send(&admin, &key, 500).await["code"], 1001);
    database.check().await;
}

#[tokio::test]
async fn a_cap_begins_anew_with_its_period() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    for (period, code) in [("day", 1001), ("month", 1001), ("total", 2007)] {
        let options = format!("cap_cents => 1000, cap_period => '{period}'");
        let (key_id, key) = tenant.key("staging", &options).await;
        assert_eq!(send(&admin, &key, 1000).await["code"], 1001);
        age(&admin, &key_id, LAST_MONTH).await;
        assert_eq!(figures(&admin, &key).await["month_volume_cents"], 0);
        assert_eq!(send(&admin, &key, 1000).await["code"], code, "{period}");
    }
    database.check().await;
}

/// Makes a key of this tier that sold for these cents on a day; gives its id.
async fn seller(database: &Database, tier: &str, day: &str, list_cents: i64) -> String {
    let tenant = database.tenant("Seller").await;
    let (key_id, _) = tenant.key("staging", &format!("tier => '{tier}'")).await;
    let sold = format!(
        "insert into topup.key_usage (tenant_id, key_id, day, cost_cents, list_cents)
         select tenant_id, key_id, {day}, 0, {list_cents} from topup.key where key_id = topup.parse_id('key', '{key_id}')"
    );
    database.admin().await.batch_execute(&sold).await.unwrap();
    key_id
}

#[tokio::test]
async fn the_review_moves_keys_to_the_tier_that_last_month_earned() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let first_of_last_month =
        "date_trunc('month', (date_trunc('month', now() at time zone 'UTC') - interval '1 day'))::date";
    let month_before = &format!("{first_of_last_month} - 1");
    let first_of_this_month = &format!("{LAST_MONTH} + 1");
    let mut expected = Vec::new();
    let mut unmoved = Vec::new();
    for (tier, day, list_cents, earned) in [
        ("standard", LAST_MONTH, 49_999, "standard"),
        ("standard", LAST_MONTH, 50_000, "silver"),
        ("standard", first_of_last_month, 250_000, "gold"),
        ("silver", LAST_MONTH, 249_999, "silver"),
        ("silver", LAST_MONTH, 1_000_000, "platinum"),
        ("platinum", LAST_MONTH, 999_999, "gold"),
        ("gold", month_before, 1_000_000, "standard"),
        ("gold", first_of_this_month, 1_000_000, "standard"),
        ("platinum", LAST_MONTH, 0, "standard"),
    ] {
        let key_id = seller(&database, tier, day, list_cents).await;
        match tier == earned {
            true => unmoved.push(key_id),
            false => expected.push((key_id, tier.to_owned(), earned.to_owned())),
        }
    }
    let contract = seller(&database, "gold", LAST_MONTH, 0).await;
    admin.execute("select topup.set_tier($1, 'platinum', contract => true)", &[&contract]).await.unwrap();
    let revoked = seller(&database, "gold", LAST_MONTH, 0).await;
    admin.execute("select topup.revoke_key($1)", &[&revoked]).await.unwrap();

    let review = "select key_id, old_tier, new_tier from topup.review_tiers()";
    let rows = admin.query(review, &[]).await.unwrap();
    let mut moved: Vec<(String, String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    moved.sort();
    expected.sort();
    assert_eq!(moved, expected);
    assert!(admin.query(review, &[]).await.unwrap().is_empty(), "a second review has nothing to move");
    let tier = "select tier from topup.keys where key_id = $1";
    assert_eq!(admin.query_one(tier, &[&contract]).await.unwrap().get::<_, &str>(0), "platinum");
}

#[tokio::test]
async fn a_new_tier_prices_the_next_top_up() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let (key_id, key) = database.tenant("Acme").await.key("staging", "").await;
    let app = database.app(&key).await;
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["data"]["cost_cents"], 1000);
    admin.execute("select topup.set_tier($1, 'gold')", &[&key_id]).await.unwrap();
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["data"]["cost_cents"], 830);
}
