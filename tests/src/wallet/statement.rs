//! Statements: opening balance, every entry with its cause, closing balance; and the balance at any instant.

use crate::support::{Shop, Till, call, python};
use serde_json::{Value, json};

/// Gives every transaction a time of its own, a day apart from 2026-01-01 on, in the order of the journal.
async fn spread_over_days(till: &Till) {
    let admin = till.shop.database.admin().await;
    admin
        .batch_execute(
            "alter table topup.transaction disable trigger all;
             update topup.transaction t set created_at = '2026-01-01T00:00:00Z'::timestamptz + (n - 1) * interval '1 day'
               from (select e.transaction_id, e.account_version as n from topup.entry e
                       join topup.account a using (tenant_id, account_id)
                      where a.kind = 'customer') v
              where v.transaction_id = t.transaction_id;
             alter table topup.transaction enable always trigger refuse_change, enable always trigger refuse_truncate",
        )
        .await
        .unwrap();
}

/// Five days of an account: +10, -2.5, +0.000000001, -1, +0.5.
async fn lived() -> Till {
    let till = Till::open().await;
    till.gift("g", "USD", "10").await.expect_status(201);
    let charge = json!({"transaction_id": "c-1", "asset": "USD", "amount": 2.5, "description": "He said \"hi\",\r\nand left"});
    till.post("/charges", charge).await.expect_status(201);
    till.gift("h", "USD", "0.000000001").await.expect_status(201);
    till.charge("c-2", "USD", "1").await.expect_status(201);
    till.post("/charges/c-2/refund", json!({"amount": 0.5})).await.expect_status(201);
    spread_over_days(&till).await;
    till
}

#[tokio::test]
async fn a_statement_opens_explains_and_closes() {
    let till = lived().await;
    let path = "/default%3AUSD/statement?from=2026-01-02T00:00:00Z&to=2026-01-05T00:00:00Z";
    let statement = till.get(path).await.expect_status(200);
    let json = &statement.json;
    assert_eq!(
        (&json["customer_id"], &json["account_id"], &json["from"], &json["to"]),
        (
            &json!(till.customer),
            &json!("default:USD"),
            &json!("2026-01-02T00:00:00.000Z"),
            &json!("2026-01-05T00:00:00.000Z")
        )
    );
    assert!(
        statement.text.contains(r#""opening_balance":10,"closing_balance":6.500000001,"#),
        "{}",
        statement.text
    );
    let entries = json["entries"].as_array().unwrap();
    let told: Vec<[&Value; 4]> = entries
        .iter()
        .map(|entry| ["at", "kind", "reference", "description"].map(|field| &entry[field]))
        .collect();
    let null = Value::Null;
    assert_eq!(
        told,
        [
            [
                &json!("2026-01-02T00:00:00.000Z"),
                &json!("charge"),
                &json!("c-1"),
                &json!("He said \"hi\",\r\nand left")
            ],
            [&json!("2026-01-03T00:00:00.000Z"), &json!("adjust"), &json!("h"), &null],
            [&json!("2026-01-04T00:00:00.000Z"), &json!("charge"), &json!("c-2"), &null],
        ]
    );
    assert!(statement.text.contains(r#""amount":0.000000001,"balance":7.500000001}"#), "{}", statement.text);
    assert!(entries[0]["transaction_id"].as_str().unwrap().starts_with("txn_"));
    let whole = till.get("/default%3AUSD/statement").await.expect_status(200).json;
    assert_eq!(
        (&whole["from"], &whole["opening_balance"], &whole["closing_balance"]),
        (&null, &json!(0), &json!(7.000000001))
    );
    assert_eq!(whole["entries"].as_array().unwrap().len(), 5);
    let none =
        till.get("/default%3AUSD/statement?from=2026-01-03T12:00:00Z&to=2026-01-03T13:00:00Z").await.json;
    assert_eq!((&none["opening_balance"], &none["entries"]), (&none["closing_balance"], &json!([])));
    till.shop.database.check().await;
}

#[tokio::test]
async fn a_statement_is_csv_too() {
    let till = lived().await;
    let period = "from=2026-01-02T00:00:00Z&to=2026-01-04T00:00:00Z";
    let csv = till.get(&format!("/default%3AUSD/statement.csv?{period}")).await.expect_status(200);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let json = till.get(&format!("/default%3AUSD/statement?{period}")).await.json;
    let id = |n: usize| json["entries"][n]["transaction_id"].as_str().unwrap().to_owned();
    let wanted = [
        "at,kind,transaction_id,reference,description,amount,balance".to_owned(),
        "2026-01-02T00:00:00.000Z,opening,,,,,10".to_owned(),
        format!("2026-01-02T00:00:00.000Z,charge,{},c-1,\"He said \"\"hi\"\",\r\nand left\",-2.5,7.5", id(0)),
        format!("2026-01-03T00:00:00.000Z,adjust,{},h,,0.000000001,7.500000001", id(1)),
        "2026-01-04T00:00:00.000Z,closing,,,,,7.500000001".to_owned(),
    ];
    assert_eq!(csv.text, wanted.map(|line| line + "\r\n").concat());
    let refused = "/default%3AUSD/statement.csv?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z";
    till.get(refused).await.expect_problem(422, 2000, Some("to"));
    till.get("/default%3AUSD/statement.csv?to=never").await.expect_problem(422, 2000, Some("to"));
    let app = till.shop.database.app(&till.shop.key).await;
    let by_sql =
        format!("topup.statement_csv('{}', 'default:USD', '2026-01-02Z', '2026-01-04Z')", till.customer);
    assert_eq!(call(&app, &by_sql).await["data"], csv.text.as_str());
}

#[tokio::test]
async fn sql_shows_a_statement_as_rows_and_the_balance_at_any_instant() {
    let till = lived().await;
    let app = till.shop.database.app(&till.shop.key).await;
    let customer = &till.customer;
    let lines = format!(
        "select line, kind, reference, amount::text, balance::text
           from topup.statement_lines('{customer}', 'default:USD', '2026-01-02Z', '2026-01-04Z')"
    );
    let rows = app.query(&lines, &[]).await.unwrap();
    let told: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |column| row.get::<_, Option<String>>(column).unwrap_or_default();
            format!("{} {} {} {} {}", row.get::<_, i64>(0), text(1), text(2), text(3), text(4))
        })
        .collect();
    let wanted = [
        "0 opening   10",
        "1 charge c-1 -2.5 7.5",
        "2 adjust h 0.000000001 7.500000001",
        "3 closing   7.500000001",
    ];
    assert_eq!(told, wanted);
    for (at, balance) in [
        ("2025-12-31T23:59:59.999999Z", "0"),
        ("2026-01-01T00:00:00Z", "10"),
        ("2026-01-02T00:00:00Z", "7.5"),
        ("2026-01-04T12:00:00Z", "6.500000001"),
        ("2030-01-01T00:00:00Z", "7.000000001"),
    ] {
        let query = format!("select topup.balance_at('{customer}', 'default:USD', '{at}')::text");
        assert_eq!(app.query_one(&query, &[]).await.unwrap().get::<_, String>(0), balance, "{at}");
    }
    // Who may not see the account sees nothing, and no error either.
    let stranger = till.shop.database.app(&till.shop.database.staging_key().await).await;
    let nobody = till.shop.database.app("").await;
    for session in [&stranger, &nobody] {
        assert!(session.query(&lines, &[]).await.unwrap().is_empty());
        let query = format!("select topup.balance_at('{customer}', 'default:USD', now())::text");
        assert_eq!(session.query_one(&query, &[]).await.unwrap().get::<_, Option<String>>(0), None);
    }
    let unknown = format!("select from topup.statement_lines('{customer}', 'other:USD')");
    assert!(app.query(&unknown, &[]).await.unwrap().is_empty());
}

/// How many pages a statement of one day reads in a history of many.
async fn pages_read(till: &Till) -> i64 {
    let admin = till.shop.database.admin().await;
    let query = "explain (analyze, buffers, format json)
        select * from topup.account_lines(
            (select tenant_id from topup.account where kind = 'customer'), (select account_id from topup.account where kind = 'customer'),
            '2026-01-02T00:00:00Z', '2026-01-04T00:00:00Z', 100)";
    // The first run plans, and reads the catalog.
    admin.query(query, &[]).await.unwrap();
    let plan: Value = admin.query_one(query, &[]).await.unwrap().get(0);
    plan[0]["Plan"]["Shared Hit Blocks"].as_i64().unwrap()
        + plan[0]["Plan"]["Shared Read Blocks"].as_i64().unwrap()
}

#[tokio::test]
async fn a_statement_costs_no_more_in_a_long_history() {
    let till = lived().await;
    let short = pages_read(&till).await;
    // 50,000 further adjustments of 0.000000001, written as the ledger would.
    let many = "
        create temporary table more as
        select a.tenant_id, a.account_id, gen_random_uuid() as transaction_id, n + 5 as version from topup.account a, generate_series(1, 50000) n
         where a.kind = 'customer';
        insert into topup.transaction (tenant_id, transaction_id, environment, kind, reference, created_at)
        select tenant_id, transaction_id, 'staging', 'adjust', 'm' || version, '2026-02-01Z'::timestamptz + version * interval '1 second' from more;
        insert into topup.entry (tenant_id, transaction_id, account_id, amount, account_version, balance_after)
        select tenant_id, transaction_id, account_id, 0.000000001, version, 7.000000001 + (version - 5) * 0.000000001 from more;
        update topup.balance b set balance = 7.000050001, version = 50005 from topup.account a
         where a.account_id = b.account_id and a.kind = 'customer';
        analyze";
    till.shop.database.admin().await.batch_execute(many).await.unwrap();
    let long = pages_read(&till).await;
    assert!(long < short + 600, "{short} pages became {long}");
    // More than a statement holds is refused, and not cut.
    till.get("/default%3AUSD/statement").await.expect_problem(422, 2000, Some("to"));
    till.get("/default%3AUSD/statement?to=2026-01-31T00:00:00Z").await.expect_status(200);
}

#[tokio::test]
async fn no_time_is_now() {
    let till = lived().await;
    let admin = till.shop.database.admin().await;
    let query = "select topup.balance_at($1, 'default:USD', null)::text,
                        (select balance::text from topup.statement_lines($1, 'default:USD', null, null) where kind = 'closing')";
    let row = admin.query_one(query, &[&till.customer]).await.unwrap();
    let exact = |text: String| text.trim_end_matches('0').to_owned();
    assert_eq!((exact(row.get(0)), exact(row.get(1))), ("7.000000001".to_owned(), "7.000000001".to_owned()));
}

#[tokio::test]
async fn what_a_spreadsheet_would_take_for_a_formula_is_text() {
    let till = Till::open().await;
    for (n, text) in ["=1+1", "+1", "-1", "@SUM(A1)", "plain"].into_iter().enumerate() {
        let gift = json!({"transaction_id": format!("={n}"), "asset": "USD", "amount": 1, "reason": "gift",
                          "description": text});
        till.post("/adjustments", gift).await.expect_status(201);
    }
    let file = till.get("/default%3AUSD/statement.csv").await.expect_status(200).text;
    for part in [",'=0,'=1+1,", ",'=1,'+1,", ",'=2,'-1,", ",'=3,'@SUM(A1),", ",'=4,plain,"] {
        assert!(file.contains(part), "{part}: {file}");
    }
}

/// What stands in each cell, by a reader that is not ours, and which a spreadsheet would run: after what it does not show,
/// and after the semicolons and line ends at which some begin another cell. Numbers are none.
const JUDGE: &str = r##"
import csv, io, re, sys, unicodedata
text = sys.stdin.read()
rows = list(csv.reader(io.StringIO(text, newline="")))
assert all(len(row) == 7 for row in rows), rows
for row in rows[1:]:
    for cell in row:
        for part in [cell, *re.split(r"[;\t\r\n]", cell)]:
            seen = "".join(c for c in unicodedata.normalize("NFKC", part) if not c.isspace() and unicodedata.category(c) not in ("Cf", "Cc"))
            number = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", cell)
            if (seen[:1] in tuple("=+-@") or cell[:1] in tuple("\t\r\n")) and seen and not number:
                print(repr(cell))
print(sum(row[5].startswith("-") for row in rows), "debits", len(rows), "rows")
"##;

#[tokio::test]
async fn no_text_of_a_client_runs_in_a_spreadsheet_and_debits_stay_numbers() {
    let till = Till::of(Shop::open_with(&["--rate-limit", "0"]).await).await;
    till.gift("all", "USD", "1000").await.expect_status(201);
    let mut number = 0;
    for sign in ["=", "+", "-", "@", "＝", "＋", "－", "＠", "﹦", "⁼"] {
        for before in
            ["", " ", "\t", "\r", "\n", "\u{a0}", "\u{3000}", "\u{feff}", "\u{200b} ", "a;", "a\n ", "\"x\";"]
        {
            number += 1;
            let text = format!("{before}{sign}1+1");
            // An id is of visible ASCII; whatever is not is refused and stands nowhere.
            let id = format!("{sign}{number}");
            let id = if sign.is_ascii() { id } else { format!("i{number}") };
            let movement = |amount: &str, kind: &str| {
                json!({"transaction_id": format!("{id}{kind}"), "asset": "USD", "amount": amount.parse::<f64>().unwrap(),
                       "reason": "other", "description": text})
            };
            till.post("/adjustments", movement("-1", "a")).await.expect_status(201);
            till.post("/charges", movement("0.5", "c")).await.expect_status(201);
            let refund = json!({"transaction_id": format!("{id}r"), "description": text});
            let path = format!("/charges/{}c/refund", id.replace('+', "%2B"));
            till.post(&path, refund).await.expect_status(201);
        }
    }
    let file = till.get("/default%3AUSD/statement.csv").await.expect_status(200).text;
    assert_eq!(python(JUDGE, &file).trim(), format!("{} debits {} rows", number * 2, number * 3 + 4));
}
