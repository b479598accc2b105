//! From pending to the end: platforms that deliver later, the staging endings, and vouchers that are redeemed.

use crate::support::{Database, Gateway, LIMIT, wait_until, wire};
use serde_json::{Value, json};
use tokio_postgres::Client;

const EVERY_SCOPE: &str = "scopes => '{send,read,cancel,redeem,webhooks,wallets,fulfil}'";

/// A tenant with a key that may do everything, and a platform that delivers later.
struct Shop {
    admin: Client,
    key: String,
    // Dropped last: the database of the session above.
    database: Database,
}

async fn shop() -> Shop {
    let database = Database::new().await;
    let admin = database.admin().await;
    let deferred = "select topup.set_platform('slow', 'Slow', delivery => 'deferred')";
    admin.execute(deferred, &[]).await.unwrap();
    let (_, key) = database.tenant("Acme").await.key("staging", EVERY_SCOPE).await;
    Shop { admin, key, database }
}

impl Shop {
    async fn ask(&self, operation: &str, request: Value) -> (i16, Value) {
        wire(&self.admin, &self.key, operation, &request).await
    }

    /// The code of a reply, and its data.
    async fn code(&self, operation: &str, request: Value) -> (i64, Value) {
        let (_, envelope) = self.ask(operation, request).await;
        (envelope["code"].as_i64().unwrap(), envelope["data"].clone())
    }

    /// Sends through the deferred platform; gives the id of what is pending.
    async fn pending(&self, email: Option<&str>) -> String {
        let mut request = json!({"platform": "slow", "amount_cents": 1000});
        if let Some(email) = email {
            request["recipient_email"] = json!(email);
        }
        let (http_status, envelope) = self.ask("send", request).await;
        assert_eq!(
            (http_status, &envelope["code"], &envelope["status"]),
            (202, &json!(1002), &json!("pending"))
        );
        assert_eq!(envelope["data"]["voucher_code"], Value::Null);
        envelope["transaction_id"].as_str().unwrap().to_owned()
    }

    async fn voucher(&self, cents: i64) -> String {
        let (code, data) = self.code("send", json!({"platform": "claude", "amount_cents": cents})).await;
        assert_eq!(code, 1001);
        data["voucher_code"].as_str().unwrap().to_owned()
    }

    async fn wallet_cents(&self) -> i64 {
        self.code("balance", json!({})).await.1["balance_cents"].as_i64().unwrap()
    }

    /// What a customer holds, by name of account.
    async fn holds(&self, email: &str) -> Vec<(String, String)> {
        let query =
            "select a.name, balance::text from topup.accounts a join topup.customers using (customer_id)
                      where email = $1 order by a.name";
        let rows = self.admin.query(query, &[&email]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

fn of(id: &str) -> Value {
    json!({"transaction_id": id})
}

#[tokio::test]
async fn a_deferred_top_up_is_pending_until_it_is_delivered() {
    let shop = shop().await;
    let id = shop.pending(None).await;
    let (http_status, status) = shop.ask("status", of(&id)).await;
    assert_eq!((http_status, &status["code"]), (200, &json!(1002)));
    assert_eq!(shop.wallet_cents().await, 99_000);

    let delivered = shop.ask("deliver", of(&id)).await.1;
    assert_eq!((&delivered["code"], &delivered["status"]), (&json!(1001), &json!("delivered")));
    assert_eq!(delivered["transaction_id"], id.as_str());
    let voucher = delivered["data"]["voucher_code"].as_str().unwrap();
    assert!(voucher.starts_with("ATU-") && voucher.len() == 23, "{voucher}");
    assert_eq!(shop.ask("status", of(&id)).await.1["data"], delivered["data"]);
    let redeem = json!({"voucher_code": voucher, "email": "ann@example.com"});
    assert_eq!(shop.code("redeem", redeem).await.0, 1000);
    assert_eq!(shop.holds("ann@example.com").await, [("slow".to_owned(), "10".to_owned())]);
    shop.database.check().await;
}

#[tokio::test]
async fn the_platforms_own_voucher_is_delivered_and_redeemed() {
    let shop = shop().await;
    let id = shop.pending(None).await;
    let deliver = json!({"transaction_id": id, "voucher_code": "slow-card_77"});
    let (code, data) = shop.code("deliver", deliver.clone()).await;
    assert_eq!((code, &data["voucher_code"]), (1001, &json!("slow-card_77")));
    assert_eq!(shop.code("deliver", deliver).await, (1001, data), "delivering twice is one delivery");

    let other = shop.pending(None).await;
    let taken = json!({"transaction_id": other, "voucher_code": "slow-card_77"});
    assert_eq!(shop.code("deliver", taken).await.0, 2006);
    for bad in ["", "with space", "ü", &"x".repeat(65)] {
        let (code, data) = shop.code("deliver", json!({"transaction_id": other, "voucher_code": bad})).await;
        assert_eq!((code, &data["field"]), (2000, &json!("voucher_code")), "{bad}");
    }
    let redeem = json!({"voucher_code": "slow-card_77", "email": "ann@example.com"});
    assert_eq!(shop.code("redeem", redeem).await.0, 1000);
    shop.database.check().await;
}

#[tokio::test]
async fn a_delivery_to_a_recipient_lands_in_their_wallet() {
    let shop = shop().await;
    let id = shop.pending(Some("ann@example.com")).await;
    assert_eq!(shop.holds("ann@example.com").await, []);
    let (code, data) = shop.code("deliver", of(&id)).await;
    assert_eq!((code, &data["recipient_email"]), (1001, &json!("ann@example.com")));
    assert_eq!(shop.holds("ann@example.com").await, [("slow".to_owned(), "10".to_owned())]);
    let again = json!({"voucher_code": data["voucher_code"], "email": "thief@example.com"});
    assert_eq!(shop.code("redeem", again).await.0, 3006);
    shop.database.check().await;
}

#[tokio::test]
async fn a_failed_top_up_returns_the_money_and_says_why() {
    let shop = shop().await;
    let id = shop.pending(Some("ann@example.com")).await;
    let fail = json!({"transaction_id": id, "reason": "out of stock"});
    let failed = shop.ask("fail", fail.clone()).await;
    assert_eq!((failed.0, &failed.1["success"], &failed.1["status"]), (200, &json!(false), &json!("failed")));
    assert_eq!(
        (&failed.1["code"], &failed.1["data"]["failure_reason"]),
        (&json!(1003), &json!("out of stock"))
    );
    assert_eq!(shop.wallet_cents().await, 100_000);
    assert_eq!(shop.code("fail", fail).await.0, 1003);
    assert_eq!(shop.wallet_cents().await, 100_000);
    assert_eq!(shop.code("status", of(&id)).await.0, 1003);
    assert_eq!(shop.holds("ann@example.com").await, []);
    for reason in [json!(""), json!("x".repeat(501)), json!(7)] {
        let (code, data) = shop.code("fail", json!({"transaction_id": id, "reason": reason})).await;
        assert_eq!((code, &data["field"]), (2000, &json!("reason")));
    }
    shop.database.check().await;
}

#[tokio::test]
async fn every_ending_after_another_has_its_code() {
    let shop = shop().await;
    let fail = |id: &str| json!({"transaction_id": id, "reason": "late"});
    for (ending, request, codes) in [
        // What comes then of cancel, deliver, deliver with another voucher, and fail.
        ("deliver", of as fn(&str) -> Value, [3002, 1001, 3002, 3002]),
        ("fail", fail, [3004, 3004, 3004, 1003]),
        ("cancel", of, [3001, 3003, 3003, 3003]),
    ] {
        let id = shop.pending(None).await;
        assert!(shop.code(ending, request(&id)).await.0 != 3003);
        let before = shop.database.contents().await;
        let other_voucher = json!({"transaction_id": id, "voucher_code": "other"});
        let later = [
            shop.code("cancel", of(&id)).await.0,
            shop.code("deliver", of(&id)).await.0,
            shop.code("deliver", other_voucher).await.0,
            shop.code("fail", fail(&id)).await.0,
        ];
        assert_eq!(later, codes, "after {ending}");
        assert!(shop.database.contents().await == before, "after {ending}, something more was written");
    }
    for operation in ["cancel", "deliver", "status"] {
        for id in ["txn_00000000000000000000000000", "txn_", "", "acct_00000000000000000000000000"] {
            assert_eq!(shop.code(operation, of(id)).await.0, 3003, "{operation} {id}");
        }
    }
    shop.database.check().await;
}

#[tokio::test]
async fn staging_plays_every_ending() {
    let shop = shop().await;
    let _gateway = Gateway::start(&shop.database).await;
    let send = async |email: &str| {
        let request = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": email});
        let envelope = shop.ask("send", request).await.1;
        assert_eq!(envelope["code"], 1002, "{envelope}");
        envelope["transaction_id"].as_str().unwrap().to_owned()
    };
    let (stays, fails) = (send("ann+pending@example.com").await, send("ann+fail@example.com").await);
    wait_until(LIMIT, "the top-up fails by itself", async || {
        (shop.code("status", of(&fails)).await.0 == 1003).then_some(())
    })
    .await;
    assert_eq!(shop.code("status", of(&stays)).await.0, 1002);
    assert_eq!(shop.wallet_cents().await, 99_000);
    assert_eq!(shop.code("deliver", of(&stays)).await.0, 1001);
    shop.database.check().await;
}

#[tokio::test]
async fn in_live_the_staging_addresses_are_addresses_like_any() {
    let shop = shop().await;
    let tenant = shop.database.tenant("Live").await;
    let (_, key) = tenant.key("live", "").await;
    shop.admin.execute("select topup.fund($1, 'live', 5000, 'f')", &[&tenant.id]).await.unwrap();
    for email in ["ann+pending@example.com", "ann+fail@example.com"] {
        let request = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": email});
        assert_eq!(wire(&shop.admin, &key, "send", &request).await.1["code"], 1001, "{email}");
    }
}

#[tokio::test]
async fn a_voucher_is_redeemed_once_by_email_or_by_customer() {
    let shop = shop().await;
    let voucher = shop.voucher(1000).await;
    let redeem = json!({"voucher_code": voucher, "email": "Ann@example.com"});
    let (code, data) = shop.code("redeem", redeem.clone()).await;
    assert_eq!(
        (code, &data["amount_cents"], &data["account_id"]),
        (1000, &json!(1000), &json!("claude:USD"))
    );
    assert_eq!(data["account_balance_cents"], 1000);
    assert_eq!(shop.code("redeem", redeem).await.0, 3006);

    let customer = data["customer_id"].as_str().unwrap();
    let second = json!({"voucher_code": shop.voucher(500).await.to_lowercase(), "customer_id": customer});
    let (code, data) = shop.code("redeem", second.clone()).await;
    assert_eq!((code, &data["account_balance_cents"]), (1000, &json!(1500)));
    assert_eq!(shop.code("redeem", second).await.0, 3006);
    let third = json!({"voucher_code": shop.voucher(200).await, "email": "ANN@EXAMPLE.COM"});
    assert_eq!(shop.code("redeem", third).await.1["customer_id"], customer, "one address, one customer");
    assert_eq!(shop.wallet_cents().await, 98_300, "redeeming moves nothing of the sender's");
    shop.database.check().await;
}

#[tokio::test]
async fn a_redemption_that_makes_no_sense_changes_nothing() {
    let shop = shop().await;
    let voucher = shop.voucher(1000).await;
    let pending = shop.pending(None).await;
    let before = shop.database.contents().await;
    let email = "ann@example.com";
    for (request, code, field) in [
        (json!({"voucher_code": "ATU-0000-0000-0000-0000", "email": email}), 3005, "voucher_code"),
        (json!({"voucher_code": "", "email": email}), 3005, "voucher_code"),
        (json!({"voucher_code": pending, "email": email}), 3005, "voucher_code"),
        (json!({"voucher_code": voucher}), 2000, "customer_id"),
        (
            json!({"voucher_code": voucher, "customer_id": "cust_00000000000000000000000000"}),
            2000,
            "customer_id",
        ),
        (json!({"voucher_code": voucher, "customer_id": "cust_1", "email": email}), 2000, "email"),
        (json!({"voucher_code": voucher, "email": "nobody"}), 2004, "email"),
        (json!({"email": email}), 2000, "voucher_code"),
    ] {
        let (found, data) = shop.code("redeem", request.clone()).await;
        assert_eq!((found, &data["field"]), (code, &json!(field)), "{request}: {data}");
    }
    assert!(shop.database.contents().await == before);
}
