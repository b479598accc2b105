//! The billing portal's pages: what a customer sees of its credit, to the digit, and what it can do with it.

use crate::support::{
    DECLINED, LATER_DECLINED, LIMIT, VISA, Visitor, call, digits, form, link_of, wait_until,
};
use serde_json::json;

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn balances_are_exact_and_credit_that_expires_is_told() {
    let visitor = Visitor::inside().await;
    let page = visitor.look("/portal").await;
    contains(&page.text, &["You have no credit yet.", "Acme", "Ann", "Test mode"]);
    let till = &visitor.payer.till;
    let asset = json!({"code": "TOK", "name": "Tokens", "precision": 18,
        "rates": [{"source": "USD", "rate": 0.01}, {"source": "EUR", "rate": 0.02}]});
    till.root.post("/assets", asset).await.expect_status(201);
    till.gift("a", "USD", "1234567.123456789").await.expect_status(201);
    till.gift("b", "TOK", "0.000000000000000001").await.expect_status(201);
    let expiring = r#"{"transaction_id":"c","asset":"USD","amount":2.5,"reason":"gift","expires_at":"2090-01-02T03:04:05Z"}"#;
    till.root.post_text(&till.path("/adjustments"), expiring.to_owned()).await.expect_status(201);
    let page = visitor.look("/portal").await.expect_status(200);
    contains(
        &page.text,
        &[
            "<p class=\"balance\">1,234,569.623456789 USD</p>",
            "<p class=\"balance\">0.000000000000000001 TOK</p>",
            "2.50 USD (promotional) on 2090-01-02 03:04 UTC",
            "default: USD",
            "default: 1 EUR buys 50 TOK",
            "default: 1 USD buys 100 TOK",
            "0.50 to 999,999.99 USD",
        ],
    );
    visitor.payer.till.shop.database.check().await;
}

#[tokio::test]
async fn the_chart_shows_how_30_days_ended() {
    let visitor = Visitor::inside().await;
    let till = &visitor.payer.till;
    till.gift("a", "USD", "40").await.expect_status(201);
    till.charge("b", "USD", "15.5").await.expect_status(201);
    // The journal refuses to be changed; a test lets time pass.
    visitor
        .payer
        .sql(
            "alter table topup.transaction disable trigger refuse_change;
             update topup.transaction set created_at = created_at - interval '10 days' where reference = 'a';
             alter table topup.transaction enable always trigger refuse_change",
        )
        .await;
    let page = visitor.look("/portal").await.expect_status(200).text;
    let (_, table) = page.split_once("The last 30 days in figures").unwrap();
    let balances: Vec<&str> = table
        .split("<td class=\"digits\">")
        .skip(1)
        .map(|cell| cell.split_once('<').unwrap().0)
        .take(30)
        .collect();
    assert_eq!(balances[..19], ["0.00 USD"; 19]);
    assert_eq!(balances[19..29], ["40.00 USD"; 10]);
    assert_eq!(balances[29], "24.50 USD");
    contains(
        &page,
        &[
            "<svg viewBox=\"0 0 600 120\"",
            "role=\"img\"",
            "from 0.00 USD to 40.00 USD, now 24.50 USD",
            "lowest 0.00 USD, highest 40.00 USD",
        ],
    );
}

#[tokio::test]
async fn the_history_tells_each_cause_page_by_page_and_as_a_file() {
    let visitor = Visitor::inside().await;
    let till = &visitor.payer.till;
    till.gift("g", "USD", "100").await.expect_status(201);
    for n in 0..30 {
        till.charge(&format!("c{n}"), "USD", "0.123456789").await.expect_status(201);
    }
    let first = visitor.look("/portal/history?account=default:USD").await.expect_status(200).text;
    contains(&first, &["-0.123456789 USD", "96.29629633 USD", "Charge", ">Older</a>"]);
    assert_eq!(first.matches("<tr><td>").count(), 25);
    let before = crate::support::between(&first, "&#38;before=", "\"").to_owned();
    let second = visitor.look(&format!("/portal/history?account=default%3AUSD&before={before}")).await.text;
    assert_eq!(second.matches("<tr><td>").count(), 6);
    contains(&second, &["+100.00 USD", "Gift", ">Newest</a>"]);
    assert!(!second.contains(">Older</a>"));

    let file = visitor.look("/portal/history.csv?account=default%3AUSD").await.expect_status(200);
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"default_USD.csv\""));
    let same = till.get("/default%3AUSD/statement.csv").await.expect_status(200);
    // For Excel; programs get none.
    assert!(file.text.starts_with('\u{feff}') && same.text.starts_with("at,kind,"));
    let file_text = file.text.trim_start_matches('\u{feff}');
    let lines = |text: &str| text.lines().take(32).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((lines(file_text), file_text.lines().count()), (lines(&same.text), 34));
    let none =
        visitor.look("/portal/history.csv?account=default:USD&from=2090-01-01&to=").await.expect_status(400);
    contains(&none.text, &["role=\"alert\"", "A statement must not end before it begins."]);
    visitor.look("/portal/history.csv?account=default:USD&from=soon").await.expect_status(400);
    for account in ["other:USD", "", "default", "%00:USD"] {
        visitor.look(&format!("/portal/history?account={account}")).await.expect_status(404);
        visitor.look(&format!("/portal/history.csv?account={account}")).await.expect_status(404);
    }
}

#[tokio::test]
async fn a_top_up_is_paid_at_the_checkout_and_leads_back() {
    let visitor = Visitor::inside().await;
    let top_up = visitor.top_up("25.5").await;
    let payer = &visitor.payer;
    payer.pay(&top_up, DECLINED, &[]).await.expect_status(303);
    contains(&visitor.look("/portal").await.text, &["Under way", "Your card was declined.", "25.50 USD"]);
    payer.pay(&top_up, VISA, &[("save_card", "1")]).await.expect_status(303);
    let page = payer.look(&top_up, "?done").await.expect_status(200).text;
    let back = format!("/portal?top_up={}", top_up.id);
    contains(&page, &[&back]);
    let page = visitor.look(&back).await.expect_status(200).text;
    contains(
        &page,
        &[
            "You paid 25.50 USD and have got 25.50 USD.",
            "<p class=\"balance\">25.50 USD</p>",
            "Visa ending in 4242, expires 12/34",
        ],
    );
    let given_up = visitor.top_up("10").await;
    payer.submit(&given_up, &[("action", "cancel")]).await.expect_status(303);
    contains(
        &visitor.look(&format!("/portal?top_up={}", given_up.id)).await.text,
        &["Nothing was charged of the 10.00 USD."],
    );
    let stranger = visitor.look("/portal?top_up=top_00000000000000000000000000&done=<b>").await.text;
    assert!(!stranger.contains("role=\"status\""));

    let removed = visitor.submit("/portal/card/remove", &[]).await.expect_status(303);
    assert_eq!(removed.header("location"), Some("/portal?done=remove-card"));
    contains(
        &visitor.look("/portal?done=remove-card").await.text,
        &["The card is removed.", "No card is saved."],
    );
    assert!(!payer.look(&visitor.top_up("10").await, "").await.text.contains("saved card"));
    visitor.submit("/portal/card/remove", &[]).await.expect_status(303);
    visitor.payer.till.shop.database.check().await;
}

#[tokio::test]
async fn amounts_are_taken_as_people_write_them() {
    let visitor = Visitor::inside().await;
    for (amount, price) in [
        ("12,50", "12.50 USD"),
        ("$25.50", "25.50 USD"),
        ("1.000,50", "1,000.50 USD"),
        ("1,000.50 usd", "1,000.50 USD"),
    ] {
        let top_up = visitor.top_up(amount).await;
        contains(&visitor.payer.look(&top_up, "").await.text, &[&format!("Pay {price}")]);
    }
    let auto =
        [("action", "set"), ("offer", "USD default:USD"), ("threshold", "1 000,5"), ("amount", "20 $")];
    visitor.submit("/portal/auto-top-up", &auto).await.expect_status(303);
    let page = visitor.look("/portal").await.text;
    contains(&page, &["When the balance falls below 1,000.50 USD, the saved card pays 20.00 USD."]);
}

#[tokio::test]
async fn what_cannot_be_bought_is_told_at_its_field_and_writes_nothing() {
    let visitor = Visitor::inside().await;
    let before = visitor.payer.till.shop.database.contents().await;
    for (offer, amount, message) in [
        ("USD default:USD", "", "Write the amount in digits"),
        ("USD default:USD", "1e3", "Write the amount in digits"),
        ("USD default:USD", "-5", "Write the amount in digits"),
        ("USD default:USD", "25.50.1", "Write the amount in digits"),
        ("USD default:USD", "1.000", "Does 1.000 mean 1 or 1000?"),
        ("USD default:USD", "€25", "This is paid in USD, not in €."),
        ("USD default:USD", "0.49", "The amount must be from 0.5 to 999999.99 USD"),
        ("USD default:USD", "1.0010", "with at most 2 decimals"),
        ("XXX default:USD", "25", "This is no currency"),
        ("USD default:TOK", "25", "There is no such asset."),
        ("USD a:b:USD", "25", "An account name has"),
        ("", "25", "There is no such account."),
    ] {
        let page = visitor
            .submit("/portal/top-up", &[("offer", offer), ("amount", amount)])
            .await
            .expect_status(200);
        contains(&page.text, &["role=\"alert\"", message, &format!("value=\"{amount}\"")]);
    }
    let page = visitor.submit("/portal/redeem", &[("voucher_code", "<ATU>")]).await.expect_status(200);
    contains(&page.text, &["There is no such voucher.", "value=\"&#60;ATU&#62;\"", "aria-invalid=\"true\""]);
    assert!(visitor.payer.till.shop.database.contents().await == before);
}

#[tokio::test]
async fn a_voucher_is_redeemed_once_and_only_of_the_same_tenant_and_environment() {
    let visitor = Visitor::inside().await;
    let shop = &visitor.payer.till.shop;
    let voucher = shop.send().await.data()["voucher_code"].as_str().unwrap().to_owned();
    let other = shop.database.tenant("Other").await.key("staging", "").await.1;
    let theirs = shop.gateway.client(&other);
    let sent = theirs.post("/topup/send", json!({"platform": "claude", "amount_cents": 1000})).await;
    let foreign = sent.data()["voucher_code"].as_str().unwrap().to_owned();
    let page = visitor.submit("/portal/redeem", &[("voucher_code", &foreign)]).await.expect_status(200);
    contains(&page.text, &["There is no such voucher."]);
    let typed = format!("  {} ", voucher.to_lowercase());
    let done = visitor.submit("/portal/redeem", &[("voucher_code", &typed)]).await.expect_status(303);
    assert_eq!(done.header("location"), Some("/portal?done=redeem"));
    contains(
        &visitor.look("/portal?done=redeem").await.text,
        &["The voucher is redeemed", "claude: USD", "10.00 USD"],
    );
    let page = visitor.submit("/portal/redeem", &[("voucher_code", &voucher)]).await.expect_status(200);
    contains(&page.text, &["This voucher was redeemed before."]);
    shop.database.check().await;
}

#[tokio::test]
async fn a_session_reaches_its_own_customer_and_nobody_else() {
    let visitor = Visitor::inside().await;
    let till = &visitor.payer.till;
    till.gift("a", "USD", "10").await.expect_status(201);
    let other = till.shop.database.tenant("Other").await.key("staging", "").await.1;
    let theirs = till.shop.gateway.client(&other).at_root();
    let zoe = theirs.post("/customers", json!({"name": "Zoe"})).await.expect_status(201);
    let zoe = zoe.json["id"].as_str().unwrap().to_owned();
    let gift = json!({"transaction_id": "z", "asset": "EUR", "amount": 777, "reason": "gift"});
    theirs.post(&format!("/customers/{zoe}/wallet/adjustments"), gift).await.expect_status(201);
    let urls =
        json!({"customer_id": zoe, "return_url": "https://a.example", "failure_url": "https://a.example"});
    till.root.post("/billing-portal/sessions", urls).await.expect_status(404);

    let mut hers = Visitor::open().await;
    hers.browser = visitor.browser.clone();
    hers.go_in_by(&link_of(&theirs, &zoe).await).await;
    let page = hers.look("/portal").await.text;
    contains(&page, &["Zoe", "777.00 EUR"]);
    assert!(!page.contains("Ann") && !page.contains("10.00 USD"));
    let page = visitor.look("/portal").await.text;
    // A token may hold any digits.
    assert!(!page.contains("Zoe") && !page.contains("777.00"));
    visitor.look("/portal/history?account=default:EUR").await.expect_status(404);
    visitor.look("/portal/history.csv?account=default:EUR").await.expect_status(404);
    // A customer that the request names itself is not listened to.
    let more = [("offer", "USD default:USD"), ("amount", "25"), ("customer_id", zoe.as_str())];
    let page = visitor.submit("/portal/top-up", &more).await.expect_status(200);
    contains(&page.text, &["/checkout/"]);
    let admin = till.shop.database.admin().await;
    let payer =
        call(&admin, "to_jsonb((select topup.format_id('cust', customer_id) from topup.payment))").await;
    assert_eq!(payer, till.customer);
    let steal = form(&[("account", "default:USD"), ("customer_id", &zoe)]);
    let file = visitor.look(&format!("/portal/history.csv?{steal}")).await.expect_status(200);
    assert!(file.text.contains(",10,10") && !file.text.contains(",777,"), "{}", file.text);
    assert_eq!(digits(&till.get("/default%3AUSD").await.text, "available"), "10");
}

#[tokio::test]
async fn where_nobody_takes_money_nothing_is_sold() {
    let mut visitor = Visitor::open().await;
    let live = visitor.payer.till.shop.database.tenant("Live").await.key("live", "").await.1;
    let root = visitor.payer.till.shop.gateway.client(&live).at_root();
    let customer = root.post("/customers", json!({"name": "Zoe"})).await.expect_status(201);
    let link = link_of(&root, customer.json["id"].as_str().unwrap()).await;
    visitor.go_in_by(&link).await;
    let page = visitor.look("/portal").await.text;
    assert!(!page.contains("Test mode") && !page.contains("/portal/top-up") && !page.contains("Saved card"));
    let page = visitor.submit("/portal/top-up", &[("offer", "USD default:USD"), ("amount", "25")]).await;
    contains(&page.expect_status(200).text, &["No payment provider is configured for live."]);
}

#[tokio::test]
async fn declines_of_an_auto_top_up_are_told_until_it_is_switched_off() {
    let visitor = Visitor::inside().await;
    let payer = &visitor.payer;
    payer.save_card(LATER_DECLINED).await;
    let fields = [("offer", "USD default:USD"), ("amount", "20"), ("threshold", "10")];
    visitor.submit("/portal/auto-top-up", &fields).await.expect_status(303);
    let told = async |what: &str| {
        wait_until(LIMIT, what, async || {
            Some(visitor.look("/portal").await.text).filter(|page| page.contains(what))
        })
        .await
    };
    let page = told("It is tried again after").await;
    contains(&page, &["When the balance falls below 10.00 USD", "The last payment was declined: "]);
    // An hour passes, and another.
    for again in ["It is tried again after", "It is off after three declines: "] {
        payer
            .sql("update topup.auto_top_up set not_before = clock_timestamp(), due_at = clock_timestamp(); select topup.run_due(1) from generate_series(1, 6)")
            .await;
        told(again).await;
    }
    assert_eq!(
        payer.ask("(select count(*) from topup.payment where origin = 'auto' and status = 'failed')").await,
        json!(3)
    );
    // A new card arms it again.
    payer.save_card(VISA).await;
    payer.till.charge("c", "USD", "1").await.expect_status(201);
    let page = told("29.00 USD</p>").await;
    assert!(!page.contains("three declines"), "{page}");
    payer.till.shop.database.check().await;
}

#[tokio::test]
async fn a_voucher_typed_in_another_way_is_found_and_closes_no_other_account() {
    let visitor = Visitor::inside().await;
    let shop = &visitor.payer.till.shop;
    let voucher = shop.send().await.data()["voucher_code"].as_str().unwrap().to_owned();
    let typed = voucher.replace('-', " ").to_lowercase().replace('0', "o");
    visitor.submit("/portal/redeem", &[("voucher_code", &typed)]).await.expect_status(303);
    let page = visitor.look("/portal").await.expect_status(200).text;
    contains(&page, &["claude: USD</option>", "default: USD</option>"]);
    // Where a form was sent there is a page, however it is come to.
    for path in ["/portal/redeem", "/portal/top-up", "/portal/auto-top-up", "/portal/card/remove", "/portal/"]
    {
        let led = visitor.look(path).await.expect_status(303);
        assert_eq!(led.header("location"), Some("/portal"), "{path}");
    }
    shop.database.check().await;
}

#[tokio::test]
async fn a_payment_that_was_refunded_says_so() {
    let visitor = Visitor::inside().await;
    let payer = &visitor.payer;
    let top_up = payer.top_up("30", json!({})).await;
    payer.pay(&top_up, VISA, &[]).await.expect_status(303);
    let path = format!("/top-ups/{}/refund", top_up.id);
    payer.till.root.post(&path, json!({"amount": 10})).await.expect_status(201);
    contains(&visitor.look("/portal").await.text, &["Paid, 10.00 USD refunded"]);
    payer.till.root.post(&path, json!({})).await.expect_status(201);
    contains(&visitor.look("/portal").await.text, &["Paid and refunded"]);
}
