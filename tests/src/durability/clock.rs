//! The server's clock is set back: the times of an account never fall, nothing stops, and the books are right for good.

use crate::support::{Bank, call};
use serde_json::{Value, json};

const PRICES: &str = r#"[{"name":"Calls","type":"usage_based","billing_model":{"type":"real_time"},"pricing_model":"tiered",
    "tiering":{"basis":"unit","period":"monthly"},"usage_calculation":{"event_type":"call","usage_type":"unit"},
    "pricing":[{"asset":"USD","values":[{"up_to":3,"unit_price":0.1},{"unit_price":0.01}]}]},
    {"name":"Monthly","type":"fixed","billing_model":{"type":"recurring","recurring":{"interval":"month"}},
    "pricing":[{"asset":"USD","values":[{"unit_price":0.25}]}]}]"#;
const ENTITLEMENTS: &str = r#"[{"name":"credit","asset":"EUR","amount":10,"purpose":"bundled",
    "lifecycle":{"duration":"month","refresh":{"strategy":"rollover"}}}]"#;

/// Moves all that was written, as if the clock had shown so much more until now. A top-up stays: its day counts for caps.
async fn shift(bank: &Bank, by: &str) {
    let move_all = format!(
        "do $$
        declare
            moved record;
        begin
            alter table topup.transaction disable trigger all;
            for moved in
                select c.table_name, string_agg(format('%1$I = %1$I + interval ''{by}''', c.column_name), ', ') as set
                  from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
                 where c.table_schema = 'topup' and t.table_type = 'BASE TABLE' and c.table_name <> 'top_up'
                   and c.data_type = 'timestamp with time zone'
                 group by c.table_name
            loop
                execute format('update topup.%I set %s', moved.table_name, moved.set);
            end loop;
            alter table topup.transaction enable always trigger refuse_change, enable always trigger refuse_truncate;
        end
        $$"
    );
    bank.admin.batch_execute(&move_all).await.unwrap();
}

/// One of everything that books, under ids of its own.
async fn live(bank: &Bank, round: &str) {
    let customer = &bank.customer;
    let soon = "clock_timestamp() + interval";
    let event = |n: usize| json!({"id": format!("{round}-{n}"), "event_type": "call", "occurred_at": "2026-01-05T00:00:00Z"});
    let events = json!([event(1), event(2)]).to_string();
    for step in [
        "send('claude', 100, 'ann@example.com')".to_owned(),
        format!("adjust('{round}-plain', 'USD', 5, 'gift', '{customer}')"),
        format!("adjust('{round}-grant', 'USD', 2, 'gift', '{customer}', expires_at => {soon} '1 hour')"),
        format!(
            "adjust('{round}-later', 'USD', 2, 'gift', '{customer}', effective_at => {soon} '2 minutes')"
        ),
        format!("adjust('{round}-paid', 'USD', 3, 'external_topup', '{customer}')"),
        format!("charge('{customer}', '{round}-charge', 'USD', 2.5)"),
        format!("refund('{customer}', '{round}-charge', amount => 0.5)"),
        format!("hold('{customer}', 'USD', 1, {soon} '1 minute', '{round}-settled')"),
        format!("settle('{round}-settled', 0.25)"),
        format!("hold('{customer}', 'USD', 1, {soon} '1 minute', '{round}-released')"),
        format!("release('{round}-released')"),
        format!("hold('{customer}', 'USD', 1, {soon} '1 minute', '{round}-open')"),
        format!("record_usage('{customer}', '{events}')"),
        format!("adjust('{round}-down', 'USD', -1, 'other', '{customer}')"),
    ] {
        let reply = call(&bank.app, &format!("topup.{step}")).await;
        assert_eq!(reply["success"], true, "{step}: {reply}");
    }
    let sends =
        r#"[{"platform": "claude", "amount_cents": 100}, {"platform": "claude", "amount_cents": 200}]"#;
    let sent = format!(
        "(select to_jsonb(count(*) filter (where sent ->> 'code' = '1001')) from topup.send_many('{sends}') sent)"
    );
    assert_eq!(call(&bank.app, &sent).await, 2);
    let open = call(&bank.app, &format!("topup.hold_status('{round}-open')")).await;
    assert_eq!(open["data"]["status"], "open", "a hold lasts as long as was asked for: {open}");
}

async fn run_due(bank: &Bank) {
    while bank.admin.query_one("select topup.run_due(100)", &[]).await.unwrap().get::<_, i32>(0) > 0 {}
}

async fn opened() -> Bank {
    let bank = Bank::open().await;
    bank.adjust("20", "gift", "").await;
    let product = format!(
        "topup.product_create('Plan', 'plan', '{PRICES}', entitlements => '{ENTITLEMENTS}', publish => true)"
    );
    let subscribe = format!(
        "topup.subscription_create('{}', '[{{\"code\":\"plan\"}}]', '2026-01-01 00:00Z')",
        bank.customer
    );
    for step in [product, subscribe] {
        let reply = call(&bank.app, &step).await;
        assert_eq!(reply["code"], 1000, "{step}: {reply}");
    }
    bank
}

/// The last time of the customer's default account, and how many entries it has.
async fn last(bank: &Bank) -> (String, i64) {
    let query = "select topup.rfc3339(max(e.created_at)), count(*) from topup.entries e
                   join topup.accounts a using (tenant_id, account_id) where a.kind = 'customer' and a.name = 'default'
                    and a.asset = 'USD'";
    let row = bank.admin.query_one(query, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn after_the_clock_was_set_back_a_charge_is_not_before_the_last_one() {
    let bank = opened().await;
    live(&bank, "before").await;
    shift(&bank, "5 minutes").await;
    let (time, entries) = last(&bank).await;
    let charge = format!("topup.charge('{}', 'back', 'USD', 0.5)", bank.customer);
    let reply = call(&bank.app, &charge).await;
    assert_eq!((&reply["code"], &reply["data"]["created_at"]), (&json!(1000), &json!(time)), "{reply}");
    assert_eq!(last(&bank).await, (time, entries + 1));
    bank.database.check().await;
}

#[tokio::test]
async fn everything_goes_on_while_the_clock_is_behind_and_is_right_for_good() {
    let bank = opened().await;
    live(&bank, "before").await;
    shift(&bank, "5 minutes").await;
    live(&bank, "behind").await;
    run_due(&bank).await;
    bank.database.check().await;
    statement_tells_all(&bank).await;
    // The clock is behind once more, and then has caught up: what was to begin or to end meanwhile does.
    shift(&bank, "1 minute").await;
    live(&bank, "again").await;
    bank.database.check().await;
    shift(&bank, "-20 minutes").await;
    run_due(&bank).await;
    live(&bank, "after").await;
    for round in ["before", "behind", "again"] {
        let over = call(&bank.app, &format!("topup.hold_status('{round}-open')")).await;
        assert_eq!(over["data"]["status"], "expired", "{over}");
    }
    bank.database.check().await;
}

/// A statement up to now has every entry, those that are ahead of the clock too.
async fn statement_tells_all(bank: &Bank) {
    let (_, entries) = last(bank).await;
    let statement = call(&bank.app, &format!("topup.statement('{}', 'default:USD')", bank.customer)).await;
    let told = statement["data"]["entries"].as_array().unwrap_or_else(|| panic!("{statement}"));
    assert_eq!(told.len() as i64, entries);
    let times: Vec<&Value> = told.iter().map(|entry| &entry["at"]).collect();
    assert!(times.is_sorted_by_key(|time| time.as_str()), "{times:?}");
    let query = "select (topup.balance_at($1, 'default:USD', null) - a.balance)::text,
                        (select count(*) from topup.statement_lines($1, 'default:USD') where kind not in ('opening', 'closing'))
                   from topup.accounts a where a.kind = 'customer' and a.name = 'default' and a.asset = 'USD'";
    let row = bank.admin.query_one(query, &[&bank.customer]).await.unwrap();
    assert_eq!((row.get::<_, String>(0).trim_matches(['0', '.']), row.get::<_, i64>(1)), ("", entries));
}
