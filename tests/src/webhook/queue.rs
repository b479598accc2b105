//! The worker's queue, asked as a worker asks: what is open is handed out, what nobody wants any more is not, and nobody
//! is kept waiting by somebody else's transaction.

use crate::support::{Database, call};
use tokio_postgres::Client;

async fn claim(admin: &Client) -> usize {
    let claim = "select effect_id from topup.claim_effects(100, 100, '{}', 30)";
    admin.query(claim, &[]).await.unwrap().len()
}

async fn statuses(admin: &Client) -> Vec<String> {
    let rows = admin.query("select status from topup.deliveries order by delivery_id", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_commits_after_its_webhook_was_deleted_is_not_handed_out() {
    let database = Database::new().await;
    let key = database.staging_key().await;
    let (app, other) = (database.app(&key).await, database.app(&key).await);
    let webhook = call(&app, "topup.webhook_register('https://example.com/hook')").await;
    let id = webhook["data"]["id"].as_str().unwrap();

    app.batch_execute("begin").await.unwrap();
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 1001);
    assert_eq!(call(&other, &format!("topup.webhook_delete('{id}')")).await["code"], 1000);
    app.batch_execute("commit").await.unwrap();

    let admin = database.admin().await;
    assert_eq!(claim(&admin).await, 0);
    assert_eq!(statuses(&admin).await, ["failed"]);
    database.check().await;
}

#[tokio::test]
async fn a_wallet_that_a_transaction_holds_holds_up_no_ending_of_another() {
    let database = Database::new().await;
    let (first, second) = (database.staging_key().await, database.staging_key().await);
    let (holder, other) = (database.app(&first).await, database.app(&second).await);
    for app in [&holder, &other] {
        let reply = call(app, "topup.send('claude', 1000, 'ann+fail@example.com')").await;
        assert_eq!(reply["code"], 1002);
    }
    let admin = database.admin().await;
    admin.batch_execute("update topup.top_up set fails_at = now() - interval '1 minute'").await.unwrap();
    holder.batch_execute("begin").await.unwrap();
    call(&holder, "topup.send('claude', 1000)").await;

    admin.batch_execute("set statement_timeout = '5s'").await.unwrap();
    let mut done = 0;
    loop {
        let some: i32 = admin.query_one("select topup.run_due(10)", &[]).await.unwrap().get(0);
        if some == 0 {
            break;
        }
        done += some;
    }
    assert_eq!(done, 1, "the free wallet's ending, and not the held one's");
    holder.batch_execute("rollback").await.unwrap();
    let rest: i32 = admin.query_one("select topup.run_due(10)", &[]).await.unwrap().get(0);
    assert_eq!(rest, 1);
    database.check().await;
}

#[tokio::test]
async fn an_outcome_that_is_told_twice_is_logged_once() {
    let database = Database::new().await;
    let app = database.app(&database.staging_key().await).await;
    call(&app, "topup.webhook_register('https://example.com/hook')").await;
    call(&app, "topup.send('claude', 1000)").await;
    let admin = database.admin().await;
    let settle = "
        select (topup.settle_effects(jsonb_agg(jsonb_build_object(
                   'tenant_id', tenant_id, 'effect_id', effect_id, 'fence', fence, 'started_at', now(),
                   'duration_ms', 5, 'http_status', 500)))).held";
    let claimed = "create temporary table claimed as select * from topup.claim_effects(100, 100, '{}', 30)";
    admin.batch_execute(claimed).await.unwrap();
    for held in [1, 0] {
        let settled: i32 = admin.query_one(&format!("{settle} from claimed"), &[]).await.unwrap().get(0);
        assert_eq!(settled, held);
    }
    let attempts: i64 = admin.query_one("select count(*) from topup.attempt", &[]).await.unwrap().get(0);
    assert_eq!(attempts, 1);
    database.check().await;
}
