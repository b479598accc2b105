//! The audit finds what is wrong: each corruption, made by force behind the ledger's back, is named.

use crate::support::{Database, call, card_fields, report_to};
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
    (
        "update topup.transaction set created_at = created_at + interval '1 day' where kind = 'fund'",
        "times of an account never fall",
    ),
    ("update topup.balance set posted_at = null", "times of an account never fall"),
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
    ("update topup.outbox set endpoint_ids = '{}'", "events in the outbox have their body and endpoints"),
    ("update topup.outbox set body = null", "events in the outbox have their body and endpoints"),
    ("update topup.outbox set new_balance_cents = 1", "events in the outbox have their body and endpoints"),
    (
        "update topup.outbox set transaction_id = null where body is null",
        "events in the outbox have their body and endpoints",
    ),
    (
        "update topup.outbox set type = 'topup.cancelled' where body is null",
        "events in the outbox have their body and endpoints",
    ),
    (
        "update topup.outbox set endpoint_ids = array[gen_random_uuid()]",
        "events in the outbox have their body and endpoints",
    ),
    (
        "insert into topup.event select tenant_id, environment, event_id, type, transaction_id, coalesce(body, '') from topup.outbox",
        "events in the outbox have their body and endpoints",
    ),
    ("delete from topup.webhook_secret", "live endpoints have a secret"),
    ("update topup.tenant_environment set webhooks = null", "environments know their webhooks"),
    ("update topup.tenant_environment set webhooks = '[]'", "environments know their webhooks"),
    ("update topup.entry set amount = 0", "entries and balances are such as there can be"),
    (
        "update topup.entry set balance_after = null where account_version = 1",
        "entries and balances are such as there can be",
    ),
    ("update topup.balance set credit_limit = -1", "entries and balances are such as there can be"),
    ("update topup.top_up set status = 'lost'", "top-ups and deliveries are such as there can be"),
    ("update topup.top_up set amount_cents = -1", "top-ups and deliveries are such as there can be"),
    (
        "update topup.top_up set cost_cents = amount_cents + 1",
        "top-ups and deliveries are such as there can be",
    ),
    ("update topup.delivery set status = 'lost'", "top-ups and deliveries are such as there can be"),
    ("update topup.effect set kind = 'lost'", "top-ups and deliveries are such as there can be"),
    (
        "update topup.credit_grant set remaining = remaining - 0.01 where is_open and not pending",
        "grants have left what their uses leave",
    ),
    ("delete from topup.grant_use where returned > 0", "grants have left what their uses leave"),
    ("delete from topup.credit_grant where pending", "what is held is in grants and holds"),
    (
        "update topup.credit_grant set amount = amount + 1, remaining = remaining + 1",
        "grants have their credit in the journal",
    ),
    (
        "update topup.credit_grant set expires_at = effective_at + interval '1 microsecond'",
        "grants burn while they last",
    ),
    (
        "update topup.credit_grant g set expires_at = now() + interval '1 day' from topup.grant_use u
          join topup.transaction t using (tenant_id, transaction_id)
         where t.kind = 'expire' and u.grant_id = g.grant_id",
        "grants burn while they last",
    ),
    ("update topup.grant_use set used = used + 100 where used > 0", "grants burn no more than was posted"),
    ("update topup.credit_return set amount = amount + 1", "debits are given back once"),
    (
        "update topup.balance set balance = 0, version = 0 where next_due_at is not null",
        "accounts cover their grants",
    ),
    (
        "update topup.balance set next_due_at = 'infinity' where next_due_at is not null",
        "accounts know when they change next",
    ),
    ("update topup.balance set next_due_at = null", "accounts know when they change next"),
    ("delete from topup.hold where is_open", "what is held is in grants and holds"),
    ("update topup.hold set amount = amount + 1 where is_open", "holds have the postings of their state"),
    (
        "update topup.hold set settled_amount = settled_amount + 1 where status = 'settled'",
        "holds have the postings of their state",
    ),
    (
        "update topup.hold set status = 'released', settled_amount = null where status = 'settled'",
        "holds have the postings of their state",
    ),
    ("delete from topup.hold where not is_open", "holds are known to the journal"),
    ("update topup.asset_rate set source = 'GONE'", "rates belong to an asset"),
    ("delete from topup.asset", "accounts hold an asset that there is"),
    ("update topup.asset set precision = 0", "amounts are not finer than their asset"),
    ("delete from topup.credit_return", "refunds belong to their charge"),
    ("update topup.credit_return set of_transaction_id = transaction_id", "refunds belong to their charge"),
    ("delete from topup.idempotency where namespace = 'refund'", "credit from outside is remembered"),
    ("update topup.usage_fee set amount = amount + 1", "usage is booked as it was priced"),
    ("delete from topup.usage_fee", "usage is booked as it was priced"),
    ("delete from topup.usage_event", "fees belong to their event, payer and version"),
    ("update topup.usage_event set priced = not priced", "events are priced exactly when they have fees"),
    ("update topup.usage_fee set product_version = 9", "fees belong to their event, payer and version"),
    ("update topup.usage_meter set quantity = quantity + 1", "meters are the sums of what was metered"),
    ("delete from topup.usage_meter", "meters are the sums of what was metered"),
    (
        "update topup.subscription_product set valid_to = clock_timestamp()",
        "subscriptions have one version of a product at a time",
    ),
    ("update topup.subscription set due_at = null", "subscriptions are due when their items are"),
    ("update topup.subscription set moves = moves + 1", "subscriptions account for their transactions"),
    (
        "update topup.payment set status = 'failed', transaction_id = null where status = 'succeeded'",
        "payments are credited exactly when they succeeded",
    ),
    (
        "update topup.payment set credit = credit + 1, amount = amount + 1 where status = 'succeeded'",
        "payments are credited exactly when they succeeded",
    ),
    (
        "update topup.payment set transaction_id = topup.new_id() where status = 'succeeded'",
        "payments are credited exactly when they succeeded",
    ),
    ("delete from topup.payment", "payments are credited exactly when they succeeded"),
    ("update topup.payment set credit = credit + 0.000000001", "credit is what was paid for it"),
    (
        "update topup.payment set account_id = gen_random_uuid()",
        "payments have a card, payer and account of their own",
    ),
    ("update topup.payment_method set customer_id = gen_random_uuid()", "a payer has one card"),
    ("update topup.payment_refund set amount = 1000", "no more is refunded than was paid"),
    (
        "update topup.payment_refund set status = 'succeeded', ended_at = now(), due_at = null, amount = 11",
        "no more is refunded than was paid",
    ),
    ("delete from topup.payment_refund", "refunds of payments have their postings"),
    ("update topup.payment_refund set recovered = recovered - 1", "refunds of payments have their postings"),
    ("delete from topup.payment_dispute", "disputes of payments have their postings"),
    ("update topup.payment_dispute set taken = taken + 1", "disputes of payments have their postings"),
    (
        "update topup.payment_dispute set status = 'open', ended_at = null",
        "disputes take what their payment bought",
    ),
    (
        "update topup.auto_top_up set threshold = threshold + 1",
        "watched accounts have an auto top-up that may fire",
    ),
    ("delete from topup.auto_top_up", "watched accounts have an auto top-up that may fire"),
    (
        "update topup.balance set auto_top_up_below = null where auto_top_up_below is not null",
        "auto top-ups that do not watch wait for something",
    ),
    ("update topup.auto_top_up set account_id = gen_random_uuid()", "auto top-ups belong to their account"),
    ("delete from topup.product_version", "rows that others refer to are there"),
    ("delete from topup.tier where tier = 'gold'", "tiers and platforms are there"),
    ("delete from topup.platform where platform = 'gemini'", "tiers and platforms are there"),
    (
        "update pg_catalog.pg_trigger set tgenabled = 'O' where tgname = 'forget_cached'",
        "triggers guard the ledger",
    ),
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

/// As when somebody adds a fault to a view and forgets the list, or leaves its invariant null.
#[tokio::test]
async fn a_fault_of_an_invariant_that_is_not_listed_is_reported() {
    let database = Database::new().await;
    let mut admin = database.admin().await;
    for (invariant, reported) in [("'nobody lists this'", "nobody lists this"), ("null::text", "unnamed")] {
        let transaction = admin.transaction().await.unwrap();
        let view = format!(
            "create or replace view topup.restore_fault as select {invariant} as invariant, 'what is wrong' collate \"C\" as what"
        );
        transaction.batch_execute(&view).await.unwrap();
        let query = "select invariant, detail from topup.check() where not holds";
        let faults = transaction.query(query, &[]).await.unwrap();
        let faults: Vec<(String, String)> = faults.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(faults, [(reported.to_owned(), "1 at fault: what is wrong".to_owned())]);
    }
}

/// A little of everything: an adjustment, a top-up in every state, a webhook with something to deliver, claimed and not.
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
    admin.query("select topup.claim_effects(100, 100, '{}', 30)", &[]).await.unwrap();
    assert_eq!(call(&app, "topup.send('claude', 100)").await["code"], 1001);
    let query = "select customer_id from topup.customers where email = 'ann@example.com'";
    let customer: String = admin.query_one(query, &[]).await.unwrap().get(0);
    let adjust = format!("topup.adjust('a-1', 'USD', 0.5, 'gift', '{customer}')");
    assert_eq!(call(&app, &adjust).await["code"], 1000);
    for step in [
        "asset_create('TOK', 'Tokens', rates => '[{\"source\": \"USD\", \"rate\": 0.1}]')".to_owned(),
        format!("adjust('a-2', 'TOK', 7.25, 'gift', '{customer}')"),
        format!("charge('{customer}', 'c-1', 'TOK', 1.5)"),
        format!("refund('{customer}', 'c-1', amount => 0.5)"),
    ] {
        assert_eq!(call(&app, &format!("topup.{step}")).await["code"], 1000, "{step}");
    }
    trade_in_grants(&app, &customer).await;
    pay(&admin, &app, &customer).await;
    bill(&app, &customer).await;
}

/// A grant in every state, a hold that is open and one that is settled.
async fn trade_in_grants(app: &Client, customer: &str) {
    let ask = async |function_call: String| {
        let reply = call(app, &function_call).await;
        assert_eq!(reply["code"], 1000, "{function_call}: {reply}");
        reply["data"]["id"].as_str().unwrap().to_owned()
    };
    let grant = |id: &str, lasts: &str, begins: &str| {
        format!(
            "topup.adjust('{id}', 'USD', 2, 'gift', '{customer}', effective_at => clock_timestamp() + interval '{begins}',
                          expires_at => clock_timestamp() + interval '{lasts}')"
        )
    };
    ask(grant("g-ends", "0.1 seconds", "0")).await;
    app.batch_execute("select pg_sleep_until(clock_timestamp() + interval '0.2 seconds')").await.unwrap();
    ask(grant("g-open", "1 day", "0")).await;
    ask(grant("g-later", "2 days", "1 day")).await;
    let hold = format!("topup.hold('{customer}', 'USD', 0.7, clock_timestamp() + interval '1 hour')");
    let settled = ask(hold.clone()).await;
    ask(format!("topup.settle('{settled}', 0.3)")).await;
    ask(hold).await;
}

/// A top-up that is paid with a card that is saved, and one that is not paid yet.
async fn pay(admin: &Client, app: &Client, customer: &str) {
    let create =
        format!("topup.top_up_create('{customer}', 10, 'USD', 'https://a.example', 'https://a.example')");
    let id = call(app, &create).await["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(call(app, &create).await["code"], 1000);
    let mut report = card_fields("pm_1");
    report["payment_id"] = id.clone().into();
    report["result"] = "succeeded".into();
    assert_eq!(report_to(admin, &report).await["changed"], true);
    assert_eq!(call(app, &format!("topup.top_up_refund('{id}', 3)")).await["code"], 1000);
    let dispute = serde_json::json!({"payment_id": id, "result": "disputed", "dispute_id": "dp_1",
                                     "dispute_status": "lost", "disputed_minor": 200});
    assert_eq!(report_to(admin, &dispute).await["changed"], true);
    let set = format!("topup.set_auto_top_up(20, 0.01, '{customer}')");
    assert_eq!(call(app, &set).await["code"], 1000);
}

/// A monthly price that is paid, and usage by tiers.
async fn bill(app: &Client, customer: &str) {
    let prices = r#"[{"name":"Calls","type":"usage_based","billing_model":{"type":"real_time"},"pricing_model":"tiered",
        "tiering":{"basis":"unit"},"usage_calculation":{"event_type":"call","usage_type":"unit"},
        "pricing":[{"asset":"USD","values":[{"up_to":1,"unit_price":0.5},{"unit_price":0.1}]}]},
        {"name":"Monthly","type":"fixed","billing_model":{"type":"recurring","recurring":{"interval":"month"}},
        "pricing":[{"asset":"USD","values":[{"unit_price":0.25}]}]}]"#;
    let events = r#"[{"id":"e","event_type":"call","occurred_at":"2026-01-05T00:00:00Z"}]"#;
    for step in [
        format!("topup.product_create('calls', 'calls', '{prices}', publish => true)"),
        format!(
            "topup.subscription_create('{customer}', '[{{\"code\":\"calls\"}}]', starts_at => '2026-01-01T00:00:00Z')"
        ),
        format!("topup.record_usage('{customer}', '{events}')"),
    ] {
        let reply = call(app, &step).await;
        assert_eq!(reply["code"], 1000, "{step}: {reply}");
    }
}

/// The invariants that the audit calls broken while the corruption stands; it is taken back at the end.
async fn broken_by(admin: &mut Client, corruption: &str) -> Vec<String> {
    let transaction = admin.transaction().await.unwrap();
    // As a file gone bad would be: no trigger and no foreign key sees it.
    let force = "set local session_replication_role = replica; set local allow_system_table_mods = on;
                 alter table topup.entry disable trigger all; alter table topup.transaction disable trigger all;
                 alter table topup.grant_use disable trigger all; alter table topup.credit_return disable trigger all";
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
