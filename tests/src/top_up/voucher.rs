//! Voucher codes as people type and paste them: found over HTTP, in SQL and in the portal.

use crate::support::{Shop, Visitor, call};
use serde_json::json;

type Typing = fn(&str) -> String;

/// What becomes of a code on its way through mails, chats, phones and keyboards.
const WAYS: [(&str, Typing); 16] = [
    ("small letters", |code| code.to_lowercase()),
    ("without dashes", |code| code.replace('-', "")),
    ("en dashes", |code| code.replace('-', "\u{2013}")),
    ("em dashes", |code| code.replace('-', "\u{2014}")),
    ("minus signs", |code| code.replace('-', "\u{2212}")),
    ("hyphens that do not break", |code| code.replace('-', "\u{2011}")),
    ("full-width dashes", |code| code.replace('-', "\u{ff0d}")),
    ("long vowel signs", |code| code.replace('-', "\u{30fc}")),
    ("spaces that do not break", |code| code.replace('-', "\u{a0}")),
    ("full width", |code| code.chars().map(full_width).collect()),
    ("a byte order mark", |code| format!("\u{feff}{code}\r\n")),
    ("characters without width", |code| code.replace('-', "-\u{200b}\u{200d}\u{2060}\u{ad}")),
    ("straight quotes", |code| format!("\"{code}\"")),
    ("curly quotes", |code| format!("\u{201e}{code}\u{201c}")),
    ("angular quotes", |code| format!("\u{ab}\u{a0}{code}\u{a0}\u{bb}")),
    ("letters that look like digits", |code| format!("ATU{}", code[3..].replace('0', "O").replace('1', "l"))),
];

fn full_width(symbol: char) -> char {
    char::from_u32(u32::from(symbol) - u32::from('!') + 0xff01).unwrap()
}

async fn new_voucher(shop: &Shop) -> String {
    shop.send().await.expect(200, 1001).data()["voucher_code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_voucher_is_found_however_it_is_typed_and_wherever() {
    let mut visitor = Visitor::open().await;
    let shop = &visitor.payer.till.shop;
    let app = shop.database.app(&shop.key).await;
    let mut vouchers = Vec::new();
    for (way, typed) in WAYS {
        let (over_http, in_sql, in_portal) =
            (new_voucher(shop).await, new_voucher(shop).await, new_voucher(shop).await);
        let redeem = json!({"voucher_code": typed(&over_http), "email": "ann@example.com"});
        let redeemed = shop.client.post("/topup/redeem", redeem).await;
        assert_eq!((redeemed.code(), &redeemed.data()["voucher_code"]), (1000, &json!(over_http)), "{way}");
        let query = format!("topup.redeem('{}', email => 'ann@example.com')", typed(&in_sql));
        let redeemed = call(&app, &query).await;
        assert_eq!(redeemed["data"]["voucher_code"], in_sql.as_str(), "{way}: {redeemed}");
        vouchers.push((way, typed(&in_portal)));
    }
    visitor.go_in().await;
    for (way, typed) in vouchers {
        let done = visitor.submit("/portal/redeem", &[("voucher_code", &typed)]).await;
        assert_eq!(done.status, 303, "{way}: {}", done.text);
    }
    visitor.payer.till.shop.database.check().await;
}

#[tokio::test]
async fn a_platforms_own_code_is_found_without_what_copying_adds() {
    let shop = Shop::open().await;
    let tenant = shop.database.tenant("Acme").await;
    let scopes = "scopes => array['send','read','redeem','fulfil']";
    let client = shop.gateway.client(&tenant.key("staging", scopes).await.1);
    let admin = shop.database.admin().await;
    admin.execute("select topup.set_platform('slow', 'Slow', delivery => 'deferred')", &[]).await.unwrap();
    for (n, typed) in
        ["\u{201c}gift\u{2013}A1_b{n}\u{201d}", "\u{feff}gift-\u{200b}A1_b{n} ", "'gift-A1_b{n}'"]
            .into_iter()
            .enumerate()
    {
        let order = json!({"platform": "slow", "amount_cents": 1000});
        let pending = client.post("/topup/send", order).await.expect(202, 1002).transaction_id();
        let code = format!("gift-A1_b{n}");
        let deliver = json!({"transaction_id": pending, "voucher_code": code});
        client.post("/topup/deliver", deliver).await.expect(200, 1001);
        let typed = typed.replace("{n}", &n.to_string());
        // A platform's letters are its own business.
        let other = json!({"voucher_code": typed.to_uppercase(), "email": "ann@example.com"});
        client.post("/topup/redeem", other).await.expect(404, 3005);
        let redeem = json!({"voucher_code": typed, "email": "ann@example.com"});
        assert_eq!(client.post("/topup/redeem", redeem).await.expect(200, 1000).data()["voucher_code"], code);
    }
    shop.database.check().await;
}
