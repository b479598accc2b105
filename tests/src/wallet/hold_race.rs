//! Many clients at once: together they spend what there is and no more, whatever they do and whatever expires meanwhile.

use crate::support::{Bank, call, wire};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const CLIENTS: usize = 32;

/// Lets each client ask its calls, one after the other, all clients at once; gives all replies.
async fn at_once(bank: &Bank, calls: impl Fn(usize) -> Vec<String>) -> Vec<Value> {
    let gate = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (app, calls, gate) = (bank.database.app(&bank.key).await, calls(number), gate.clone());
        clients.spawn(async move {
            gate.wait().await;
            let mut replies = Vec::new();
            for each in calls {
                replies.push(call(&app, &each).await);
            }
            replies
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// How many of the replies are successes; all others must say that the balance does not cover it.
fn successes<'a>(replies: impl IntoIterator<Item = &'a Value>) -> usize {
    let covered = |reply: &&Value| match reply["code"].as_i64() {
        Some(1000) => true,
        Some(2002) => false,
        _ => panic!("{reply}"),
    };
    replies.into_iter().filter(covered).count()
}

#[tokio::test]
async fn clients_with_holds_and_debits_together_spend_no_more_than_the_balance() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    bank.grant("6", "gift", "1 hour").await;
    bank.grant("4.5", "external_topup", "1 hour").await;
    let customer = &bank.customer;
    let replies = at_once(&bank, |number| {
        let hold = format!("topup.hold('{customer}', 'USD', 1, clock_timestamp() + interval '1 hour')");
        let debit = |n: usize| format!("topup.adjust('d{number}-{n}', 'USD', -1, 'other', '{customer}')");
        if number % 2 == 0 { vec![hold.clone(), hold] } else { vec![debit(0), debit(1)] }
    })
    .await;
    assert_eq!((successes(&replies), replies.len()), (20, 2 * CLIENTS));
    assert_eq!(bank.balance().await, "0.5");
    bank.database.check().await;
}

#[tokio::test]
async fn of_many_settlements_of_one_hold_one_is_booked() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let hold = bank.held("8", "1 hour").await;
    let replies = at_once(&bank, |number| match number % 4 {
        0 => vec![format!("topup.release('{hold}')")],
        amount => vec![format!("topup.settle('{hold}', {amount})")],
    })
    .await;
    let ends: Vec<&Value> =
        replies.iter().filter(|reply| reply["code"] == 1000).map(|reply| &reply["data"]).collect();
    assert!(replies.iter().all(|reply| [1000, 2006].contains(&reply["code"].as_i64().unwrap())));
    assert_eq!(ends.len(), CLIENTS / 4, "those who asked for the ending that came first");
    assert!(ends.iter().all(|end| *end == ends[0]));
    bank.database.check().await;
}

#[tokio::test]
async fn usage_charges_holds_and_expiry_at_once_keep_the_books_right() {
    let bank = Bank::open().await;
    bank.sell_calls().await;
    bank.adjust("3", "gift", "").await;
    for tenths in 1..=8 {
        bank.grant("2", "gift", &format!("{} milliseconds", 100 * tenths)).await;
        bank.grant("2", "external_topup", &format!("{} milliseconds", 130 * tenths)).await;
    }
    let (customer, sweeper) = (&bank.customer, bank.database.admin().await);
    let sweeping = tokio::spawn(async move {
        loop {
            sweeper.batch_execute("select topup.run_due(10)").await.unwrap();
        }
    });
    let soon = |milliseconds: usize| format!("clock_timestamp() + interval '{milliseconds} milliseconds'");
    let replies = at_once(&bank, |number| {
        let turn = |turn: usize| {
            let (hold_ends, gift_ends) = (soon(40 * (1 + number % 7)), soon(30 * (1 + turn)));
            let (debit, gift) = (format!("e{number}-{turn}"), format!("g{number}-{turn}"));
            // Each event comes from two clients.
            let event = json!([{"id": format!("u{}-{turn}", number / 2), "event_type": "call",
                                "occurred_at": "2026-01-05T00:00:00Z"}]);
            [
                format!("topup.record_usage('{customer}', '{event}')"),
                format!("topup.charge('{customer}', 'c{number}-{turn}', 'USD', 0.07)"),
                format!("topup.hold('{customer}', 'USD', 0.3, {hold_ends})"),
                format!("topup.adjust('{debit}', 'USD', -0.1, 'other', '{customer}')"),
                format!(
                    "topup.adjust('{gift}', 'USD', 0.05, 'gift', '{customer}', expires_at => {gift_ends})"
                ),
            ]
        };
        (0..6).flat_map(turn).collect()
    })
    .await;
    assert!(!sweeping.is_finished(), "a sweep failed");
    sweeping.abort();
    // Credit and holds that end so soon may be over before they have the lock.
    assert!(successes(replies.iter().filter(|reply| reply["data"]["field"] != "expires_at")) > CLIENTS);
    bank.database.check().await;
    let order = "select count(*) from (
        select created_at < lag(created_at) over (partition by account_id order by account_version) as back
          from topup.entries where account_version is not null) e where back";
    let back: i64 = bank.admin.query_one(order, &[]).await.unwrap().get(0);
    assert_eq!(back, 0, "the journal goes back in time");
    let usage = "select sum(e.amount)::text from topup.entries e where e.kind = 'usage' and e.account_version is not null";
    let usage: String = bank.admin.query_one(usage, &[]).await.unwrap().get(0);
    // 96 events at 0.05.
    assert_eq!(usage.parse::<f64>().unwrap(), -4.8);
}

/// What moves between available and held is never seen twice or not at all, over HTTP's door neither.
#[tokio::test]
async fn a_reader_never_sees_half_of_a_hold() {
    let bank = Bank::open().await;
    bank.adjust("100", "gift", "").await;
    let (writer, customer) = (bank.database.app(&bank.key).await, bank.customer.clone());
    let writing = tokio::spawn(async move {
        loop {
            let hold = format!("topup.hold('{customer}', 'USD', 50, clock_timestamp() + interval '1 hour')");
            let held = call(&writer, &hold).await;
            let id = held["data"]["id"].as_str().unwrap().to_owned();
            assert_eq!(call(&writer, &format!("topup.release('{id}')")).await["code"], 1000);
        }
    });
    let request = json!({"customer_id": bank.customer, "account_id": "default:USD"});
    for _ in 0..1000 {
        let (_, reply) = wire(&bank.admin, &bank.key, "wallet_account", &request).await;
        let (available, held) = (&reply["data"]["available"], &reply["data"]["pending_out"]);
        assert_eq!(available.as_i64().unwrap() + held.as_i64().unwrap(), 100, "{reply}");
    }
    assert!(!writing.is_finished());
    writing.abort();
}
