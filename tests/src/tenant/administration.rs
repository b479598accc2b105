//! What administrators do: tenants, keys, play money, allowed addresses, bound roles, thresholds and platforms.

use crate::support::{Database, call, sql_state, wire};
use serde_json::{Value, json};
use std::collections::HashSet;
use tokio_postgres::Client;
use uuid::Uuid;

const INVALID: &str = "22023";

async fn text(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn balance(admin: &Client, key: &str) -> Value {
    wire(admin, key, "balance", &json!({})).await.1["data"].clone()
}

#[tokio::test]
async fn a_tenant_has_two_empty_environments() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    assert!(tenant.id.starts_with("acct_") && tenant.id.len() == 31, "{}", tenant.id);
    let wallets =
        "select string_agg(environment || ':' || balance, ' ' order by environment) from topup.accounts
                    where kind = 'wallet'";
    assert_eq!(text(&admin, wallets).await, "staging:0 live:0");
    assert_ne!(database.tenant("Acme").await.id, tenant.id, "names need not be unique");
    for name in ["''", "null", "repeat('x', 201)"] {
        let state = sql_state(&admin, &format!("select topup.create_tenant({name})")).await;
        assert_eq!(state, INVALID, "{name}");
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_kept_nowhere() {
    let database = Database::new().await;
    let tenant = database.tenant("Acme").await;
    let mut seen = HashSet::new();
    for environment in ["staging", "live"] {
        for _ in 0..10 {
            let (key_id, key) = tenant.key(environment, "").await;
            assert!(key_id.starts_with("key_"));
            let secret = key.strip_prefix(&format!("ak_{environment}_")).unwrap();
            assert!((42..=44).contains(&secret.len()), "32 bytes in base 62: {secret}");
            assert!(secret.chars().all(|symbol| symbol.is_ascii_alphanumeric()));
            assert!(seen.insert(secret.to_owned()));
        }
    }
    let contents = database.contents().await;
    assert!(seen.iter().all(|secret| !contents.contains(secret)));
}

#[tokio::test]
async fn a_keys_options_are_what_its_balance_says() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let options = "name => 'till 3', tier => 'silver', cap_cents => 2500, cap_period => 'day'";
    let (key_id, key) = tenant.key("live", options).await;
    let data = balance(&admin, &key).await;
    let wanted = json!({"id": key_id, "name": "till 3", "tier": "silver", "discount_bps": 1000, "cap_cents": 2500,
                        "cap_period": "day", "cap_used_cents": 0, "cap_remaining_cents": 2500,
                        "month_volume_cents": 0, "margin_cents": 0});
    assert_eq!(data["key"], wanted);
    assert_eq!((&data["environment"], &data["currency"]), (&json!("live"), &json!("USD")));
    let (_, plain) = tenant.key("live", "").await;
    let key = balance(&admin, &plain).await["key"].clone();
    let defaults =
        [&key["name"], &key["tier"], &key["cap_cents"], &key["cap_period"], &key["cap_remaining_cents"]];
    assert_eq!(defaults, [&json!(""), &json!("standard"), &Value::Null, &json!("month"), &Value::Null]);
}

#[tokio::test]
async fn a_key_that_makes_no_sense_is_not_minted() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let before = database.contents().await;
    let id = &tenant.id;
    for (arguments, state) in [
        (format!("'{id}', 'moon'"), INVALID),
        (format!("'{id}', null"), INVALID),
        ("'acct_00000000000000000000000000', 'live'".to_owned(), INVALID),
        ("'nobody', 'live'".to_owned(), INVALID),
        ("null, 'live'".to_owned(), INVALID),
        (format!("'{id}', 'staging', tier => 'wood'"), INVALID),
        (format!("'{id}', 'staging', tier => null"), INVALID),
        (format!("'{id}', 'staging', cap_cents => -1"), INVALID),
        (format!("'{id}', 'staging', cap_period => 'year'"), INVALID),
        (format!("'{id}', 'staging', scopes => '{{send,steal}}'"), INVALID),
        (format!("'{id}', 'staging', name => repeat('x', 201)"), INVALID),
        (format!("'{id}', 'staging', allowed_ips => '{{10.0.0.1/8}}'"), "22P02"),
    ] {
        assert_eq!(
            sql_state(&admin, &format!("select topup.mint_key({arguments})")).await,
            state,
            "{arguments}"
        );
    }
    assert_eq!(sql_state(&admin, "select topup.revoke_key('key_00000000000000000000000000')").await, INVALID);
    assert_eq!(sql_state(&admin, "select topup.set_tier('key_1', 'gold')").await, INVALID);
    assert!(database.contents().await == before);
}

#[tokio::test]
async fn the_first_staging_key_finds_play_money_once() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let (_, live) = tenant.key("live", "").await;
    assert_eq!(balance(&admin, &live).await["balance_cents"], 0);
    let (first_id, first) = tenant.key("staging", "").await;
    assert_eq!(balance(&admin, &first).await["balance_cents"], 100_000);
    admin.execute("select topup.revoke_key($1)", &[&first_id]).await.unwrap();
    let (_, second) = tenant.key("staging", "").await;
    assert_eq!(balance(&admin, &second).await["balance_cents"], 100_000);
    database.check().await;
}

#[tokio::test]
async fn two_first_keys_at_once_find_play_money_once() {
    let database = Database::new().await;
    let tenant = database.tenant("Acme").await;
    let (one, other) = tokio::join!(tenant.key("staging", ""), tenant.key("staging", ""));
    let admin = database.admin().await;
    assert_eq!(balance(&admin, &one.1).await["balance_cents"], 100_000);
    assert_eq!(balance(&admin, &other.1).await["balance_cents"], 100_000);
}

#[tokio::test]
async fn a_setting_says_how_much_play_money_there_is() {
    let database = Database::new().await;
    let admin = database.admin().await;
    for cents in [5000_i64, 0] {
        let id = text(&admin, "select topup.create_tenant('Acme')").await;
        admin.batch_execute(&format!("set topup.staging_credit_cents = {cents}")).await.unwrap();
        for _ in 0..2 {
            let key = text(&admin, &format!("select api_key from topup.mint_key('{id}', 'staging')")).await;
            assert_eq!(balance(&admin, &key).await["balance_cents"], cents);
        }
    }
    assert_eq!(sql_state(&admin, "set topup.staging_credit_cents = -1").await, INVALID);
    database.check().await;
}

#[tokio::test]
async fn a_key_works_from_its_allowed_addresses_only() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let (_, key) = tenant.key("staging", "allowed_ips => '{10.1.0.0/16,192.0.2.7/32,2001:db8::/32}'").await;
    let (_, anywhere) = tenant.key("staging", "").await;
    let (_, nowhere) = tenant.key("staging", "allowed_ips => '{}'").await;
    let from = async |key: &str, address: &str| -> (i16, String) {
        let query = format!(
            "select status, body::jsonb->>'code' from topup.call($1, 'balance', '{{}}', null, {address})"
        );
        let row = admin.query_one(&query, &[&key]).await.unwrap();
        (row.get(0), row.get(1))
    };
    for inside in ["'10.1.255.1'", "'192.0.2.7'", "'2001:db8::1'"] {
        assert_eq!(from(&key, inside).await, (200, "1000".to_owned()), "{inside}");
    }
    for outside in ["'10.2.0.1'", "'192.0.2.8'", "'2001:db9::1'", "'127.0.0.1'", "null"] {
        assert_eq!(from(&key, outside).await, (403, "4002".to_owned()), "{outside}");
        assert_eq!(from(&anywhere, outside).await, (200, "1000".to_owned()), "{outside}");
        assert_eq!(from(&nowhere, outside).await.0, 403, "{outside}");
        assert_eq!(from("ak_staging_wrong", outside).await.0, 401, "{outside}");
    }
    let app = database.app(&key).await;
    assert_eq!(call(&app, "topup.send('claude', 1000)").await["code"], 4002, "a session has an address too");
    let (_, local) = tenant.key("staging", "allowed_ips => '{127.0.0.0/8}'").await;
    assert_eq!(call(&database.app(&local).await, "topup.balance()").await["code"], 1000);
}

#[tokio::test]
async fn a_role_speaks_for_the_key_it_is_bound_to() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let ((first, _), (second, key)) = (tenant.key("staging", "").await, tenant.key("live", "").await);
    let role = format!("Odd \"Role\" {}", Uuid::now_v7().simple());
    let quoted = text(&admin, &format!("select quote_ident('{role}')")).await;
    admin.batch_execute(&format!("create role {quoted} login")).await.unwrap();
    let bind = "select topup.bind_role($1::text::name, $2)";
    let session = database.admin().await;
    session.batch_execute(&format!("set session authorization {quoted}")).await.unwrap();
    assert_eq!(sql_state(&session, "select topup.balance()").await, "42501");
    for key_id in [&first, &second] {
        admin.execute(bind, &[&role, key_id]).await.unwrap();
        assert_eq!(call(&session, "topup.balance()").await["data"]["key"]["id"], key_id.as_str());
    }
    session.execute("select set_config('topup.api_key', $1, false)", &[&key]).await.unwrap();
    admin.execute(bind, &[&role, &first]).await.unwrap();
    assert_eq!(call(&session, "topup.balance()").await["code"], 2008, "the key is of another environment");
    session.batch_execute("reset topup.api_key").await.unwrap();
    admin.execute(bind, &[&role, &None::<&str>]).await.unwrap();
    assert_eq!(call(&session, "topup.balance()").await["code"], 2001);
}

#[tokio::test]
async fn a_binding_that_makes_no_sense_is_refused() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let (key_id, _) = database.tenant("Acme").await.key("staging", "").await;
    assert_eq!(
        sql_state(&admin, &format!("select topup.bind_role('nobody_here', '{key_id}')")).await,
        "42704"
    );
    for key in ["'key_00000000000000000000000000'", "'key_1'", "''"] {
        assert_eq!(
            sql_state(&admin, &format!("select topup.bind_role('app', {key})")).await,
            INVALID,
            "{key}"
        );
    }
    admin.execute("select topup.revoke_key($1)", &[&key_id]).await.unwrap();
    assert_eq!(sql_state(&admin, &format!("select topup.bind_role('app', '{key_id}')")).await, INVALID);
}

#[tokio::test]
async fn the_low_balance_threshold_is_set_for_one_wallet() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let ((_, staging), (_, live)) = (tenant.key("staging", "").await, tenant.key("live", "").await);
    let set = "select topup.set_low_balance($1, 'staging', 4321)";
    admin.execute(set, &[&tenant.id]).await.unwrap();
    assert_eq!(balance(&admin, &staging).await["low_balance_threshold_cents"], 4321);
    assert_eq!(balance(&admin, &live).await["low_balance_threshold_cents"], 1000);
    for (tenant, environment, cents, state) in [
        (tenant.id.as_str(), "'staging'", "-1", INVALID),
        (&tenant.id, "'staging'", "null", INVALID),
        (&tenant.id, "'moon'", "1", INVALID),
        ("acct_00000000000000000000000000", "'live'", "1", INVALID),
        ("nobody", "'live'", "1", INVALID),
    ] {
        let call = format!("select topup.set_low_balance('{tenant}', {environment}, {cents})");
        assert_eq!(sql_state(&admin, &call).await, state, "{call}");
    }
}

#[tokio::test]
async fn platforms_are_made_and_changed_within_reason() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let key = database.staging_key().await;
    let send = async |platform: &str, cents: i64| {
        wire(&admin, &key, "send", &json!({"platform": platform, "amount_cents": cents})).await.1["code"]
            .clone()
    };
    assert_eq!(send("mistral", 500).await, 2003);
    admin.batch_execute("select topup.set_platform('mistral', 'Mistral', 500, 600)").await.unwrap();
    assert_eq!([send("mistral", 499).await, send("mistral", 500).await], [2005, 1001]);
    admin
        .batch_execute("select topup.set_platform('mistral', 'Mistral', delivery => 'deferred')")
        .await
        .unwrap();
    assert_eq!(send("mistral", 100).await, 1002);
    for arguments in [
        "'Upper', 'x'",
        "'', 'x'",
        "'a b', 'x'",
        "'x', 'x', 0",
        "'x', 'x', 200, 100",
        "'x', 'x', delivery => 'someday'",
    ] {
        let state = sql_state(&admin, &format!("select topup.set_platform({arguments})")).await;
        assert_eq!(state, INVALID, "{arguments}");
    }
    database.check().await;
}
