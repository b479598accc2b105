//! E-mail addresses: of two that differ only in the case of ASCII letters each is the other, and no other two are.

use crate::support::{Bank, Database, Shop, call};
use serde_json::{Value, json};

/// Written with characters that stand for others, or with some that nobody sees.
const LOOKALIKES: [&str; 6] = [
    "\u{212a}ate@example.com",
    "\u{ff4b}ate@example.com",
    "kate@\u{ff45}xample.com",
    "ka\u{200b}te@example.com",
    "ka\u{ad}te@example.com",
    "kate@example\u{ff0e}com",
];

/// Letters whose case a locale might fold to that of another address.
const NEIGHBOURS: [&str; 4] =
    ["\u{130}rma@example.com", "\u{131}rma@example.com", "\u{dc}rma@example.com", "\u{fc}rma@example.com"];

async fn customer_of(bank: &Bank, email: &str) -> Value {
    let sent = call(&bank.app, &format!("topup.send('claude', 100, '{email}')")).await;
    assert_eq!(sent["code"], 1001, "{email}: {sent}");
    let found = call(&bank.app, &format!("topup.customer_list(email => '{email}')")).await;
    assert_eq!(found["data"]["total_count"], 1, "{email}: {found}");
    found["data"]["items"][0]["id"].clone()
}

#[tokio::test]
async fn a_lookalike_address_is_refused_wherever_an_address_is_given() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let voucher = shop.send().await.data()["voucher_code"].clone();
    let made = root
        .post("/customers", json!({"name": "Kate", "email": "kate@example.com"}))
        .await
        .expect_status(201);
    let kate = format!("/customers/{}", made.json["id"].as_str().unwrap());
    for email in LOOKALIKES {
        let send = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": email});
        for path in ["/topup/send", "/topup/validate"] {
            let refused = shop.client.post(path, send.clone()).await.expect(422, 2004);
            assert_eq!(refused.data()["field"], "recipient_email", "{email}");
        }
        let redeem = json!({"voucher_code": voucher, "email": email});
        shop.client.post("/topup/redeem", redeem).await.expect(422, 2004);
        let customer = json!({"name": "Kate", "email": email});
        root.post("/customers", customer).await.expect_problem(422, 2004, Some("email"));
        let change = root.request(reqwest::Method::PATCH, &kate).header("content-type", "application/json");
        let changed = root.send(change.body(json!({"email": email}).to_string())).await;
        changed.expect_problem(422, 2004, Some("email"));
    }
    let listed = root.get("/customers").await.expect_status(200);
    assert_eq!(listed.json["total_count"], 1);
}

#[tokio::test]
async fn only_the_case_of_ascii_letters_makes_no_difference() {
    let bank = Bank::open().await;
    let kate = customer_of(&bank, "kate@example.com").await;
    for same in ["KATE@EXAMPLE.COM", "Kate@Example.com"] {
        assert_eq!(customer_of(&bank, same).await, kate, "{same}");
    }
    let mut others = vec![kate, customer_of(&bank, "irma@example.com").await];
    for email in NEIGHBOURS {
        let customer = customer_of(&bank, email).await;
        assert!(!others.contains(&customer), "{email} is taken for another address");
        others.push(customer);
    }
    bank.database.check().await;
}

/// psql in a database of another locale, which need not have the extension yet.
fn psql(database: &Database, name: &str, script: &str) -> String {
    let mut psql = database.program("psql");
    let output = psql
        .env("PGDATABASE", name)
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", script])
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_database_in_turkish_folds_no_i_of_its_own() {
    let database = Database::new().await;
    let name = format!("turkish_{}", uuid::Uuid::now_v7().simple());
    let make = format!("create database {name} template template0 locale_provider icu icu_locale 'tr-TR'");
    psql(&database, "postgres", &make);
    psql(&database, &name, "create extension pg_topup");
    assert_eq!(psql(&database, &name, "select lower('I')"), "\u{131}", "the locale is not Turkish");
    let key =
        psql(&database, &name, "select api_key from topup.mint_key(topup.create_tenant('Acme'), 'staging')");
    let said = psql(
        &database,
        &name,
        &format!(
            "set topup.api_key = '{key}';
             select topup.send('claude', 100, 'IRMA@EXAMPLE.COM') ->> 'code';
             select topup.send('claude', 100, 'irma@example.com') ->> 'code';
             select topup.customer_list(email => 'Irma@example.com') -> 'data' -> 'total_count';
             select topup.customer_list() -> 'data' -> 'total_count';
             select count(*) from topup.check() where not holds"
        ),
    );
    psql(&database, "postgres", &format!("drop database {name} with (force)"));
    assert_eq!(said.lines().collect::<Vec<_>>(), ["1001", "1001", "1", "1", "0"]);
}
