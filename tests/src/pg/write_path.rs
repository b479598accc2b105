//! `topup.write_path`: whether calls go past the executor. That replies and rows are the same either way, the story in
//! `api::session_settings` shows; the other tests run with `TOPUP_WRITE_PATH=statements` too.

use super::statement_count::statements_by;
use crate::support::{Bank, call, sql_state};

const SEND: &str = "send('claude', 1000, 'ann@example.com', idempotency_key => 'order-1')";

#[tokio::test]
async fn statements_write_all_that_rows_write() {
    let bank = Bank::open().await;
    call(&bank.app, "topup.webhook_register('https://example.com/hook')").await;
    let run = statements_by(&bank, "statements", SEND);
    for start in [
        "insert into topup.transaction",
        "insert into topup.entry",
        "insert into topup.top_up",
        "insert into topup.outbox",
        "insert into topup.idempotency",
        "update topup.balance",
    ] {
        assert!(run.iter().any(|text| text.contains(start)), "no {start}: {run:#?}");
    }
    let locks = |text: &String| text.contains("from topup.balance") && text.contains("for update");
    assert!(run.iter().any(locks), "{run:#?}");
    assert_eq!(statements_by(&bank, "rows", &SEND.replace("order-1", "order-2")), Vec::<String>::new());
    bank.database.check().await;
}

/// A transaction may change it between two calls, and within what one call holds.
#[tokio::test]
async fn a_transaction_may_go_from_one_write_path_to_the_other() {
    let bank = Bank::open().await;
    let admin = bank.database.admin().await;
    admin.execute("select set_config('topup.api_key', $1, false)", &[&bank.key]).await.unwrap();
    admin.batch_execute("begin").await.unwrap();
    let mut replies = Vec::new();
    for write_path in ["rows", "statements", "rows", "statements"] {
        admin.batch_execute(&format!("set local topup.write_path = {write_path}")).await.unwrap();
        replies.push(call(&admin, &format!("topup.{SEND}")).await);
    }
    admin.batch_execute("commit").await.unwrap();
    assert_eq!(replies[0]["code"], 1001);
    assert!(replies.iter().all(|reply| reply == &replies[0]), "{replies:#?}");
    bank.database.check().await;
}

#[tokio::test]
async fn only_a_superuser_chooses_the_write_path() {
    let bank = Bank::open().await;
    // From the first call on, the session knows what the setting is.
    assert_eq!(call(&bank.app, "topup.balance()").await["code"], 1000);
    assert_eq!(sql_state(&bank.app, "set topup.write_path = statements").await, "42501");
    let admin = bank.database.admin().await;
    admin.batch_execute("load 'pg_topup'").await.unwrap();
    assert_eq!(sql_state(&admin, "set topup.write_path = columns").await, "22023");
}
