//! Top-ups that customers pay for: the checkout, what the gateway reports of it, and the credit, which comes once.

use crate::support::{Cashier, Till, call, card_fields, digits, report_to, sql_state};
use serde_json::{Value, json};

const NO_TOP_UP: &str = "top_00000000000000000000000000";

#[tokio::test]
async fn a_top_up_is_credited_when_the_provider_says_paid_and_not_before() {
    let cashier = Cashier::open().await;
    cashier.listen().await;
    let (id, token) = cashier.begun("25.5", "description => 'Video credits'").await;
    assert_eq!(cashier.status(&id).await, "initiated");
    let view = cashier.view(&token).await;
    let shown = |field: &str| view[field].clone();
    assert_eq!((shown("payment_id"), shown("status")), (json!(id), json!("initiated")), "{view}");
    assert_eq!((shown("amount").to_string(), shown("amount_minor")), ("25.5".to_owned(), json!(2550)));
    assert_eq!((shown("currency"), shown("asset")), (json!("USD"), json!("USD")));
    assert_eq!((shown("merchant_name"), shown("provider")), (json!("Acme"), json!("test")));
    assert_eq!(shown("customer_email"), "ann@example.com");
    assert_eq!((shown("card"), shown("failure")), (Value::Null, Value::Null));

    assert_eq!(cashier.begin(&token, None).await["begun"], true);
    assert_eq!(cashier.status(&id).await, "pending");
    assert!(cashier.claim(60).await.is_empty(), "there is nothing to ask the test provider");
    let paid = cashier.report(&id, "succeeded", json!({"amount_minor": 2550, "currency": "usd"})).await;
    assert_eq!((&paid["status"], &paid["changed"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(paid["return_url"], "https://shop.example/ok");
    assert_eq!(
        (cashier.bank.balance().await, cashier.status(&id).await),
        ("25.5".into(), json!("succeeded"))
    );
    assert_eq!(cashier.bank.total("cash").await, "-1025.5", "play money, and what was paid");
    let events = cashier.events("wallet.topup.succeeded").await;
    assert_eq!(events.len(), 1);
    assert!(events[0]["transaction_id"].as_str().unwrap().starts_with("txn_"));
    let told = &events[0]["data"];
    assert_eq!(
        (&told["id"], &told["account_id"], &told["origin"]),
        (&json!(id), &json!("default:USD"), &json!("manual"))
    );
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn paid_credit_is_a_grant_for_a_year_or_as_long_as_was_asked() {
    let cashier = Cashier::open().await;
    for more in ["", "credit_expires_at => '2090-01-01T00:00:00Z'"] {
        let (id, _) = cashier.begun("10", more).await;
        cashier.report(&id, "succeeded", json!({})).await;
    }
    let grants = call(&cashier.bank.app, &format!("topup.grant_list('{}')", cashier.bank.customer)).await;
    let items = grants["data"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{grants}");
    assert!(items.iter().all(|item| item["purpose"] == "paid"), "{grants}");
    assert_eq!(items[0]["expires_at"], "2090-01-01T00:00:00.000Z");
    let year = jiff::Timestamp::now().as_millisecond() + 365 * 86_400_000;
    let expires: jiff::Timestamp = items[1]["expires_at"].as_str().unwrap().parse().unwrap();
    assert!((expires.as_millisecond() - year).abs() <= 2 * 86_400_000, "{expires}");
}

#[tokio::test]
async fn an_asset_is_bought_at_the_told_rate_or_at_its_own() {
    let cashier = Cashier::open().await;
    let app = &cashier.bank.app;
    let rates = r#"[{"source": "USD", "rate": 0.00003}]"#;
    call(app, &format!("topup.asset_create('TOK', 'Tokens', 2, rates => '{rates}')")).await;
    for (rate, credit) in [("", "850000"), (r#", "exchange_rate": 100000.123"#, "2550003.14")] {
        let destination = format!(r#"{{"asset": "TOK", "account_name": "ai"{rate}}}"#);
        let (id, token) = cashier.begun("25.5", &format!("destination => '{destination}'")).await;
        let view = cashier.view(&token).await;
        assert_eq!(view["credit"].to_string(), credit, "{view}");
        cashier.report(&id, "succeeded", json!({})).await;
    }
    let account = call(app, &format!("topup.wallet_account('{}', 'ai:TOK')", cashier.bank.customer)).await;
    assert_eq!(account["data"]["available"].to_string(), "3400003.14", "{account}");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_success_that_is_told_again_changes_nothing() {
    let cashier = Cashier::open().await;
    let (id, _) = cashier.begun("10", "").await;
    let first = json!({"provider_payment_id": "pi_1", "event_id": "evt_1"});
    assert_eq!(cashier.report(&id, "succeeded", first.clone()).await["changed"], true);
    let before = cashier.bank.database.contents().await;
    assert_eq!(cashier.report(&id, "succeeded", first).await["changed"], false);
    for result in ["succeeded", "declined", "canceled", "expired"] {
        let again = cashier.report(&id, result, json!({})).await;
        assert_eq!((&again["changed"], &again["status"]), (&json!(false), &json!("succeeded")), "{result}");
    }
    let by_provider = json!({"provider": "test", "provider_payment_id": "pi_1", "result": "succeeded"});
    assert_eq!(report_to(&cashier.gateway, &by_provider).await["payment_id"], id.as_str());
    assert!(cashier.bank.database.contents().await == before);
    let unknown = json!({"provider": "stripe", "provider_payment_id": "pi_1", "result": "succeeded"});
    assert_eq!(report_to(&cashier.gateway, &unknown).await, Value::Null, "another provider's id");
    assert_eq!(cashier.bank.balance().await, "10");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_decline_leaves_the_checkout_open_and_is_told() {
    let cashier = Cashier::open().await;
    let (id, token) = cashier.begun("10", "").await;
    let why = json!({"code": "insufficient_funds", "message": "Your card has insufficient funds."});
    let declined = cashier.report(&id, "declined", why.clone()).await;
    assert_eq!((&declined["status"], &declined["failure"]), (&json!("pending"), &why), "{declined}");
    assert_eq!(cashier.view(&token).await["failure"], why);
    let seen = call(&cashier.bank.app, &format!("topup.top_up_get('{id}')")).await;
    assert_eq!(seen["data"]["failure"], why);
    assert_eq!(cashier.report(&id, "succeeded", json!({})).await["failure"], Value::Null);
    assert_eq!(cashier.bank.balance().await, "10");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_payer_who_gives_up_ends_it_and_money_that_comes_all_the_same_is_credited() {
    let cashier = Cashier::open().await;
    cashier.listen().await;
    let (id, token) = cashier.begun("10", "").await;
    let canceled = cashier.report(&id, "canceled", json!({})).await;
    assert_eq!((&canceled["status"], &canceled["failure"]["code"]), (&json!("failed"), &json!("canceled")));
    let begun = cashier.begin(&token, None).await;
    assert_eq!((&begun["begun"], &begun["status"]), (&json!(false), &json!("failed")));
    assert_eq!(cashier.report(&id, "canceled", json!({})).await["changed"], false);
    let failed = cashier.events("wallet.topup.failed").await;
    assert_eq!((failed.len(), &failed[0]["data"]["failure"]["code"]), (1, &json!("canceled")));
    // A second tab, a slow bank: the money was taken.
    assert_eq!(cashier.report(&id, "succeeded", json!({})).await["changed"], true);
    assert_eq!((cashier.bank.balance().await, cashier.status(&id).await), ("10".into(), json!("succeeded")));
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn money_of_another_amount_or_currency_is_not_credited() {
    let cashier = Cashier::open().await;
    let (id, _) = cashier.begun("10", "").await;
    for other in [json!({"amount_minor": 999}), json!({"amount_minor": 1000, "currency": "EUR"})] {
        let reported = cashier.report(&id, "succeeded", other).await;
        assert_eq!((&reported["changed"], &reported["status"]), (&json!(false), &json!("initiated")));
    }
    assert_eq!(cashier.report(&id, "succeeded", json!({"amount_minor": 1000})).await["changed"], true);
}

#[tokio::test]
async fn a_checkout_that_nobody_paid_expires() {
    let cashier = Cashier::open().await;
    cashier.listen().await;
    let (first, token) = cashier.begun("10", "").await;
    let (second, other_token) = cashier.begun("20", "").await;
    cashier.begin(&other_token, None).await;
    cashier.pass("24 hours").await;
    for (id, token) in [(&first, &token), (&second, &other_token)] {
        assert_eq!(cashier.status(id).await, "expired", "seen before it is swept");
        assert_eq!(cashier.view(token).await["status"], "expired");
        assert_eq!(cashier.begin(token, None).await["begun"], false);
    }
    cashier.run_due().await;
    assert_eq!(cashier.events("wallet.topup.failed").await.len(), 2);
    let ended = "select count(*) from topup.payment where status = 'expired' and ended_at is not null";
    assert_eq!(cashier.bank.admin.query_one(ended, &[]).await.unwrap().get::<_, i64>(0), 2);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn credit_that_ends_soon_ends_its_checkout_with_it_and_paid_late_it_stays() {
    let cashier = Cashier::open().await;
    let (id, token) =
        cashier.begun("10", "credit_expires_at => clock_timestamp() + interval '0.3 seconds'").await;
    let waited = "select pg_sleep_until(clock_timestamp() + interval '0.4 seconds')";
    cashier.bank.admin.batch_execute(waited).await.unwrap();
    assert_eq!(cashier.view(&token).await["status"], "expired");
    assert_eq!(cashier.report(&id, "succeeded", json!({})).await["changed"], true);
    assert_eq!((cashier.bank.balance().await, cashier.bank.grants().await.len()), ("10".into(), 0));
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn a_card_is_saved_once_and_replaced_by_the_next() {
    let cashier = Cashier::open().await;
    cashier.save_card("pm_1").await;
    cashier.save_card("pm_1").await;
    let (id, token) = cashier.begun("5", "").await;
    let card = json!({"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034, "provider_customer_id": "cus_1",
                      "provider_method_id": "pm_1"});
    let view = cashier.view(&token).await;
    assert_eq!((&view["card"], &view["provider_customer_id"]), (&card, &json!("cus_1")));
    let mut unsaved = card_fields("pm_2");
    unsaved["save_card"] = json!(false);
    cashier.report(&id, "succeeded", unsaved).await;
    assert_eq!(cashier.view(&token).await["card"]["provider_method_id"], "pm_1");
    cashier.save_card("pm_3").await;
    assert_eq!(cashier.view(&token).await["card"]["provider_method_id"], "pm_3");
    let kept = "select count(*), count(*) filter (where replaced_at is null) from topup.payment_method";
    let kept = cashier.bank.admin.query_one(kept, &[]).await.unwrap();
    assert_eq!((kept.get::<_, i64>(0), kept.get::<_, i64>(1)), (3, 1), "one that is saved again begins anew");
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn live_has_no_provider_until_one_is_configured() {
    let cashier = Cashier::open().await;
    let database = &cashier.bank.database;
    let key = database.tenant("Live").await.key("live", "").await.1;
    let app = database.app(&key).await;
    let made = call(&app, "topup.customer_create('Zoe')").await;
    let customer = made["data"]["id"].as_str().unwrap();
    let create =
        format!("topup.top_up_create('{customer}', 10, 'USD', 'https://a.example', 'https://a.example')");
    let before = database.contents().await;
    let refused = call(&app, &create).await;
    assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2000), &Value::Null), "{refused}");
    assert_eq!(refused["data"]["message"], "No payment provider is configured for live.");
    assert!(database.contents().await == before);
    for (provider, code) in [("test", 2000), ("stripe", 1000), ("nobody", 2000)] {
        let name = "select format('alter database %I set topup.payment_provider_live = %L', current_database(), $1::text)";
        let set: String = cashier.bank.admin.query_one(name, &[&provider]).await.unwrap().get(0);
        cashier.bank.admin.batch_execute(&set).await.unwrap();
        let app = database.app(&key).await;
        assert_eq!(call(&app, &create).await["code"], code, "test cards buy nothing in live: {provider}");
    }
    assert_eq!(sql_state(&app, "set topup.payment_provider_staging = 'stripe'").await, "42501");
}

/// Arguments that replace good ones, or are added to them: the code and the field that they are refused with.
const REFUSED: &[(&str, i64, &str)] = &[
    ("customer_id => 'cust_00000000000000000000000000'", 2000, "customer_id"),
    ("amount => 0", 2005, "amount"),
    ("amount => -10", 2005, "amount"),
    ("amount => 0.49", 2005, "amount"),
    ("amount => 10.001", 2005, "amount"),
    ("amount => 1000000", 2005, "amount"),
    ("amount => 10.5, currency => 'JPY'", 2005, "amount"),
    ("amount => 9.99, currency => 'MXN'", 2005, "amount"),
    ("amount => 174.99, currency => 'HUF'", 2005, "amount"),
    ("amount => 0.29, currency => 'GBP'", 2005, "amount"),
    ("amount => 1.99, currency => 'AED'", 2005, "amount"),
    ("amount => 10000000000, currency => 'IDR'", 2005, "amount"),
    ("amount => 'NaN'", 2000, "amount"),
    ("currency => 'TOK'", 2000, "currency"),
    ("currency => 'usd'", 2000, "currency"),
    ("return_url => 'javascript:alert(1)'", 2000, "return_url"),
    ("return_url => '/ok'", 2000, "return_url"),
    ("failure_url => 'https://a.example/' || repeat('x', 2000)", 2000, "failure_url"),
    ("failure_url => null", 2000, "failure_url"),
    ("credit_expires_at => '2020-01-01'", 2000, "credit_expires_at"),
    (r#"destination => '{"asset": "GONE"}'"#, 2000, "destination.asset"),
    (r#"destination => '{"asset": "TOK"}'"#, 2000, "destination.exchange_rate"),
    (r#"destination => '{"asset": "TOK", "exchange_rate": 0}'"#, 2000, "destination.exchange_rate"),
    (r#"destination => '{"asset": "TOK", "exchange_rate": 0.01}'"#, 2005, "amount"),
    (r#"destination => '{"asset": "USD", "account_name": "a:b"}'"#, 2000, "destination.account_name"),
    (r#"destination => '{"asset": "USD", "exchange_rate": 1.01}'"#, 2000, ""),
    (r#"metadata => '{"a": 1}'"#, 2000, "metadata.a"),
    ("description => repeat('x', 501)", 2000, "description"),
];

#[tokio::test]
async fn what_no_checkout_can_be_made_of_is_refused_and_writes_nothing() {
    let cashier = Cashier::open().await;
    let app = &cashier.bank.app;
    call(app, "topup.asset_create('TOK', 'Tokens', 0)").await;
    let customer = &cashier.bank.customer;
    let good = [
        format!("customer_id => '{customer}'"),
        "amount => 10".to_owned(),
        "currency => 'USD'".to_owned(),
        "return_url => 'https://a.example'".to_owned(),
        "failure_url => 'https://a.example'".to_owned(),
    ];
    let before = cashier.bank.database.contents().await;
    for (bad, code, field) in REFUSED {
        let name = |argument: &str| argument.split(" => ").next().unwrap().to_owned();
        let kept = good.iter().filter(|argument| !bad.contains(&format!("{} =>", name(argument))));
        let arguments: Vec<&str> = kept.map(String::as_str).chain([*bad]).collect();
        let reply = call(app, &format!("topup.top_up_create({})", arguments.join(", "))).await;
        let told = (&reply["code"], reply["data"]["field"].as_str().unwrap_or(""));
        assert_eq!(told, (&json!(code), *field), "{bad}: {reply}");
    }
    assert!(cashier.bank.database.contents().await == before);
    for (amount, currency) in [("10", "MXN"), ("0.3", "GBP"), ("9999999999.99", "IDR"), ("0.5", "USD")] {
        let least = format!(
            "topup.top_up_create('{customer}', {amount}, '{currency}', 'https://a.example', 'https://a.example')"
        );
        assert_eq!(call(app, &least).await["code"], 1000, "{amount} {currency}");
    }
    for missing in [NO_TOP_UP, "nothing", "in_00000000000000000000000000"] {
        let reply = call(app, &format!("topup.top_up_get('{missing}')")).await;
        assert_eq!((&reply["code"], &reply["data"]["field"]), (&json!(2000), &json!("top_up_id")));
    }
}

#[tokio::test]
async fn what_is_no_token_and_no_report_is_told_so() {
    let cashier = Cashier::open().await;
    let before = cashier.bank.database.contents().await;
    assert_eq!(cashier.view("wrong").await, Value::Null);
    assert_eq!(cashier.begin("", Some("cs_1")).await, Value::Null);
    assert_eq!(cashier.report(NO_TOP_UP, "succeeded", json!({})).await, Value::Null);
    assert_eq!(cashier.report("whk_00000000000000000000000000", "succeeded", json!({})).await, Value::Null);
    for malformed in [
        "'{}'",
        "'[]'",
        r#"'{"payment_id": "x", "result": "paid"}'"#,
        r#"'{"payment_id": 7, "result": "succeeded"}'"#,
    ] {
        sql_state(&cashier.gateway, &format!("select topup.report_payment({malformed})")).await;
    }
    for malformed in ["'{}'", "'[{}]'", r#"'[{"tenant_id": "x"}]'"#] {
        sql_state(&cashier.gateway, &format!("select topup.settle_payments({malformed})")).await;
    }
    assert!(cashier.bank.database.contents().await == before);
}

#[tokio::test]
async fn over_http_a_top_up_has_credyts_shapes() {
    let till = Till::open().await;
    let body = |amount: &str, destination: &str| {
        format!(
            r#"{{"customer_id":"{}","amount":{amount},"currency":"USD","return_url":"https://a.example/ok","failure_url":"https://a.example/no",
                "destination":{destination},"metadata":{{"order":"17"}},"surprise":1}}"#,
            till.customer
        )
    };
    let made = till.root.post_text("/top-ups", body("25.10", r#"{"asset":"USD","exchange_rate":1.0}"#)).await;
    let made = made.expect_status(201);
    assert_eq!(made.json["status"], "initiated");
    let id = made.json["id"].as_str().unwrap();
    let seen = till.root.get(&format!("/top-ups/{id}")).await.expect_status(200);
    assert_eq!(digits(&seen.text, "amount"), "25.1");
    assert_eq!(
        (&seen.json["destination"]["asset"], &seen.json["destination"]["account_name"]),
        (&json!("USD"), &json!("default"))
    );
    till.root
        .post_text("/top-ups", body("25", r#"{"asset":"USD","exchange_rate":2}"#))
        .await
        .expect_status(400);
    till.root.post_text("/top-ups", body("25", r#"{"asset":"GONE"}"#)).await.expect_status(422);
    till.root.post_text("/top-ups", body("0", "null")).await.expect_status(422);
    till.root.get(&format!("/top-ups/{NO_TOP_UP}")).await.expect_status(404);

    let once = body("7", "null");
    let keyed = async |key: &str| {
        let request =
            till.root.request(reqwest::Method::POST, "/top-ups").header("content-type", "application/json");
        till.root.send(request.header("idempotency-key", key).body(once.clone())).await.expect_status(201)
    };
    let (first, again, other) = (keyed("a").await, keyed("a").await, keyed("b").await);
    assert_eq!(first.text, again.text);
    assert_ne!(first.json["id"], other.json["id"]);
    till.shop.database.check().await;
}

/// One gateway may have test keys and live keys.
#[tokio::test]
async fn what_another_environment_or_provider_tells_is_not_believed() {
    let cashier = Cashier::open().await;
    let (id, token) = cashier.begun("10", "").await;
    cashier.begin(&token, None).await;
    let before = cashier.bank.database.contents().await;
    for elsewhere in [json!({"environment": "live"}), json!({"provider": "stripe"})] {
        assert_eq!(cashier.report(&id, "succeeded", elsewhere).await, Value::Null);
    }
    assert!(cashier.bank.database.contents().await == before);
    let own = json!({"environment": "staging", "provider": "test"});
    assert_eq!(cashier.report(&id, "succeeded", own).await["changed"], true);
    cashier.bank.database.check().await;
}

#[tokio::test]
async fn money_pays_for_one_payment() {
    let cashier = Cashier::open().await;
    let (first, _) = cashier.begun("20", "").await;
    let (second, _) = cashier.begun("20", "").await;
    let paid = json!({"provider_payment_id": "pi_1", "amount_minor": 2000});
    assert_eq!(cashier.report(&first, "succeeded", paid.clone()).await["changed"], true);
    assert_eq!(cashier.report(&second, "succeeded", paid).await["changed"], false);
    assert_eq!(
        (cashier.status(&second).await, cashier.bank.balance().await),
        (json!("initiated"), "20".into())
    );
}

#[tokio::test]
async fn the_audit_knows_credit_of_eighteen_decimals() {
    let cashier = Cashier::open().await;
    let asset = "topup.asset_create('FINE', 'Fine', 18, rates => '[{\"source\":\"USD\",\"rate\":3}]')";
    let made = call(&cashier.bank.app, asset).await;
    assert_eq!(made["code"], 1000, "{made}");
    for amount in ["25", "0.5", "1"] {
        let (id, _) = cashier.begun(amount, "destination => '{\"asset\": \"FINE\"}'").await;
        assert_eq!(cashier.report(&id, "succeeded", json!({})).await["status"], "succeeded");
    }
    cashier.bank.database.check().await;
}
