//! Adjust and fund: money from outside and corrections, each once, exact, and never beyond what is there.

use crate::support::{Database, Tenant, as_envelope, call, wire};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// A staging tenant with one customer.
struct Shop {
    admin: Client,
    key: String,
    customer: String,
    // Dropped last: the database of the sessions above.
    database: Database,
}

async fn shop() -> Shop {
    let database = Database::new().await;
    let admin = database.admin().await;
    let key = database.staging_key().await;
    let send = json!({"platform": "claude", "amount_cents": 100, "recipient_email": "ann@example.com"});
    assert_eq!(wire(&admin, &key, "send", &send).await.1["code"], 1001);
    let customer = admin.query_one("select customer_id from topup.customers", &[]).await.unwrap().get(0);
    Shop { admin, key, customer, database }
}

impl Shop {
    /// Adjusts the customer's default account; `amount` is a JSON number as text.
    async fn adjust(&self, id: &str, amount: &str) -> Value {
        let (customer, key) = (&self.customer, &self.key);
        let request = format!(
            r#"{{"transaction_id":"{id}","asset":"USD","amount":{amount},"reason":"gift","customer_id":"{customer}"}}"#
        );
        let query = "select status, body from topup.call($1, 'adjust', $2)";
        let row = self.admin.query_one(query, &[key, &request]).await.unwrap();
        as_envelope(row.get(0), row.get(1))
    }

    async fn ask(&self, request: Value) -> Value {
        wire(&self.admin, &self.key, "adjust", &request).await.1
    }

    /// A customer's account as the journal has it.
    async fn balance(&self, account_name: &str) -> String {
        let query = "select balance::text from topup.accounts where kind = 'customer' and name = $1";
        self.admin.query_one(query, &[&account_name]).await.unwrap().get(0)
    }

    async fn wallet_cents(&self) -> Value {
        wire(&self.admin, &self.key, "balance", &json!({})).await.1["data"]["balance_cents"].clone()
    }
}

#[tokio::test]
async fn an_adjustment_is_done_once_for_its_transaction_id() {
    let shop = shop().await;
    let first = shop.adjust("gift-1", "12.5").await;
    assert_eq!((&first["code"], &first["data"]["id"]), (&json!(1000), &json!("gift-1")));
    assert_eq!(
        (&first["data"]["account_id"], &first["data"]["asset"]),
        (&json!("default:USD"), &json!("USD"))
    );
    assert_eq!(shop.adjust("gift-1", "12.5").await, first);
    assert_eq!(shop.adjust("gift-1", "12.6").await["code"], 2006);
    assert_eq!(shop.balance("default").await, "12.5");
    shop.database.check().await;
}

#[tokio::test]
async fn two_spellings_of_one_amount_are_one_adjustment() {
    let shop = shop().await;
    let first = shop.adjust("gift-1", "12.5").await;
    assert_eq!(shop.adjust("gift-1", "12.500").await, first);
    assert_eq!(shop.balance("default").await, "12.5");
}

#[tokio::test]
async fn the_same_transaction_id_with_any_other_content_is_refused() {
    let shop = shop().await;
    let request = |field: &str, value: Value| {
        let mut request = json!({"transaction_id": "g", "asset": "USD", "amount": 1, "reason": "gift",
                                 "customer_id": shop.customer});
        request[field] = value;
        request
    };
    assert_eq!(shop.ask(request("amount", json!(1))).await["code"], 1000);
    let before = shop.database.contents().await;
    for (field, value) in [
        ("amount", json!(-1)),
        ("reason", json!("other")),
        ("account_name", json!("claude")),
        ("description", json!("again")),
        ("metadata", json!({"a": 1})),
    ] {
        assert_eq!(shop.ask(request(field, value)).await["code"], 2006, "{field}");
    }
    assert!(shop.database.contents().await == before);
}

#[tokio::test]
async fn amounts_are_exact_to_nine_decimals() {
    let shop = shop().await;
    for (id, amount) in [("a", "0.1"), ("b", "0.2"), ("c", "0.000000001"), ("d", "999999999.999999999")] {
        assert_eq!(shop.adjust(id, amount).await["code"], 1000, "{amount}");
    }
    assert_eq!(shop.balance("default").await, "1000000000.3");
    assert_eq!(shop.adjust("e", "-0.300000001").await["code"], 1000);
    assert_eq!(shop.balance("default").await, "999999999.999999999");
    assert_eq!(shop.adjust("f", "0.0000000010000").await["code"], 1000);
    assert_eq!(shop.balance("default").await, "1000000000");
    for (id, finer) in [("g", "0.0000000001"), ("h", "1.1234567891"), ("i", "0"), ("j", "-0.0")] {
        let refused = shop.adjust(id, finer).await;
        assert_eq!(
            (&refused["code"], &refused["data"]["field"]),
            (&json!(2005), &json!("amount")),
            "{finer}"
        );
    }
    shop.database.check().await;
}

/// Python writes 0.00005 as 5e-05, and JavaScript 0.0000001 as 1e-7.
#[tokio::test]
async fn an_amount_may_be_written_with_an_exponent() {
    let shop = shop().await;
    for (id, amount, balance) in [
        ("a", "5e-05", "0.00005"),
        ("b", "1e-7", "0.0000501"),
        ("c", "1.5E3", "1500.0000501"),
        ("d", "-1500e0", "0.0000501"),
    ] {
        assert_eq!(shop.adjust(id, amount).await["code"], 1000, "{amount}");
        assert_eq!(shop.balance("default").await, balance, "after {amount}");
    }
    for amount in ["1e30", "1e-10", "1e999999999", "1e-999999999", "0e5"] {
        let refused = shop.adjust("e", amount).await;
        assert!([2000, 2005].contains(&refused["code"].as_i64().unwrap()), "{amount}: {refused}");
        assert_eq!(refused["data"]["field"], "amount", "{amount}");
    }
    shop.database.check().await;
}

#[tokio::test]
async fn the_reply_shows_amount_and_balance_with_all_their_digits() {
    let shop = shop().await;
    let request = format!(
        r#"{{"transaction_id":"a","asset":"USD","amount":123456789.123456789,"reason":"gift","customer_id":"{}"}}"#,
        shop.customer
    );
    let query = "select body from topup.call($1, 'adjust', $2)";
    let body: String = shop.admin.query_one(query, &[&shop.key, &request]).await.unwrap().get(0);
    assert!(body.contains(r#""amount":123456789.123456789,"balance":123456789.123456789,"#), "{body}");
}

#[tokio::test]
async fn an_adjustment_never_takes_more_than_there_is() {
    let shop = shop().await;
    shop.adjust("a", "10").await;
    let before = shop.database.contents().await;
    assert_eq!(shop.adjust("b", "-10.000000001").await["code"], 2002);
    let own = json!({"transaction_id": "c", "asset": "USD", "amount": -1000, "reason": "other"});
    assert_eq!(shop.ask(own).await["code"], 2002);
    let other_account = json!({"transaction_id": "d", "asset": "USD", "amount": -0.01, "reason": "other",
                               "customer_id": shop.customer, "account_name": "gemini"});
    assert_eq!(shop.ask(other_account).await["code"], 2002);
    assert!(shop.database.contents().await == before, "a refused adjustment wrote something");
    assert_eq!(shop.adjust("b", "-10").await["code"], 1000);
    assert_eq!(shop.balance("default").await, "0");
    shop.database.check().await;
}

#[tokio::test]
async fn what_is_no_amount_is_refused_and_not_an_error() {
    let shop = shop().await;
    let app = shop.database.app(&shop.key).await;
    let before = shop.database.contents().await;
    for amount in ["'NaN'", "'Infinity'", "'-Infinity'", "1e30", "-1e30", "1e-19", "null", "1e18 + 1"] {
        let refused = call(&app, &format!("topup.adjust('a', 'USD', {amount}, 'gift')")).await;
        let code = refused["code"].as_i64().unwrap();
        assert!([2000, 2005].contains(&code), "{amount}: {refused}");
        assert_eq!(refused["data"]["field"], "amount", "{amount}: {refused}");
    }
    for amount in ["\"1\"", "true", "[]", "{}", "null"] {
        let refused = shop.adjust("a", amount).await;
        assert_eq!(
            (&refused["code"], &refused["data"]["field"]),
            (&json!(2000), &json!("amount")),
            "{amount}"
        );
    }
    assert!(shop.database.contents().await == before);
}

#[tokio::test]
async fn balances_too_large_to_hold_are_refused() {
    let shop = shop().await;
    for id in ["a", "b", "c"] {
        let code = shop.adjust(id, "999999999999999999").await["code"].clone();
        assert_eq!(code, if id == "a" { 1000 } else { 2005 }, "{id}");
    }
    shop.database.check().await;
}

#[tokio::test]
async fn unknown_customers_assets_reasons_and_names_are_refused() {
    let shop = shop().await;
    let before = shop.database.contents().await;
    for (field, value) in [
        ("customer_id", json!("cust_00000000000000000000000000")),
        ("customer_id", json!("ann@example.com")),
        ("customer_id", json!(shop.customer.replace("cust_", "acct_"))),
        ("asset", json!("TOK")),
        ("asset", json!("usd")),
        ("reason", json!("bribe")),
        ("reason", Value::Null),
        ("account_name", json!("")),
        ("account_name", json!("a:b")),
        ("transaction_id", json!("")),
        ("transaction_id", json!("with space")),
        ("transaction_id", json!("x".repeat(256))),
        ("metadata", json!([1])),
    ] {
        let mut request = json!({"transaction_id": "a", "asset": "USD", "amount": 1, "reason": "gift",
                                 "customer_id": shop.customer});
        request[field] = value;
        let refused = shop.ask(request.clone()).await;
        assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2000), &json!(field)), "{request}");
    }
    for field in ["transaction_id", "asset", "amount", "reason"] {
        let mut request = json!({"transaction_id": "a", "asset": "USD", "amount": 1, "reason": "gift"});
        request.as_object_mut().unwrap().remove(field);
        let refused = shop.ask(request).await;
        assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2000), &json!(field)));
    }
    assert!(shop.database.contents().await == before);
}

#[tokio::test]
async fn only_an_administrator_adjusts_the_tenants_own_live_wallet() {
    let shop = shop().await;
    let (key_id, key) = shop.database.tenant("Live").await.key("live", "").await;
    let adjust = "topup.adjust('a', 'USD', 25, 'external_topup')";
    assert_eq!(call(&shop.database.app(&key).await, adjust).await["code"], 2008);
    let bound = shop.database.bound(&key_id).await;
    assert_eq!(call(&bound, adjust).await["code"], 2008);

    let role: String = bound.query_one("select current_user::text", &[]).await.unwrap().get(0);
    shop.admin.batch_execute(&format!("grant topup_admin to {role}")).await.unwrap();
    assert_eq!(call(&bound, adjust).await["data"]["balance"], 25);
    assert_eq!(call(&bound, "topup.balance()").await["data"]["balance_cents"], 2500);
    let own = json!({"transaction_id": "a", "asset": "USD", "amount": 25, "reason": "gift"});
    assert_eq!(shop.ask(own).await["code"], 1000, "in staging anybody may");
    shop.database.check().await;
}

#[tokio::test]
async fn a_wallet_with_fractions_of_a_cent_shows_and_spends_whole_cents_only() {
    let shop = shop().await;
    let own = |id: &str, amount: Value| json!({"transaction_id": id, "asset": "USD", "amount": amount, "reason": "other"});
    assert_eq!(shop.wallet_cents().await, 99_900);
    shop.ask(own("a", json!(0.009))).await;
    assert_eq!(shop.wallet_cents().await, 99_900);
    shop.ask(own("b", json!(-0.01))).await;
    assert_eq!(shop.wallet_cents().await, 99_899);
    let sent =
        wire(&shop.admin, &shop.key, "send", &json!({"platform": "claude", "amount_cents": 99_800})).await.1;
    assert_eq!(sent["data"]["new_balance_cents"], 99);
    let poor =
        wire(&shop.admin, &shop.key, "send", &json!({"platform": "claude", "amount_cents": 100})).await.1;
    assert_eq!(poor["code"], 2002, "0.999 dollars do not pay 1.00");
    shop.ask(own("c", json!(0.001))).await;
    let sent =
        wire(&shop.admin, &shop.key, "send", &json!({"platform": "claude", "amount_cents": 100})).await.1;
    assert_eq!((&sent["code"], &sent["data"]["new_balance_cents"]), (&json!(1001), &json!(0)));
    shop.database.check().await;
}

async fn fund(admin: &Client, tenant: &Tenant<'_>, arguments: &str) -> Value {
    call(admin, &format!("topup.fund('{}', {arguments})", tenant.id)).await
}

#[tokio::test]
async fn funding_is_done_once_for_its_transaction_id() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let (_, key) = tenant.key("live", "").await;
    let first = fund(&admin, &tenant, "'live', 5000, 'wire-1', 'By wire'").await;
    assert_eq!((&first["code"], &first["data"]["new_balance_cents"]), (&json!(1000), &json!(5000)));
    assert_eq!(fund(&admin, &tenant, "'live', 5000, 'wire-1', 'By wire'").await, first);
    assert_eq!(fund(&admin, &tenant, "'live', 5001, 'wire-1', 'By wire'").await["code"], 2006);
    assert_eq!(fund(&admin, &tenant, "'live', 5000, 'wire-1'").await["code"], 2006);
    // The other environment, and adjustments, have ids of their own.
    assert_eq!(fund(&admin, &tenant, "'staging', 700, 'wire-1'").await["data"]["new_balance_cents"], 700);
    let app = database.app(&key).await;
    admin.batch_execute("grant topup_admin to app").await.unwrap();
    assert_eq!(call(&app, "topup.adjust('wire-1', 'USD', 1, 'gift')").await["code"], 1000);
    admin.batch_execute("revoke topup_admin from app").await.unwrap();
    assert_eq!(call(&app, "topup.balance()").await["data"]["balance_cents"], 5100);
    database.check().await;
}

#[tokio::test]
async fn funding_refuses_what_makes_no_sense() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let before = database.contents().await;
    for (arguments, code, field) in [
        ("'live', 0, 'a'", 2005, "amount_cents"),
        ("'live', -5, 'a'", 2005, "amount_cents"),
        ("'live', 9223372036854775807, 'a'", 2005, "amount_cents"),
        ("'live', null, 'a'", 2000, "amount_cents"),
        ("'live', 100, null", 2000, "transaction_id"),
        ("'live', 100, ''", 2000, "transaction_id"),
        ("null, 100, 'a'", 2000, "environment"),
        ("'moon', 100, 'a'", 2000, "environment"),
    ] {
        let refused = fund(&admin, &tenant, arguments).await;
        assert_eq!(
            (&refused["code"], &refused["data"]["field"]),
            (&json!(code), &json!(field)),
            "{arguments}"
        );
    }
    for tenant in ["'acct_00000000000000000000000000'", "'nobody'", "null"] {
        let refused = call(&admin, &format!("topup.fund({tenant}, 'live', 100, 'a')")).await;
        assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2000), &json!("tenant_id")));
    }
    assert!(database.contents().await == before);
}

#[tokio::test]
async fn the_journal_keeps_every_digit_of_an_adjustments_metadata() {
    let shop = shop().await;
    let app = shop.database.app(&shop.key).await;
    let adjust = format!(
        "topup.adjust('exact', 'USD', 1, 'gift', '{}', metadata => '{{\"invoice\": 12345678901234567890.5}}')",
        shop.customer
    );
    assert_eq!(call(&app, &adjust).await["code"], 1000);
    let query = "select detail -> 'metadata' ->> 'invoice' from topup.transactions where reference = 'exact'";
    let kept: String = shop.admin.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(kept, "12345678901234567890.5");
}

#[tokio::test]
async fn a_description_has_a_limit() {
    let shop = shop().await;
    let tenant = shop.admin.query_one("select distinct tenant_id from topup.keys", &[]).await.unwrap();
    let tenant: String = tenant.get(0);
    let app = shop.database.app(&shop.key).await;
    for (length, code) in [(500, 1000), (501, 2000)] {
        let text = "ä".repeat(length);
        let adjust = format!(
            "topup.adjust('d-{length}', 'USD', 1, 'gift', '{}', description => '{text}')",
            shop.customer
        );
        let fund = format!("topup.fund('{tenant}', 'staging', 100, 'f-{length}', '{text}')");
        for reply in [call(&app, &adjust).await, call(&shop.admin, &fund).await] {
            assert_eq!(reply["code"], code);
            assert_eq!(reply["data"]["field"].as_str(), (code == 2000).then_some("description"));
        }
    }
    shop.database.check().await;
}
