//! Credit that expires or begins later: what burns first, and what time alone changes, at its instant.

use crate::support::{Bank, Gateway, Hook, LIMIT, Receiver, call, wait_until, wire};
use serde_json::{Value, json};
use std::time::Duration;

/// Waits until the account stands so; nobody sweeps it but those who look.
async fn stands_at(bank: &Bank, balance: &str) {
    wait_until(LIMIT, &format!("the balance is {balance}"), async || {
        (bank.balance().await == balance).then_some(())
    })
    .await;
}

/// The entries of the customer's default account with their kinds, in order.
async fn story(bank: &Bank) -> Vec<String> {
    let query = "select e.kind || ' ' || trim_scale(e.amount)
                   from topup.accounts a join topup.entries e using (tenant_id, account_id)
                  where a.kind = 'customer' and a.name = 'default' order by e.account_version";
    bank.admin.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn promotional_credit_burns_before_paid_and_what_ends_first_before_the_rest() {
    let bank = Bank::open().await;
    assert_eq!(bank.adjust("5", "gift", "").await["code"], 1000);
    bank.grant("10", "external_topup", "1 hour").await;
    bank.grant("3", "gift", "3 hours").await;
    bank.grant("4", "gift", "2 hours").await;
    for (taken, left, balance) in [
        ("-4.5", ["10", "2.5", "0"], "17.5"),
        ("-2.5", ["10", "0", "0"], "15"),
        ("-9.876543211", ["0.123456789", "0", "0"], "5.123456789"),
        ("-0.623456789", ["0", "0", "0"], "4.5"),
    ] {
        assert_eq!(bank.adjust(taken, "other", "").await["code"], 1000);
        assert_eq!(
            (bank.grants().await, bank.balance().await),
            (left.map(str::to_owned).to_vec(), balance.to_owned())
        );
    }
    assert_eq!(bank.adjust("-4.500000001", "other", "").await["code"], 2002);
    bank.database.check().await;
}

#[tokio::test]
async fn an_expired_grant_is_out_of_every_balance_at_its_instant_swept_or_not() {
    let bank = Bank::open().await;
    assert_eq!(bank.adjust("1", "gift", "").await["code"], 1000);
    bank.grant("10", "gift", "0.3 seconds").await;
    assert_eq!(bank.adjust("-2", "other", "").await["code"], 1000);
    stands_at(&bank, "1").await;
    assert_eq!(bank.grants().await, ["0"]);
    assert_eq!(story(&bank).await, ["adjust 1", "adjust 10", "adjust -2"], "nobody has swept it");
    bank.database.check().await;

    let refused = bank.adjust("-1.01", "other", "").await;
    assert_eq!(refused["code"], 2002, "{refused}");
    assert_eq!(bank.adjust("-1", "other", "").await["data"]["balance"], 0);
    assert_eq!(story(&bank).await, ["adjust 1", "adjust 10", "adjust -2", "expire -8", "adjust -1"]);
    let at_its_instant = "select bool_and(t.created_at = g.expires_at)
        from topup.transaction t, topup.credit_grant g where t.kind = 'expire'";
    assert!(bank.admin.query_one(at_its_instant, &[]).await.unwrap().get::<_, bool>(0));
    assert_eq!(bank.total("breakage").await, "8");
    bank.database.check().await;
}

#[tokio::test]
async fn credit_that_begins_later_is_set_aside_until_then() {
    let bank = Bank::open().await;
    let later = "effective_at => clock_timestamp() + interval '0.5 seconds',
                 expires_at => clock_timestamp() + interval '1 hour'";
    let given = bank.adjust("7", "external_topup", later).await;
    assert_eq!((&given["code"], &given["data"]["balance"]), (&json!(1000), &json!(0)), "{given}");
    assert_eq!((bank.balance().await, bank.total("held").await), ("0".to_owned(), "7".to_owned()));
    assert_eq!(bank.adjust("-1", "other", "").await["code"], 2002);
    bank.database.check().await;
    stands_at(&bank, "7").await;
    assert_eq!(bank.adjust("-1", "other", "").await["data"]["balance"], 6);
    assert_eq!((bank.grants().await, bank.total("held").await), (vec!["6".to_owned()], "0".to_owned()));
    assert_eq!(story(&bank).await, ["activate 7", "adjust -1"]);
    bank.database.check().await;
}

#[tokio::test]
async fn the_worker_sweeps_accounts_that_nobody_touches_and_tells_of_it() {
    let bank = Bank::open().await;
    let gateway = Gateway::start(&bank.database).await;
    let receiver = Receiver::start().await;
    let client = gateway.client(&bank.key);
    Hook::register_with(&client, json!({"url": receiver.url, "events": ["credit.expired"]})).await;
    bank.grant("2.5", "gift", "0.3 seconds").await;
    receiver.wait_for(1, LIMIT).await;
    let body: Value = receiver.requests()[0].json();
    assert_eq!((&body["type"], &body["data"]["code"]), (&json!("credit.expired"), &json!(1000)));
    let data = &body["data"]["data"];
    assert_eq!(
        (&data["customer_id"], &data["account_id"], &data["asset"], &data["amount"]),
        (&json!(bank.customer), &json!("default:USD"), &json!("USD"), &json!(2.5))
    );
    let grant = &call(&bank.app, &format!("topup.grant_list('{}')", bank.customer)).await["data"]["items"][0];
    assert_eq!((&data["grant_id"], &data["expired_at"]), (&grant["id"], &grant["expires_at"]));
    assert!(body["data"]["transaction_id"].as_str().unwrap().starts_with("txn_"));
    assert_eq!(story(&bank).await, ["adjust 2.5", "expire -2.5"]);
    bank.database.check().await;
}

#[tokio::test]
async fn the_worker_wakes_for_what_expires_next() {
    let bank = Bank::open().await;
    bank.grant("1", "gift", "1 hour").await;
    let due = "select topup.next_due()";
    let seconds: Option<f64> = bank.admin.query_one(due, &[]).await.unwrap().get(0);
    assert!(seconds.is_some_and(|seconds| (3500.0..=3600.0).contains(&seconds)), "{seconds:?}");
    assert_eq!(bank.adjust("-1", "other", "").await["code"], 1000);
    let seconds: Option<f64> = bank.admin.query_one(due, &[]).await.unwrap().get(0);
    assert_eq!(seconds, None, "nothing is left to expire");
}

#[tokio::test]
async fn an_account_that_is_in_use_is_passed_over_by_the_sweep() {
    let bank = Bank::open().await;
    bank.grant("1", "gift", "0.2 seconds").await;
    bank.app.batch_execute("begin").await.unwrap();
    assert_eq!(bank.adjust("1", "gift", "").await["code"], 1000);
    tokio::time::timeout(Duration::from_secs(5), async {
        wait_until(LIMIT, "it is due", async || {
            let due: Option<f64> = bank.admin.query_one("select topup.next_due()", &[]).await.unwrap().get(0);
            (due == Some(0.0)).then_some(())
        })
        .await;
        let done: i32 = bank.admin.query_one("select topup.run_due(10)", &[]).await.unwrap().get(0);
        assert_eq!(done, 0);
    })
    .await
    .expect("the sweep waits for nobody");
    bank.app.batch_execute("commit").await.unwrap();
    let done: i32 = bank.admin.query_one("select topup.run_due(10)", &[]).await.unwrap().get(0);
    assert_eq!((done, bank.balance().await), (1, "1".to_owned()));
    bank.database.check().await;
}

#[tokio::test]
async fn grants_are_listed_newest_first_with_filters() {
    let bank = Bank::open().await;
    bank.grant("1", "gift", "1 hour").await;
    bank.grant("2", "external_topup", "2 hours").await;
    bank.grant("3", "gift", "0.2 seconds").await;
    stands_at(&bank, "3").await;
    let ask = async |more: Value| {
        let mut request = json!({"customer_id": bank.customer, "account_id": "default:USD"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wire(&bank.admin, &bank.key, "grant_list", &request).await.1["data"].clone()
    };
    let amounts = async |more: Value| {
        let data = ask(more).await;
        data["items"].as_array().unwrap().iter().map(|item| item["amount"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(amounts(json!({})).await, ["3", "2", "1"]);
    assert_eq!(amounts(json!({"exclude_expired": true})).await, ["2", "1"]);
    assert_eq!(amounts(json!({"purpose": "paid"})).await, ["2"]);
    assert_eq!(amounts(json!({"purpose": "promotional", "limit": 1, "offset": 1})).await, ["1"]);
    let all = ask(json!({})).await;
    assert_eq!((&all["total_count"], &all["limit"], &all["offset"]), (&json!(3), &json!(20), &json!(0)));
    assert_eq!(ask(json!({"offset": 9})).await["total_count"], 3);
    let ends = all["items"][1]["expires_at"].clone();
    assert_eq!(amounts(json!({"expired_from": ends})).await, ["2"]);
    assert_eq!(amounts(json!({"expired_to": ends})).await, ["3", "1"]);
    assert_eq!(amounts(json!({"effective_from": "2100-01-01T00:00:00Z"})).await, Vec::<String>::new());
    assert_eq!(amounts(json!({"effective_to": "2100-01-01T00:00:00Z"})).await.len(), 3);
    for (field, wrong) in [
        ("limit", json!(0)),
        ("limit", json!(101)),
        ("offset", json!(-1)),
        ("purpose", json!("x")),
        ("account_id", json!("default")),
        ("account_id", json!("none:USD")),
        ("customer_id", json!("cust_1")),
    ] {
        assert_eq!(ask(json!({field: wrong})).await["field"], field);
    }
}

#[tokio::test]
async fn credit_that_makes_no_sense_is_refused_and_changes_nothing() {
    let bank = Bank::open().await;
    bank.grant("1", "gift", "1 hour").await;
    let before = bank.database.contents().await;
    for more in [
        "expires_at => clock_timestamp() - interval '1 second'",
        "expires_at => clock_timestamp() + interval '1 hour', effective_at => clock_timestamp() + interval '2 hours'",
    ] {
        let refused = bank.adjust("5", "gift", more).await;
        assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2000), &json!("expires_at")));
    }
    assert!(bank.database.contents().await == before);
}

#[tokio::test]
async fn an_account_without_grants_and_holds_pays_nothing_for_them() {
    let bank = Bank::open().await;
    assert_eq!(bank.adjust("1", "gift", "").await["code"], 1000);
    // Without statistics to be had, it is enough that none of the tables is ever read.
    bank.admin.batch_execute("select pg_stat_force_next_flush(); select pg_stat_reset()").await.unwrap();
    assert_eq!(bank.adjust("-0.5", "other", "").await["code"], 1000);
    bank.app.batch_execute("select pg_stat_force_next_flush()").await.unwrap();
    let scans = "select coalesce(sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0)), 0)::bigint
                   from pg_stat_user_tables
                  where schemaname = 'topup' and relname in ('credit_grant', 'grant_use', 'credit_return', 'hold')";
    let count: i64 = bank.admin.query_one(scans, &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
    bank.grant("1", "gift", "1 hour").await;
    assert_eq!(bank.adjust("-0.5", "other", "").await["code"], 1000);
    bank.app.batch_execute("select pg_stat_force_next_flush()").await.unwrap();
    let count: i64 = bank.admin.query_one(scans, &[]).await.unwrap().get(0);
    assert!(count > 0, "the counter counts");
}
