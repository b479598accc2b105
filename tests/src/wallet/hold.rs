//! Holds: credit set aside before a model is called, settled with what was used, released, or over by themselves.

use crate::support::{Bank, Client, Database, Gateway, LIMIT, call, wait_until, wire};
use reqwest::Method;
use serde_json::{Value, json};

const NO_HOLD: &str = "hold_00000000000000000000000000";

async fn settle(bank: &Bank, hold: &str, amount: &str) -> Value {
    call(&bank.app, &format!("topup.settle('{hold}', {amount})")).await
}

async fn release(bank: &Bank, hold: &str) -> Value {
    call(&bank.app, &format!("topup.release('{hold}')")).await
}

async fn status(bank: &Bank, hold: &str) -> Value {
    call(&bank.app, &format!("topup.hold_status('{hold}')")).await["data"]["status"].clone()
}

#[tokio::test]
async fn a_hold_takes_what_it_may_cost_and_settling_gives_back_the_rest() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let reply = bank.hold("4", "1 hour").await;
    assert_eq!((&reply["code"], &reply["status"]), (&json!(1000), &json!("open")), "{reply}");
    let data = &reply["data"];
    assert_eq!(
        (&data["amount"], &data["account_id"], &data["settled_amount"]),
        (&json!(4), &json!("default:USD"), &Value::Null)
    );
    assert_eq!((bank.balance().await, bank.total("held").await), ("6".to_owned(), "4".to_owned()));
    bank.database.check().await;

    let hold = data["id"].as_str().unwrap();
    let settled = settle(&bank, hold, "1.000000001").await;
    assert_eq!(
        (&settled["code"], &settled["data"]["status"]),
        (&json!(1000), &json!("settled")),
        "{settled}"
    );
    assert_eq!(settled["data"]["settled_amount"].to_string(), "1.000000001");
    assert_eq!(bank.balance().await, "8.999999999");
    assert_eq!(
        (bank.total("held").await, bank.total("revenue").await),
        ("0".to_owned(), "1.000000001".to_owned())
    );
    bank.database.check().await;
}

#[tokio::test]
async fn a_hold_never_overdraws() {
    let bank = Bank::open().await;
    let nothing = bank.hold("1", "1 hour").await;
    assert_eq!((&nothing["code"], &nothing["data"]["field"]), (&json!(2002), &json!("amount")));
    bank.adjust("10", "gift", "").await;
    bank.held("6", "1 hour").await;
    let before = bank.database.contents().await;
    assert_eq!(bank.hold("4.000000001", "1 hour").await["code"], 2002);
    assert_eq!(bank.adjust("-4.01", "other", "").await["code"], 2002);
    assert!(bank.database.contents().await == before);
    bank.held("4", "1 hour").await;
    assert_eq!(bank.balance().await, "0");
    bank.database.check().await;
}

#[tokio::test]
async fn settling_twice_is_once_and_no_ending_follows_another() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let hold = bank.held("4", "1 hour").await;
    let first = settle(&bank, &hold, "3").await;
    let again = settle(&bank, &hold, "3.0").await;
    assert_eq!((&again["code"], &again["data"]), (&json!(1000), &first["data"]));
    let other = settle(&bank, &hold, "2").await;
    assert_eq!((&other["code"], &other["status"]), (&json!(2006), &json!("settled")), "{other}");
    assert!(other["data"]["message"].as_str().unwrap().contains("settled already, with 3"), "{other}");
    assert_eq!(release(&bank, &hold).await["code"], 2006);

    let hold = bank.held("4", "1 hour").await;
    let first = release(&bank, &hold).await;
    assert_eq!((&first["code"], &first["data"]["status"]), (&json!(1000), &json!("released")));
    assert_eq!(release(&bank, &hold).await["data"], first["data"]);
    let late = settle(&bank, &hold, "1").await;
    assert_eq!((&late["code"], &late["status"]), (&json!(2006), &json!("released")), "{late}");
    assert_eq!((bank.balance().await, bank.total("revenue").await), ("7".to_owned(), "3".to_owned()));
    bank.database.check().await;
}

#[tokio::test]
async fn more_than_was_held_needs_leave_and_cover() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let hold = bank.held("4", "1 hour").await;
    let over = |amount: &str| format!("topup.settle('{hold}', {amount}, allow_over => true)");
    let refused = settle(&bank, &hold, "4.01").await;
    assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2005), &json!("amount")));
    let refused = call(&bank.app, &over("10.01")).await;
    assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2002), &json!("amount")));
    assert_eq!(status(&bank, &hold).await, "open");
    assert_eq!(call(&bank.app, &over("9")).await["data"]["settled_amount"], 9);
    assert_eq!((bank.balance().await, bank.total("revenue").await), ("1".to_owned(), "9".to_owned()));
    bank.database.check().await;
}

#[tokio::test]
async fn what_comes_back_goes_to_the_grants_it_came_from() {
    let bank = Bank::open().await;
    bank.adjust("5", "gift", "").await;
    bank.grant("4", "gift", "1 hour").await;
    bank.grant("6", "external_topup", "1 hour").await;
    let hold = bank.held("12", "1 hour").await;
    assert_eq!(
        (bank.grants().await, bank.balance().await),
        (vec!["0".to_owned(), "0".to_owned()], "3".to_owned())
    );
    assert_eq!(settle(&bank, &hold, "5").await["code"], 1000);
    assert_eq!(
        (bank.grants().await, bank.balance().await),
        (vec!["0".to_owned(), "5".to_owned()], "10".to_owned())
    );
    let hold = bank.held("7", "1 hour").await;
    assert_eq!(release(&bank, &hold).await["code"], 1000);
    assert_eq!(
        (bank.grants().await, bank.balance().await),
        (vec!["0".to_owned(), "5".to_owned()], "10".to_owned())
    );
    let hold = bank.held("1", "1 hour").await;
    let over = call(&bank.app, &format!("topup.settle('{hold}', 6, allow_over => true)")).await;
    assert_eq!(over["code"], 1000, "{over}");
    assert_eq!(
        (bank.grants().await, bank.balance().await),
        (vec!["0".to_owned(), "0".to_owned()], "4".to_owned())
    );
    bank.database.check().await;
}

#[tokio::test]
async fn credit_of_a_grant_that_expired_meanwhile_expires_when_it_comes_back() {
    let bank = Bank::open().await;
    bank.adjust("1", "gift", "").await;
    bank.grant("4", "gift", "0.5 seconds").await;
    let hold = bank.held("5", "1 hour").await;
    wait_until(LIMIT, "the grant has expired", async || {
        let expired = "select count(*) from topup.credit_grant where expires_at <= clock_timestamp()";
        (bank.admin.query_one(expired, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    assert_eq!(settle(&bank, &hold, "1.5").await["code"], 1000, "what is held is not lost");
    assert_eq!((bank.balance().await, bank.grants().await), ("1".to_owned(), vec!["0".to_owned()]));
    assert_eq!(
        (bank.total("breakage").await, bank.total("revenue").await),
        ("2.5".to_owned(), "1.5".to_owned())
    );
    bank.database.check().await;
}

#[tokio::test]
async fn a_hold_that_expires_is_released_at_its_instant_swept_or_not() {
    let bank = Bank::open().await;
    bank.grant("10", "gift", "1 hour").await;
    let hold = bank.held("4", "0.3 seconds").await;
    wait_until(LIMIT, "the hold is over", async || (bank.balance().await == "10").then_some(())).await;
    assert_eq!((status(&bank, &hold).await, bank.grants().await), (json!("expired"), vec!["10".to_owned()]));
    assert_eq!(bank.total("held").await, "4", "nobody has swept it");
    bank.database.check().await;
    let late = settle(&bank, &hold, "1").await;
    assert_eq!((&late["code"], &late["status"]), (&json!(2006), &json!("expired")), "{late}");
    assert_eq!(release(&bank, &hold).await["data"]["status"], "expired");
    assert_eq!((bank.total("held").await, bank.balance().await), ("0".to_owned(), "10".to_owned()));
    let when = "select bool_and(h.ended_at = h.expires_at and t.created_at = h.expires_at)
                  from topup.hold h join topup.transaction t on t.transaction_id = h.end_transaction_id";
    assert!(bank.admin.query_one(when, &[]).await.unwrap().get::<_, bool>(0));
    bank.database.check().await;
}

#[tokio::test]
async fn the_worker_ends_holds_of_idle_accounts() {
    let bank = Bank::open().await;
    let _gateway = Gateway::start(&bank.database).await;
    bank.adjust("10", "gift", "").await;
    bank.held("4", "0.3 seconds").await;
    wait_until(LIMIT, "the hold is swept", async || (bank.total("held").await == "0").then_some(())).await;
    let due = "select count(*) from topup.balance where next_due_at is not null";
    assert_eq!(bank.admin.query_one(due, &[]).await.unwrap().get::<_, i64>(0), 0);
    bank.database.check().await;
}

#[tokio::test]
async fn a_hold_is_made_once_for_its_transaction_id() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let soon: String =
        bank.admin.query_one("select (now() + interval '1 hour')::text", &[]).await.unwrap().get(0);
    let hold = |amount: &str| format!("topup.hold('{}', 'USD', {amount}, '{soon}', 'call-1')", bank.customer);
    let first = call(&bank.app, &hold("4")).await;
    assert_eq!(
        (&first["code"], &first["data"]["transaction_id"]),
        (&json!(1000), &json!("call-1")),
        "{first}"
    );
    assert_eq!(call(&bank.app, &hold("4.0")).await, first);
    assert_eq!(call(&bank.app, &hold("5")).await["code"], 2006);
    assert_eq!(bank.balance().await, "6");
    assert_eq!(release(&bank, first["data"]["id"].as_str().unwrap()).await["code"], 1000);
    assert_eq!(call(&bank.app, &hold("4")).await, first, "for good");
    assert_eq!(bank.balance().await, "10");
    bank.database.check().await;
}

#[tokio::test]
async fn holds_that_make_no_sense_are_refused_and_change_nothing() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let hold = bank.held("1", "1 hour").await;
    let before = bank.database.contents().await;
    let in_days = async |days: i32| -> String {
        let query = "select topup.rfc3339(now() + make_interval(days => $1))";
        bank.admin.query_one(query, &[&days]).await.unwrap().get(0)
    };
    let soon = in_days(1).await;
    for (field, value, code) in [
        ("amount", json!(0), 2005),
        ("amount", json!(-1), 2005),
        ("amount", json!(0.0000000001), 2005),
        ("amount", json!("1"), 2000),
        ("asset", json!("TOK"), 2000),
        ("asset", json!("usd"), 2000),
        ("account_name", json!("a:b"), 2000),
        ("customer_id", json!("cust_00000000000000000000000000"), 2000),
        ("customer_id", json!("ann@example.com"), 2000),
        ("expires_at", json!(in_days(0).await), 2000),
        ("expires_at", json!(in_days(32).await), 2000),
        ("expires_at", json!("tomorrow"), 2000),
        ("transaction_id", json!("with space"), 2000),
        ("description", json!("x".repeat(501)), 2000),
    ] {
        let mut request =
            json!({"customer_id": bank.customer, "asset": "USD", "amount": 1, "expires_at": soon});
        request[field] = value;
        let (_, refused) = wire(&bank.admin, &bank.key, "hold", &request).await;
        assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(code), &json!(field)), "{request}");
    }
    for amount in ["-1", "0.0000000001", "null", "'NaN'"] {
        assert_eq!(settle(&bank, &hold, amount).await["data"]["field"], "amount", "{amount}");
    }
    for unknown in [NO_HOLD, "hold_1", bank.customer.as_str()] {
        assert_eq!(settle(&bank, unknown, "1").await["data"]["field"], "hold_id");
        assert_eq!(release(&bank, unknown).await["data"]["field"], "hold_id");
    }
    let infinite = format!("topup.hold('{}', 'USD', 1, 'infinity')", bank.customer);
    assert_eq!(call(&bank.app, &infinite).await["data"]["field"], "expires_at");
    assert!(bank.database.contents().await == before);
}

#[tokio::test]
async fn a_hold_of_nearly_all_that_an_account_can_have_ends_like_any_other() {
    let bank = Bank::open().await;
    bank.adjust("1000000000000000000", "gift", "").await;
    let (first, second) =
        (bank.held("400000000000000000", "1 hour").await, bank.held("600000000000000000", "1 hour").await);
    assert_eq!(
        bank.adjust("1", "gift", "").await["code"],
        2005,
        "what is held comes back and needs its room"
    );
    assert_eq!(release(&bank, &first).await["code"], 1000);
    assert_eq!(settle(&bank, &second, "1").await["code"], 1000);
    assert_eq!(bank.balance().await, "999999999999999999");
    bank.database.check().await;
}

#[tokio::test]
async fn an_account_has_a_thousand_open_holds_and_the_worker_ends_them_all() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let many = format!(
        "select count(*) filter (where topup.hold('{}', 'USD', 0.001, clock_timestamp() + interval '1 hour') ->> 'code' = '1000')
           from generate_series(1, 1001)",
        bank.customer
    );
    assert_eq!(bank.app.query_one(&many, &[]).await.unwrap().get::<_, i64>(0), 1000);
    let end = "update topup.hold set expires_at = clock_timestamp();
               update topup.balance set next_due_at = clock_timestamp() where next_due_at is not null";
    bank.admin.batch_execute(end).await.unwrap();
    bank.admin.batch_execute("set statement_timeout = '10s'").await.unwrap();
    while bank.admin.query_one("select topup.run_due(100)", &[]).await.unwrap().get::<_, i32>(0) > 0 {}
    assert_eq!((bank.balance().await.as_str(), bank.total("held").await.as_str()), ("10", "0"));
    bank.database.check().await;
}

#[tokio::test]
async fn a_hold_rolls_back_with_the_apps_own_transaction() {
    let bank = Bank::open().await;
    bank.grant("10", "gift", "1 hour").await;
    bank.app.batch_execute("begin").await.unwrap();
    let hold = bank.held("4", "1 hour").await;
    assert_eq!(settle(&bank, &hold, "4").await["code"], 1000);
    bank.app.batch_execute("rollback").await.unwrap();
    assert_eq!((bank.balance().await, bank.grants().await), ("10".to_owned(), vec!["10".to_owned()]));
    assert_eq!(release(&bank, &hold).await["code"], 2000);
    bank.database.check().await;
}

#[tokio::test]
async fn what_belongs_to_another_tenant_or_customer_is_not_there() {
    let bank = Bank::open().await;
    bank.adjust("10", "gift", "").await;
    let hold = bank.held("4", "1 hour").await;
    let stranger = bank.database.tenant("Other").await.key("staging", "").await.1;
    let send = json!({"platform": "claude", "amount_cents": 100, "recipient_email": "eve@example.com"});
    wire(&bank.admin, &bank.key, "send", &send).await;
    let eve = "select customer_id from topup.customers where email = 'eve@example.com'";
    let eve: String = bank.admin.query_one(eve, &[]).await.unwrap().get(0);
    let before = bank.database.contents().await;
    for (operation, request) in [
        ("settle", json!({"hold_id": hold, "amount": 1})),
        ("release", json!({"hold_id": hold})),
        ("hold_status", json!({"hold_id": hold})),
    ] {
        let (status, reply) = wire(&bank.admin, &stranger, operation, &request).await;
        assert_eq!((status, &reply["data"]["field"]), (404, &json!("hold_id")), "{operation}");
        let mut of_another = request.clone();
        of_another["customer_id"] = json!(eve);
        let (status, reply) = wire(&bank.admin, &bank.key, operation, &of_another).await;
        assert_eq!((status, &reply["data"]["field"]), (404, &json!("hold_id")), "{operation}");
    }
    let grants = json!({"customer_id": bank.customer, "account_id": "default:USD"});
    assert_eq!(wire(&bank.admin, &stranger, "grant_list", &grants).await.0, 404);
    assert!(bank.database.contents().await == before);
}

/// One request to the wallet surface, and the status that it must have.
async fn ask(client: &Client, method: Method, path: &str, body: Option<Value>, status: u16) -> Value {
    let mut request = client.request(method, path);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let reply = client.send(request).await;
    assert_eq!(reply.status, status, "{path}: {}", reply.text);
    reply.json
}

#[tokio::test]
async fn holds_and_grants_over_http_have_the_shapes_of_the_surface() {
    let bank = Bank::with_gateway().await;
    let (bank, gateway) = (&bank.0, &bank.1);
    bank.grant("10.5", "gift", "1 hour").await;
    let client = gateway.client(&bank.key).at_root();
    let wallet = format!("/customers/{}/wallet", bank.customer);
    let soon = "select topup.rfc3339(now() + interval '1 hour')";
    let soon: String = bank.admin.query_one(soon, &[]).await.unwrap().get(0);
    let body = json!({"asset": "USD", "amount": 4.25, "expires_at": soon, "unknown": 1, "description": null});
    let hold = ask(&client, Method::POST, &format!("{wallet}/holds"), Some(body.clone()), 201).await;
    assert_eq!(
        (&hold["status"], &hold["amount"], &hold["customer_id"]),
        (&json!("open"), &json!(4.25), &json!(bank.customer))
    );
    let path = format!("{wallet}/holds/{}", hold["id"].as_str().unwrap());
    assert_eq!(ask(&client, Method::GET, &path, None, 200).await, hold);
    let settled =
        ask(&client, Method::POST, &format!("{path}/settle"), Some(json!({"amount": 1.5})), 200).await;
    assert_eq!((&settled["status"], &settled["settled_amount"]), (&json!("settled"), &json!(1.5)));
    let problem =
        ask(&client, Method::POST, &format!("{path}/settle"), Some(json!({"amount": 2})), 409).await;
    assert_eq!((&problem["status"], &problem["code"]), (&json!(409), &json!(2006)));
    let mut poor = body.clone();
    poor["amount"] = json!(9.01);
    let problem = ask(&client, Method::POST, &format!("{wallet}/holds"), Some(poor), 422).await;
    assert!(problem["errors"]["amount"][0].is_string(), "{problem}");
    let hold = ask(&client, Method::POST, &format!("{wallet}/holds"), Some(body), 201).await;
    let path = format!("{wallet}/holds/{}", hold["id"].as_str().unwrap());
    let released = ask(&client, Method::POST, &format!("{path}/release"), Some(json!({})), 200).await;
    assert_eq!(released["status"], "released");
    ask(&client, Method::GET, &format!("{wallet}/holds/{NO_HOLD}"), None, 404).await;

    let grants = format!("{wallet}/default%3AUSD/grants?limit=5&exclude_expired=true");
    let page = ask(&client, Method::GET, &grants, None, 200).await;
    assert_eq!((&page["total_count"], &page["limit"], &page["offset"]), (&json!(1), &json!(5), &json!(0)));
    let item = &page["items"][0];
    assert_eq!((&item["available"], &item["purpose"]), (&json!(9), &json!("promotional")));
    assert!(
        ["id", "effective_at", "expires_at", "created_at"].iter().all(|name| item[*name].is_string()),
        "{item}"
    );
    ask(&client, Method::GET, &format!("{wallet}/none%3AUSD/grants"), None, 404).await;
    bank.database.check().await;
}

impl Bank {
    async fn with_gateway() -> (Bank, Gateway) {
        let database = Database::new().await;
        let key = database.staging_key().await;
        let gateway = Gateway::start(&database).await;
        (Bank::with(database, key).await, gateway)
    }
}
