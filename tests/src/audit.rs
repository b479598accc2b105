//! The audit finds what is wrong: each corruption, made by force behind the ledger's back, is named.

use crate::support::{Database, call};
use tokio_postgres::Client;

/// What is broken, and the invariant that must name it. `live` is a top-up with a recipient.
const CORRUPTIONS: &[(&str, &str)] = &[
    ("update topup.entry set amount = amount + 0.000000001 where amount > 0", "transactions balance"),
    (
        "delete from topup.transaction where kind = 'send'",
        "entries, transactions and accounts belong together",
    ),
    ("delete from topup.entry where balance_after is null", "transactions balance"),
    (
        "update topup.account set kind = 'cash' where kind = 'voucher'",
        "accounts are the ones they are derived to be",
    ),
    (
        "update topup.account set name = 'x' where kind = 'customer'",
        "accounts are the ones they are derived to be",
    ),
    ("delete from topup.customer", "accounts are the ones they are derived to be"),
    ("delete from topup.account where kind = 'pending'", "every environment has its accounts"),
    (
        "update topup.balance set balance = balance + 0.01 where version > 0",
        "balances are the sums of their entries",
    ),
    (
        "delete from topup.balance b using topup.account a where a.account_id = b.account_id and a.kind = 'customer'",
        "balances are the sums of their entries",
    ),
    (
        "update topup.entry set balance_after = balance_after + 1 where account_version = 1",
        "entries of an account follow one another",
    ),
    ("update topup.balance set balance = -1 where version = 1", "no balance is below its limit"),
    (
        "update topup.entry set amount = amount + 0.0000000001 where amount > 0",
        "amounts are not finer than their asset",
    ),
    ("delete from topup.idempotency where namespace = 'fund'", "credit from outside is remembered"),
    ("delete from topup.idempotency where namespace = 'adjust'", "credit from outside is remembered"),
    ("delete from topup.top_up where status = 'cancelled'", "top-ups have the postings of their state"),
    (
        "update topup.top_up set status = 'delivered', voucher_code = 'x' where status = 'cancelled'",
        "top-ups have the postings of their state",
    ),
    (
        "update topup.top_up set account_id = gen_random_uuid() where account_id is not null",
        "top-ups have the postings of their state",
    ),
    (
        "update topup.top_up set amount_cents = amount_cents * 10 where status = 'cancelled'",
        "top-ups have the postings of their state",
    ),
    ("update topup.top_up set voucher_code = null", "top-ups have the postings of their state"),
    ("update topup.top_up set discount_bps = discount_bps + 100", "top-ups cost what their discount says"),
    ("update topup.top_up set key_id = gen_random_uuid()", "top-ups belong to a key of their environment"),
    ("update topup.key_usage set day = day - 1", "key usage is the sum of standing top-ups"),
    ("update topup.key_usage set cost_cents = cost_cents + 1", "key usage is the sum of standing top-ups"),
    ("delete from topup.effect", "deliveries are pending exactly while they are queued"),
    (
        "update topup.effect set lane = gen_random_uuid()",
        "deliveries are pending exactly while they are queued",
    ),
    ("delete from topup.event", "deliveries have their event, endpoint and attempts"),
    ("update topup.delivery set attempts = 7", "deliveries have their event, endpoint and attempts"),
    ("delete from topup.webhook_secret", "live endpoints have a secret"),
];

#[tokio::test]
async fn every_corruption_is_named_and_a_sound_ledger_is_not() {
    let database = Database::new().await;
    trade(&database).await;
    database.check().await;

    let mut admin = database.admin().await;
    for (corruption, invariant) in CORRUPTIONS {
        let broken = broken_by(&mut admin, corruption).await;
        assert!(broken.contains(&(*invariant).to_owned()), "{corruption}\nnamed: {broken:?}");
    }
    database.check().await;

    let known: Vec<String> = invariants(&admin, "true").await;
    let tried: Vec<String> = CORRUPTIONS.iter().map(|(_, invariant)| (*invariant).to_owned()).collect();
    let untried: Vec<&String> = known.iter().filter(|invariant| !tried.contains(invariant)).collect();
    assert!(untried.is_empty(), "never seen broken: {untried:?}");
}

/// A little of everything: an adjustment, a top-up in every state, a webhook with something to deliver.
async fn trade(database: &Database) {
    let tenant = database.tenant("Acme").await;
    let (_, key) = tenant.key("staging", "tier => 'gold'").await;
    let app = database.app(&key).await;
    call(&app, "topup.webhook_register('https://example.com/hook')").await;
    for send in ["'ann@example.com'", "null", "'ann+pending@example.com'", "'bob+pending@example.com'"] {
        let reply = call(&app, &format!("topup.send('claude', 1000, {send})")).await;
        if send.contains("bob") {
            let id = reply["transaction_id"].as_str().unwrap();
            assert_eq!(call(&app, &format!("topup.cancel('{id}')")).await["code"], 3001);
        }
    }
    let admin = database.admin().await;
    let query = "select customer_id from topup.customers where email = 'ann@example.com'";
    let customer: String = admin.query_one(query, &[]).await.unwrap().get(0);
    let adjust = format!("topup.adjust('a-1', 'USD', 0.5, 'gift', '{customer}')");
    assert_eq!(call(&app, &adjust).await["code"], 1000);
}

/// The invariants that the audit calls broken while the corruption stands; it is taken back at the end.
async fn broken_by(admin: &mut Client, corruption: &str) -> Vec<String> {
    let transaction = admin.transaction().await.unwrap();
    // As a file gone bad would be: no trigger and no foreign key sees it.
    let force = "set local session_replication_role = replica;
                 alter table topup.entry disable trigger all; alter table topup.transaction disable trigger all";
    transaction.batch_execute(force).await.unwrap();
    let changed = transaction.execute(corruption, &[]).await.unwrap();
    assert!(changed > 0, "{corruption} corrupts nothing");
    let broken = transaction.query("select invariant from topup.check() where not holds", &[]).await.unwrap();
    broken.iter().map(|row| row.get(0)).collect()
}

async fn invariants(admin: &Client, filter: &str) -> Vec<String> {
    let query = format!("select invariant from topup.check() where {filter}");
    admin.query(&query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}
