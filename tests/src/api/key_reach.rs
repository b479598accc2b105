//! An agent's key is the weakest: of what other keys of its tenant did it sees no voucher code, undoes nothing, and is given
//! no reply again.

use crate::api::isolation::operations;
use crate::support::rpc::Rpc;
use crate::support::{Answer, Database, Gateway, Hook, Receiver, Shop, call, wait_for_deliveries, wire};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// Everything but what is there to see and undo of others.
const AGENT: &str = "scopes => '{send,read,cancel,redeem,webhooks,wallets,funding,fulfil}'";

/// An environment with an owner's key and one of an agent, and a platform that delivers later.
struct House {
    admin: Client,
    owner: String,
    agent: String,
    database: Database,
}

impl House {
    async fn open() -> House {
        let database = Database::new().await;
        let admin = database.admin().await;
        admin
            .batch_execute("select topup.set_platform('slow', 'Slow', delivery => 'deferred')")
            .await
            .unwrap();
        let tenant = database.tenant("Acme").await;
        let ((_, owner), (_, agent)) = (tenant.key("staging", "").await, tenant.key("staging", AGENT).await);
        House { admin, owner, agent, database }
    }

    async fn ask(&self, key: &str, operation: &str, request: Value) -> Value {
        wire(&self.admin, key, operation, &request).await.1
    }

    /// Under an Idempotency-Key: the reply's text.
    async fn once(&self, key: &str, operation: &str, request: &Value, idempotency_key: &str) -> String {
        let query = "select body from topup.call($1, $2, $3, $4)";
        let request = request.to_string();
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&key, &operation, &request, &idempotency_key];
        self.admin.query_one(query, &arguments).await.unwrap().get(0)
    }

    /// Sends a voucher, or to somebody: id and code.
    async fn send(&self, key: &str, to: Option<&str>) -> (String, String) {
        let request = json!({"platform": "claude", "amount_cents": 500, "recipient_email": to});
        let sent = self.ask(key, "send", request).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&sent["transaction_id"]), text(&sent["data"]["voucher_code"]))
    }
}

fn code(text: &str) -> Value {
    serde_json::from_str::<Value>(text).unwrap()["code"].clone()
}

#[tokio::test]
async fn no_operation_shows_a_key_the_voucher_codes_of_others() {
    let house = House::open().await;
    let (theirs, their_code) = house.send(&house.owner, None).await;
    let (delivered, delivered_code) = house.send(&house.owner, Some("ann@example.com")).await;
    let (_, own_code) = house.send(&house.agent, None).await;
    let pending = house.ask(&house.owner, "send", json!({"platform": "slow", "amount_cents": 500})).await;
    let pending = json!({"transaction_id": pending["transaction_id"]});
    let ended = house.ask(&house.agent, "deliver", pending.clone()).await;
    assert_eq!((&ended["code"], &ended["data"]["voucher_code"]), (&json!(1001), &Value::Null));
    let late_code = house.ask(&house.owner, "status", pending).await["data"]["voucher_code"].clone();
    let codes = [their_code.as_str(), &delivered_code, late_code.as_str().unwrap()];
    let shows = |text: &str| codes.iter().any(|code| text.contains(code));

    let mut own_seen = 0;
    for (operation, _) in operations(&house.admin).await {
        for request in [
            json!({}),
            json!({"transaction_id": theirs}),
            json!({"transaction_id": delivered, "reason": "x"}),
        ] {
            let reply = house.ask(&house.agent, &operation, request).await.to_string();
            assert!(!shows(&reply), "{operation} shows a code: {reply}");
            own_seen += usize::from(reply.contains(&own_code));
        }
    }
    assert!(own_seen > 0, "its own are shown");
    let all = house.ask(&house.owner, "history", json!({})).await.to_string();
    assert!(codes.iter().all(|code| all.contains(code)) && all.contains(&own_code), "vouchers shows all");

    let app = house.database.app(&house.agent).await;
    let views =
        "select relname::text from pg_class where relnamespace = 'topup'::regnamespace and relkind = 'v'
                    and has_table_privilege(oid, 'select')";
    for view in app.query(views, &[]).await.unwrap() {
        let rows =
            format!("select coalesce(string_agg(v::text, ' '), '') from topup.{} v", view.get::<_, &str>(0));
        let rows: String = app.query_one(&rows, &[]).await.unwrap().get(0);
        assert!(!shows(&rows), "{rows}");
    }
    let seen = "select count(*) from topup.top_ups where voucher_code = $1";
    let seen = async |key: &str| {
        let session = house.database.app(key).await;
        session.query_one(seen, &[&delivered_code]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!((seen(&house.agent).await, seen(&house.owner).await), (0, 1));
}

#[tokio::test]
async fn a_key_cancels_what_it_sent_and_what_others_sent_only_with_cancel_any() {
    let house = House::open().await;
    let slow = json!({"platform": "slow", "amount_cents": 500});
    let pending = async |key: &str| {
        let sent = house.ask(key, "send", slow.clone()).await;
        json!({"transaction_id": sent["transaction_id"]})
    };
    let (theirs, own) = (pending(&house.owner).await, pending(&house.agent).await);
    let before = house.database.contents().await;
    assert_eq!(house.ask(&house.agent, "cancel", theirs.clone()).await["code"], 2008);
    assert!(house.database.contents().await == before, "a refusal writes nothing");
    assert_eq!(house.ask(&house.agent, "cancel", own.clone()).await["code"], 3001);
    // Neither does it learn whether another's can be cancelled.
    let (sent, _) = house.send(&house.owner, None).await;
    assert_eq!(house.ask(&house.agent, "cancel", json!({"transaction_id": sent})).await["code"], 2008);

    let first = house.once(&house.owner, "cancel", &theirs, "cancel-1").await;
    assert_eq!(code(&first), 3001);
    assert_eq!(code(&house.once(&house.agent, "cancel", &theirs, "cancel-1").await), 2006);
    let also_own = pending(&house.agent).await;
    assert_eq!(house.ask(&house.owner, "cancel", also_own).await["code"], 3001, "the owner has cancel_any");
    house.database.check().await;
}

#[tokio::test]
async fn a_reply_is_given_again_to_the_key_that_asked_and_to_those_that_may_see_it() {
    let house = House::open().await;
    let order = json!({"platform": "claude", "amount_cents": 500});
    let first = house.once(&house.owner, "send", &order, "order-1").await;
    assert_eq!(code(&first), 1001);
    assert_eq!(house.once(&house.owner, "send", &order, "order-1").await, first);
    for _ in 0..2 {
        let guessed = house.once(&house.agent, "send", &order, "order-1").await;
        assert_eq!(code(&guessed), 2006, "{guessed}");
        assert!(!guessed.contains("ATU-"));
    }
    // Also where the owner's own send is in the same batch, and over SQL.
    let batch = "select body from topup.call_many(array[$1, $2], array['send', 'send'], array[$3, $3],
                                                  array['order-2', 'order-2'], array[null, null])";
    let batch = house.admin.query(batch, &[&house.owner, &house.agent, &order.to_string()]).await.unwrap();
    assert_eq!(batch.iter().map(|row| code(row.get(0))).collect::<Vec<_>>(), [1001, 2006]);
    let app = house.database.app(&house.agent).await;
    let over_sql = call(&app, "topup.send('claude', 500, idempotency_key => 'order-1')").await;
    assert_eq!(over_sql["code"], 2006);
    // The other way round the owner's key sees vouchers.
    let own = house.once(&house.agent, "send", &order, "order-3").await;
    assert_eq!(house.once(&house.owner, "send", &order, "order-3").await, own);

    let endpoint = json!({"url": "https://example.com/hook"});
    let registered = house.once(&house.owner, "webhook_register", &endpoint, "hook-1").await;
    assert_eq!(house.once(&house.owner, "webhook_register", &endpoint, "hook-1").await, registered);
    let guessed = house.once(&house.agent, "webhook_register", &endpoint, "hook-1").await;
    assert!(code(&guessed) == 2006 && !guessed.contains("whsec_"), "{guessed}");
    let id = json!({"id": serde_json::from_str::<Value>(&registered).unwrap()["data"]["id"]});
    let rotated = house.once(&house.agent, "webhook_rotate", &id, "rotate-1").await;
    assert_eq!(code(&rotated), 1000);
    let guessed = house.once(&house.owner, "webhook_rotate", &id, "rotate-1").await;
    assert!(
        code(&guessed) == 2006 && !guessed.contains("whsec_"),
        "not even to a key that may do everything"
    );
    assert_eq!(house.once(&house.agent, "webhook_rotate", &id, "rotate-1").await, rotated);
    house.database.check().await;
}

#[tokio::test]
async fn an_endpoint_is_told_the_voucher_codes_that_its_key_may_see() {
    let shop = Shop::open().await;
    let account: String =
        shop.database.admin().await.query_one("select tenant_id from topup.keys", &[]).await.unwrap().get(0);
    let mint = "select api_key from topup.mint_key($1, 'staging', scopes => '{send,read,webhooks}')";
    let admin = shop.database.admin().await;
    let agent: String = admin.query_one(mint, &[&account]).await.unwrap().get(0);
    let agent = shop.gateway.client(&agent);
    let (all, few) = (Receiver::start().await, Receiver::start().await);
    few.answer((0..2).map(|_| Answer::Reply(200, "thanks for the code".to_owned())));
    Hook::register(&shop.client, &all.url).await;
    Hook::register(&agent, &few.url).await;
    let theirs = shop.send().await.data()["voucher_code"].clone();
    wait_for_deliveries(&shop.client, "succeeded", 2).await;
    let order = json!({"platform": "claude", "amount_cents": 500});
    let own = agent.post("/topup/send", order).await.expect(200, 1001).data()["voucher_code"].clone();
    wait_for_deliveries(&shop.client, "succeeded", 4).await;

    let told = |receiver: &Receiver| {
        let bodies = receiver.requests();
        let code = |body: &str| {
            let body: Value = serde_json::from_str(body).unwrap();
            (body["data"]["data"]["voucher_code"].clone(), body["data"]["transaction_id"].is_string())
        };
        bodies.iter().map(|request| code(&request.body)).collect::<Vec<_>>()
    };
    assert_eq!(told(&all), [(theirs, true), (own.clone(), true)]);
    assert_eq!(told(&few), [(Value::Null, true), (own, true)], "its own is shown to it");

    // What a receiver answers may repeat what it was told.
    let answers = async |client| {
        let log = wait_for_deliveries(client, "succeeded", 4).await;
        log.iter().map(|delivery| delivery["attempts"][0]["response"].clone()).collect::<Vec<Value>>()
    };
    assert!(answers(&shop.client).await.contains(&json!("thanks for the code")));
    assert!(answers(&agent).await.iter().all(Value::is_null));
}

#[tokio::test]
async fn an_agent_over_mcp_reaches_no_further() {
    let house = House::open().await;
    let gateway = Gateway::start(&house.database).await;
    let (theirs, voucher) = house.send(&house.owner, None).await;
    let rpc = Rpc::new(&gateway, &house.agent);
    let id = json!({"transaction_id": theirs});
    let status = rpc.call("get_status", id.clone()).await;
    assert!(status.envelope["code"] == 1001 && !status.text.contains(&voucher), "{}", status.text);
    let cancelled = rpc.call("cancel_topup", id).await;
    assert_eq!(cancelled.envelope["code"], 2008, "{}", cancelled.text);
}
