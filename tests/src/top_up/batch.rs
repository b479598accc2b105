//! A batch of sends, by `send_many` or `call_many`, leaves the rows and gives the replies of as many single sends.

use crate::support::{Database, Tenant, call};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio_postgres::Client as Session;

const ROUNDS: usize = 7;
const SENDS: std::ops::Range<usize> = 20..60;
const SCOPES: &str = "scopes => '{send,read,wallets,webhooks,funding}'";

/// A send, the key of the tenant's that makes it, and its Idempotency-Key.
#[derive(Clone, Debug)]
struct Send {
    key: usize,
    request: Value,
    idempotency_key: Option<&'static str>,
}

fn send() -> impl Strategy<Value = Send> {
    let platform = select(&["claude", "claude", "claude", "claude", "gemini", "slow", "bard"][..]);
    let amount = prop_oneof![20 => 100..=900_i64, 1 => Just(99), 1 => Just(100_001)];
    let to = select(
        &[
            None,
            None,
            None,
            Some("ann@example.com"),
            Some("Ann@Example.COM"),
            Some("bob@example.com"),
            Some("graded@example.com"),
            Some("eve+pending@example.com"),
            Some("eve+fail@example.com"),
            Some("nobody"),
        ][..],
    );
    let more = select(&["", "", "", "", "metadata", "unknown"][..]);
    let idempotency_key = select(&[None, None, None, Some("order-1"), Some("order-2"), Some("order 3")][..]);
    let key = prop_oneof![6 => Just(0_usize), 2 => Just(1_usize), 1 => Just(2_usize)];
    (key, platform, amount, to, more, idempotency_key).prop_map(
        |(key, platform, amount_cents, to, more, idempotency_key)| {
            let mut request = json!({"platform": platform, "amount_cents": amount_cents});
            if let Some(to) = to {
                request["recipient_email"] = json!(to);
            }
            match more {
                "metadata" => request["metadata"] = json!({"order": amount_cents}),
                "unknown" => request["colour"] = json!("red"),
                _ => {}
            }
            Send { key, request, idempotency_key }
        },
    )
}

/// A tenant with three keys: a plain one, one with a tier and a cap, and one that may not send. Its wallet has little
/// money and a threshold, it has two endpoints, and one customer holds a grant.
struct Side<'a> {
    tenant: Tenant<'a>,
    keys: [String; 3],
}

impl<'a> Side<'a> {
    async fn open(database: &'a Database, limit_cents: Option<i64>) -> Side<'a> {
        let tenant = database.tenant("Acme").await;
        let (_, plain) = tenant.key("staging", SCOPES).await;
        let capped = format!("{SCOPES}, tier => 'gold', cap_cents => 4000, cap_period => 'month'");
        let (_, capped) = tenant.key("staging", &capped).await;
        let (_, reader) = tenant.key("staging", "scopes => '{read}'").await;
        let (app, admin) = (database.app(&plain).await, database.admin().await);
        call(&app, "topup.adjust('start', 'USD', -900, 'other')").await;
        let first = "topup.send('claude', 100, 'graded@example.com')";
        assert_eq!(call(&app, first).await["code"], 1001);
        let graded = "select customer_id from topup.customers where tenant_id = $1";
        let graded: String = admin.query_one(graded, &[&tenant.id]).await.unwrap().get(0);
        let grant = format!(
            "topup.adjust('grant', 'USD', 5, 'gift', '{graded}', 'claude', expires_at => '2099-01-01')"
        );
        assert_eq!(call(&app, &grant).await["code"], 1000);
        let change = "update topup.balance b set low_balance_threshold = 60 from topup.tenant_environment e
                       where b.tenant_id = e.tenant_id and b.account_id = e.wallet_id and e.environment = 'staging'
                         and e.tenant_id = topup.parse_id('acct', $1)";
        admin.execute(change, &[&tenant.id]).await.unwrap();
        for (path, events) in [("all", "null"), ("some", "'{topup.delivered,topup.failed}'")] {
            let register = format!("topup.webhook_register('https://example.com/{path}', {events})");
            assert_eq!(call(admin_as(&admin, &plain).await, &register).await["code"], 1000);
        }
        if limit_cents.is_some() {
            let limit = "update topup.tenant_environment set spending_limit_cents = $2, spending_limit_duration = 'daily',
                                spending_limit_strategy = 'sliding' where tenant_id = topup.parse_id('acct', $1)";
            admin.execute(limit, &[&tenant.id, &limit_cents]).await.unwrap();
        }
        Side { tenant, keys: [plain, capped, reader] }
    }

    /// Everything that the tenant has, in order, without what no two runs have in common.
    async fn rows(&self, admin: &Session) -> Vec<String> {
        let mut rows = Vec::new();
        for query in ROWS {
            let found = admin.query(query, &[&self.tenant.id]).await.unwrap();
            rows.push(query.to_owned());
            rows.extend(found.iter().map(|row| without_chance(&row.get::<_, String>(0))));
        }
        rows
    }
}

async fn admin_as<'a>(admin: &'a Session, key: &str) -> &'a Session {
    let settings = "select set_config('topup.api_key', $1, false), set_config('topup.allow_private_webhooks', 'on', false)";
    admin.execute(settings, &[&key]).await.unwrap();
    admin
}

const ROWS: [&str; 9] = [
    "select concat_ws(' ', a.kind, a.name, c.email, b.balance, b.version, b.next_due_at is null)
       from topup.account a join topup.balance b using (tenant_id, account_id)
       left join topup.customer c using (tenant_id, customer_id)
      where a.tenant_id = topup.parse_id('acct', $1) order by 1",
    "select concat_ws(' ', t.kind, t.top_up_id = t.transaction_id, t.reference, t.environment, a.kind, a.name, e.amount,
                      e.account_version, e.balance_after)
       from topup.transaction t join topup.entry e using (tenant_id, transaction_id)
       join topup.account a using (tenant_id, account_id)
      where tenant_id = topup.parse_id('acct', $1) order by t.transaction_id, a.kind, e.amount",
    "select concat_ws(' ', t.status, t.platform, t.amount_cents, t.cost_cents, t.discount_bps, t.recipient_email, t.metadata,
                      t.voucher_code, t.account_id is null, t.fails_at - t.created_at, t.ended_at is null, k.tier)
       from topup.top_up t join topup.key k using (tenant_id, key_id)
      where tenant_id = topup.parse_id('acct', $1) order by t.transaction_id",
    "select concat_ws(' ', k.tier, u.cost_cents, u.list_cents, u.day)
       from topup.key_usage u join topup.key k using (tenant_id, key_id)
      where tenant_id = topup.parse_id('acct', $1) order by 1",
    "select concat_ws(' ', o.type, o.transaction_id is null, o.body is null, b.body) from topup.outbox o
      cross join lateral topup.body_of(
                o.tenant_id, o.environment, o.event_id, o.type, o.transaction_id, o.body, o.new_balance_cents, o.created_at) b
      where o.tenant_id = topup.parse_id('acct', $1) order by o.event_id",
    "select concat_ws(' ', w.url, o.type, d.retry_schedule_s, d.due_at - o.created_at)
       from topup.outbox o
      cross join lateral topup.deliveries_of(tenant_id, environment, event_id, type, created_at, endpoint_ids) d
       join topup.webhook_endpoint w using (tenant_id, environment, endpoint_id)
      where o.tenant_id = topup.parse_id('acct', $1) order by o.event_id, d.delivery_id",
    "select concat_ws(' ', i.key, i.http_status, i.expires_at, i.request_hash, i.reply) from topup.idempotency i
      where i.tenant_id = topup.parse_id('acct', $1) and i.namespace = 'key' order by 1",
    "select concat_ws(' ', c.email, c.name) from topup.customer c where c.tenant_id = topup.parse_id('acct', $1)
      order by c.customer_id",
    "select concat_ws(' ', g.remaining, g.expires_at, g.is_open) from topup.credit_grant g
      where g.tenant_id = topup.parse_id('acct', $1) order by g.grant_id",
];

/// A text without ids, vouchers and times.
fn without_chance(text: &str) -> String {
    let is_word = |symbol: char| symbol.is_ascii_alphanumeric() || "_-:.".contains(symbol);
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|symbol| is_word(symbol) != is_word(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        let is_id = word.split_once('_').is_some_and(|(_, id)| id.len() == 26);
        let is_time = word.len() == 24 && word.ends_with('Z') && word.contains('T');
        plain.push_str(if is_id || is_time || word.starts_with("ATU-") { "…" } else { word });
        rest = after;
    }
    plain
}

/// One after the other, each in a transaction of its own.
async fn singly(gateway: &Session, keys: &[String], sends: &[Send]) -> Vec<Value> {
    let mut replies = Vec::new();
    for send in sends {
        let query = "select body from topup.call($1, 'send', $2, $3)";
        let (key, request) = (&keys[send.key], send.request.to_string());
        let row = gateway.query_one(query, &[key, &request, &send.idempotency_key]).await.unwrap();
        replies.push(serde_json::from_str(row.get(0)).unwrap());
    }
    replies
}

/// As batches of the wire.
async fn by_call_many(gateway: &Session, keys: &[String], sends: &[Send]) -> Vec<Value> {
    let mut replies = Vec::new();
    for sends in sends.chunks(17) {
        let api_keys: Vec<&str> = sends.iter().map(|send| keys[send.key].as_str()).collect();
        let requests: Vec<String> = sends.iter().map(|send| send.request.to_string()).collect();
        let idempotency_keys: Vec<Option<&str>> = sends.iter().map(|send| send.idempotency_key).collect();
        let (operations, ips) = (vec!["send"; sends.len()], vec![None::<&str>; sends.len()]);
        let query = "select body from topup.call_many($1, $2, $3, $4, $5)";
        let rows = gateway
            .query(query, &[&api_keys, &operations, &requests, &idempotency_keys, &ips])
            .await
            .unwrap();
        replies.extend(rows.iter().map(|row| serde_json::from_str::<Value>(row.get(0)).unwrap()));
    }
    replies
}

/// As `send_many`, a call for each run of one key.
async fn by_send_many(database: &Database, keys: &[String], sends: &[Send]) -> Vec<Value> {
    let mut replies = Vec::new();
    for sends in sends.chunk_by(|a, b| a.key == b.key) {
        let app = database.app(&keys[sends[0].key]).await;
        let request = |send: &Send| {
            let mut request = send.request.clone();
            if let Some(key) = send.idempotency_key {
                request["idempotency_key"] = json!(key);
            }
            request
        };
        let requests: Value = sends.iter().map(request).collect();
        let rows = app.query("select topup.send_many($1)", &[&requests]).await.unwrap();
        replies.extend(rows.iter().map(|row| row.get::<_, Value>(0)));
    }
    replies
}

/// Sends that reach every code of a send, whatever chance brings after them.
fn tour() -> Vec<Send> {
    let send = |key, platform: &str, amount_cents: i64| Send {
        key,
        request: json!({"platform": platform, "amount_cents": amount_cents}),
        idempotency_key: None,
    };
    let mut sends = vec![
        send(0, "claude", 100),
        send(0, "slow", 100),
        send(0, "bard", 100),
        send(0, "claude", 99),
        send(2, "claude", 100),
    ];
    for (field, value) in [("colour", "red"), ("recipient_email", "nobody")] {
        let mut odd = send(0, "claude", 100);
        odd.request[field] = json!(value);
        sends.push(odd);
    }
    for amount_cents in [100, 200] {
        sends.push(Send { idempotency_key: Some("order-1"), ..send(0, "claude", amount_cents) });
    }
    sends.extend(vec![send(1, "claude", 900); 6]);
    sends.extend(vec![send(0, "claude", 900); 12]);
    sends
}

#[tokio::test]
async fn a_batch_leaves_what_single_sends_leave() {
    let database = Database::new().await;
    let (admin, gateway) = (database.admin().await, database.gateway().await);
    admin.batch_execute("select topup.set_platform('slow', 'Slow', delivery => 'deferred')").await.unwrap();
    let mut codes = std::collections::BTreeSet::new();
    for round in 0..ROUNDS {
        let chance = || vec(send(), SENDS).new_tree(&mut TestRunner::default()).unwrap().current();
        let sends = if round == 0 { tour() } else { chance() };
        let limit_cents = (round % 3 == 2).then_some(6000);
        let mut outcomes = Vec::new();
        for way in 0..3 {
            let side = Side::open(&database, limit_cents).await;
            let replies = match way {
                0 => singly(&gateway, &side.keys, &sends).await,
                1 => by_call_many(&gateway, &side.keys, &sends).await,
                _ => by_send_many(&database, &side.keys, &sends).await,
            };
            codes.extend(replies.iter().map(|reply| reply["code"].as_i64().unwrap()));
            // As values, for jsonb keeps no order of fields.
            let plain = |reply: &Value| without_chance(&reply.to_string()).parse::<Value>().unwrap();
            let replies: Vec<Value> = replies.iter().map(plain).collect();
            outcomes.push((replies, side.rows(&admin).await));
        }
        for (way, outcome) in outcomes.iter().enumerate().skip(1) {
            assert_eq!(outcome.0, outcomes[0].0, "replies, way {way}: {sends:#?}");
            assert_eq!(outcome.1, outcomes[0].1, "rows, way {way}: {sends:#?}");
        }
    }
    let wanted = [1001, 1002, 2000, 2002, 2003, 2004, 2005, 2006, 2007, 2008];
    assert!(wanted.iter().all(|code| codes.contains(code)), "{codes:?}");
    database.check().await;
}

/// A repetition is the first reply, a refusal leaves no trace, and what is asked for between sends sees them.
#[tokio::test]
async fn other_calls_of_a_batch_see_the_sends_before_them() {
    let database = Database::new().await;
    let (key, gateway) = (database.staging_key().await, database.gateway().await);
    let send = r#"{"platform":"claude","amount_cents":1000}"#;
    let calls = [("send", send), ("send", send), ("balance", "{}"), ("send", send), ("balance", "{}")];
    let (operations, requests): (Vec<&str>, Vec<&str>) = calls.into_iter().unzip();
    let none = vec![None::<&str>; calls.len()];
    let query = "select body from topup.call_many($1, $2, $3, $4, $4)";
    let keys = vec![key.as_str(); calls.len()];
    let rows = gateway.query(query, &[&keys, &operations, &requests, &none]).await.unwrap();
    let replies: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
    let balances: Vec<&Value> = replies
        .iter()
        .map(|reply| &reply["data"])
        .map(|data| {
            if data["balance_cents"].is_null() { &data["new_balance_cents"] } else { &data["balance_cents"] }
        })
        .collect();
    assert_eq!(balances, [99_000, 98_000, 98_000, 97_000, 97_000]);
    database.check().await;
}
