//! A reply that was given before is marked in SQL too: a notice says so, and topup.replayed() tells; the reply stays what it was.

use crate::support::{Bank, Database, call};
use serde_json::Value;

/// The value of each statement of a script, and what psql was told besides.
fn psql(database: &Database, script: &str) -> (Vec<String>, String) {
    let output = database
        .program("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", script])
        .output();
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout).lines().map(str::to_owned).collect(), text(&output.stderr))
}

/// Calls of every way in which a session speaks for its key and a request can come again.
fn calls(bank: &Bank, top_up: &str, pending: &str, voucher: &str, tenant: &str) -> Vec<String> {
    let customer = &bank.customer;
    let key = "idempotency_key => 'k";
    vec![
        format!("topup.send('claude', 100, {key}1')"),
        format!("topup.cancel('{pending}', {key}2')"),
        format!("topup.redeem('{voucher}', email => 'bob@example.com', {key}3')"),
        format!("topup.webhook_register('https://example.com/hook', {key}4')"),
        format!("topup.subscription_create('{customer}', '[{{\"code\": \"calls\"}}]', {key}5')"),
        format!("topup.top_up_refund('{top_up}', 1, {key}6')"),
        format!("topup.funding_top_up(1000, {key}7')"),
        format!("topup.adjust('a', 'USD', 5, 'gift', '{customer}')"),
        format!("topup.charge('{customer}', 'c', 'USD', 1)"),
        format!("topup.refund('{customer}', 'c')"),
        // The charge's own reply again, though it is given back.
        format!("topup.charge('{customer}', 'c', 'USD', 1)"),
        format!("topup.hold('{customer}', 'USD', 1, now() + interval '1 hour', 'h')"),
        format!("topup.fund('{tenant}', 'staging', 100, 'f')"),
        format!(
            "(select body::jsonb from topup.call('{}', 'send', '{{\"platform\": \"claude\", \"amount_cents\": 100}}', 'k8'))",
            bank.key
        ),
    ]
}

#[tokio::test]
async fn a_repeated_request_is_marked_and_its_reply_is_the_first_one() {
    let bank = Bank::open().await;
    bank.adjust("20", "gift", "").await;
    bank.sell_calls().await;
    let reply = async |expression: &str| call(&bank.app, expression).await;
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text")).to_owned();
    let create = format!(
        "topup.top_up_create('{}', 10, 'USD', 'https://a.example', 'https://a.example')",
        bank.customer
    );
    let top_up = text(&reply(&create).await["data"]["id"]);
    let paid = format!("topup.report_payment('{{\"payment_id\": \"{top_up}\", \"result\": \"succeeded\"}}')");
    call(&bank.admin, &paid).await;
    let pending =
        text(&reply("topup.send('claude', 100, 'bob+pending@example.com')").await["transaction_id"]);
    let voucher = text(&reply("topup.send('claude', 100)").await["data"]["voucher_code"]);
    let tenant = text(&reply("topup.account_self()").await["data"]["account_id"]);
    let mut first: Vec<(String, String)> = Vec::new();
    for call in calls(&bank, &top_up, &pending, &voucher, &tenant) {
        let script = format!(
            "set topup.api_key = '{}'; select {call}; select topup.replayed(); select {call}; select topup.replayed()",
            bank.key
        );
        let (values, told) = psql(&bank.database, &script);
        let [once, was_new, again, is_replayed] = values.as_slice() else { panic!("{call}: {values:?}") };
        assert!(once.contains("\"success\": true"), "{call}: {once}");
        let came_before = first.iter().find(|(before, _)| *before == call);
        let wanted = came_before.map_or(once, |(_, reply)| reply);
        assert_eq!((once, again, is_replayed.as_str()), (wanted, wanted, "t"), "{call}");
        assert_eq!(was_new, if came_before.is_some() { "t" } else { "f" }, "{call}");
        let notices = told.matches("NOTICE:  this request was made before").count();
        assert_eq!(notices, if came_before.is_some() { 2 } else { 1 }, "{call}: {told}");
        first.push((call, once.clone()));
    }
    bank.database.check().await;
}

#[tokio::test]
async fn a_batch_says_once_how_many_were_repeated() {
    let bank = Bank::open().await;
    let send =
        |key: &str| format!(r#"{{"platform": "claude", "amount_cents": 100, "idempotency_key": "{key}"}}"#);
    let many = |keys: &[&str]| {
        let sends: Vec<String> = keys.iter().map(|key| send(key)).collect();
        format!("select count(*) from topup.send_many('[{}]'); select topup.replayed();", sends.join(", "))
    };
    let script = format!(
        "set topup.api_key = '{}'; select topup.replayed() is null; {} {} select topup.balance() ->> 'code'; select topup.replayed()",
        bank.key,
        many(&["a", "b"]),
        many(&["a", "c", "b"])
    );
    let (values, told) = psql(&bank.database, &script);
    assert_eq!(values, ["t", "2", "f", "3", "t", "1000", "f"]);
    assert_eq!(told.matches("NOTICE:").count(), 1, "{told}");
    assert!(told.contains("2 of 3 requests were made before"), "{told}");
}
