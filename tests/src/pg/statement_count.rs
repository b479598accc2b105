//! How many statements an operation costs inside Postgres: what is not used costs nothing, and a batch is not
//! so many times one.

use crate::support::{Bank, call};
use serde_json::{Value, json};

/// Of grants and holds.
const CREDIT_TABLES: [&str; 4] =
    ["topup.credit_grant", "topup.grant_use", "topup.credit_return", "topup.hold"];

/// The statements that a call runs, by Postgres's own account: it explains each, nested ones too. The session has called
/// before, so that it knows the caller and the platforms. What is counted is the default write path, whichever the other tests
/// run with.
fn statements(bank: &Bank, function_call: &str) -> Vec<String> {
    statements_by(bank, "rows", function_call)
}

/// The same with a `topup.write_path`.
pub fn statements_by(bank: &Bank, write_path: &str, function_call: &str) -> Vec<String> {
    let script = format!(
        "load 'auto_explain'; set auto_explain.log_nested_statements = on; set auto_explain.log_level = 'notice';
         set topup.write_path = {write_path}; set topup.api_key = '{}'; do 'begin perform topup.validate(''claude'', 100); end';
         set auto_explain.log_min_duration = 0; select topup.{function_call}",
        bank.key
    );
    let mut psql = bank.database.program("psql");
    let output =
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "-c", &script]).output().unwrap();
    let (said, notices) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(
        output.status.success() && said.contains("\"success\": true"),
        "{function_call}: {said} {notices}"
    );
    let texts = notices.split("Query Text:").skip(1);
    // Not those by which Postgres itself checks foreign keys, row by row.
    let mut texts: Vec<String> =
        texts.filter(|text| !text.contains("FOR KEY SHARE OF x")).map(str::to_owned).collect();
    // The last one is the call itself.
    texts.pop();
    texts
}

fn touch_credit(statements: &[String]) -> usize {
    statements.iter().filter(|text| CREDIT_TABLES.iter().any(|table| text.contains(table))).count()
}

#[tokio::test]
async fn an_account_without_grants_pays_nothing_for_their_existence() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let charge = |id: &str| format!("charge('{}', '{id}', 'USD', 1)", bank.customer);
    let plain = statements(&bank, &charge("c-1"));
    assert!(!plain.is_empty());
    assert_eq!(touch_credit(&plain), 0, "{plain:#?}");
    bank.grant("5", "gift", "1 day").await;
    let graded = statements(&bank, &charge("c-2"));
    assert_eq!(touch_credit(&graded), 2, "what it has is read, and what is burned is written: {graded:#?}");
    assert_eq!(graded.len(), plain.len() + 2);
    bank.database.check().await;
}

#[tokio::test]
async fn a_send_runs_few_statements() {
    let bank = Bank::open().await;
    // The bank has sent today, so that there is a row that counts what its key uses.
    let send = statements(&bank, "send('claude', 1000)");
    assert_eq!(send, Vec::<String>::new());
    // The recipient, whose account is locked and moved with the wallet.
    let to_customer = statements(&bank, "send('claude', 1000, 'ann@example.com')");
    assert_eq!(to_customer, Vec::<String>::new());
    // A new recipient and its account, which another transaction may be making too.
    let to_stranger = statements(&bank, "send('claude', 1000, 'bob@example.com')");
    assert_eq!((to_stranger.len(), touch_credit(&to_stranger)), (2, 0), "{to_stranger:#?}");
    // The reply under its key, looked for and kept.
    let keyed = statements(&bank, "send('claude', 1000, idempotency_key => 'order-1')");
    assert_eq!(keyed, Vec::<String>::new());
    // The event in the outbox takes none.
    call(&bank.app, "topup.webhook_register('https://example.com/hook')").await;
    let told = statements(&bank, "send('claude', 1000)");
    assert_eq!(told, Vec::<String>::new());
}

#[tokio::test]
async fn a_batch_of_100_sends_runs_as_many_statements_as_one() {
    let bank = Bank::open().await;
    call(&bank.app, "topup.webhook_register('https://example.com/hook')").await;
    let batch = |sends: usize| {
        let send = |n| {
            let (recipient, key) = ("ann@example.com", format!("{sends}-{n}"));
            json!({"platform": "claude", "amount_cents": 100, "recipient_email": recipient, "idempotency_key": key})
        };
        format!("send_many('{}')", (0..sends).map(send).collect::<Value>())
    };
    let (one, hundred) = (statements(&bank, &batch(1)), statements(&bank, &batch(100)));
    assert!(one.is_empty() && hundred.is_empty(), "{one:#?}\n{hundred:#?}");
    bank.database.check().await;
}

#[tokio::test]
async fn a_batch_of_100_events_runs_as_many_statements_as_one_of_2() {
    let bank = Bank::open().await;
    let prices = r#"[{"name":"Calls","type":"usage_based","billing_model":{"type":"real_time"},"pricing_model":"tiered",
        "tiering":{"basis":"unit"},"usage_calculation":{"event_type":"call","usage_type":"unit"},
        "pricing":[{"asset":"USD","values":[{"up_to":50,"unit_price":0.5},{"unit_price":0.1}]}]}]"#;
    bank.sell(prices).await;
    let batch = |name: &str, events: usize| {
        let event =
            |n| format!(r#"{{"id":"{name}-{n}","event_type":"call","occurred_at":"2026-01-05T00:00:00Z"}}"#);
        let events: Vec<String> = (0..events).map(event).collect();
        format!("record_usage('{}', '[{}]')", bank.customer, events.join(","))
    };
    let two = statements(&bank, &batch("a", 2));
    let hundred = statements(&bank, &batch("b", 100));
    assert!(two.len() > 5 && two.len() == hundred.len(), "{two:#?}\n{hundred:#?}");
    bank.database.check().await;
}
