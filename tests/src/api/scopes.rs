//! What a key may do: what its scopes say, until it is revoked.

use crate::api::isolation::{SCOPES, key, operations};
use crate::support::{Database, Gateway, call, wire};
use serde_json::{Value, json};

#[tokio::test]
async fn a_key_may_do_exactly_what_its_scopes_say() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let operations = operations(&admin).await;
    for scope in SCOPES {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        let (without, only) =
            (key(&tenant, "staging", &others).await, key(&tenant, "staging", &[scope]).await);
        for (operation, wanted) in &operations {
            let permitted = |envelope: Value| envelope["code"] != 2008;
            let with_others = permitted(wire(&admin, &without, operation, &json!({})).await.1);
            let with_only = permitted(wire(&admin, &only, operation, &json!({})).await.1);
            assert_eq!(
                (with_others, with_only),
                (wanted != scope, wanted == scope),
                "{operation} by {scope}"
            );
        }
    }
}

#[tokio::test]
async fn fulfilment_and_charging_the_owners_card_are_by_grant_only() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let mint = "select api_key from topup.mint_key(topup.create_tenant('Acme'), 'staging')";
    let key: String = admin.query_one(mint, &[]).await.unwrap().get(0);
    for (operation, scope) in operations(&admin).await {
        let (http_status, envelope) = wire(&admin, &key, &operation, &json!({})).await;
        let is_granted = !["fulfil", "funding"].contains(&scope.as_str());
        assert_eq!(envelope["code"] != 2008, is_granted, "{operation}");
        assert_eq!(http_status != 403, is_granted, "{operation}");
    }
    let app = database.app(&key).await;
    assert_eq!(call(&app, "topup.deliver('txn_00000000000000000000000000')").await["code"], 2008);
    assert_eq!(call(&app, "topup.fail('txn_00000000000000000000000000', 'x')").await["code"], 2008);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let database = Database::new().await;
    let admin = database.admin().await;
    let tenant = database.tenant("Acme").await;
    let (key_id, key) = tenant.key("staging", "").await;
    let (_, another) = tenant.key("staging", "").await;
    let gateway = Gateway::start(&database).await;
    let client = gateway.client(&key);
    let (app, bound) = (database.app(&key).await, database.bound(&key_id).await);
    client.get("/topup/balance").await.expect(200, 1000);
    assert_eq!(call(&app, "topup.balance()").await["code"], 1000);
    assert_eq!(call(&bound, "topup.balance()").await["code"], 1000);

    admin.execute("select topup.revoke_key($1)", &[&key_id]).await.unwrap();
    client.get("/topup/balance").await.expect(401, 2001);
    for session in [&app, &bound] {
        assert_eq!(call(session, "topup.send('claude', 1000)").await["code"], 2001);
        let seen = session.query("select from topup.keys", &[]).await.unwrap();
        assert!(seen.is_empty());
    }
    for (operation, _) in operations(&admin).await {
        let (http_status, envelope) = wire(&admin, &key, &operation, &json!({})).await;
        assert_eq!((http_status, &envelope["code"]), (401, &json!(2001)), "{operation}");
    }
    gateway.client(&another).get("/topup/balance").await.expect(200, 1000);
}
