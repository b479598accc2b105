//! Customers: made, found, changed; an external id and an address are one customer's only.

use crate::support::{LIMIT, Shop, call, wait_until};
use serde_json::{Value, json};

async fn make(shop: &Shop, customer: Value) -> String {
    let made = shop.client.at_root().post("/customers", customer).await.expect_status(201);
    assert_eq!(made.json["subscriptions"], json!([]));
    made.json["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_customer_is_made_looked_up_and_changed() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let accounts = json!([{"provider": "stripe", "provider_id": "cus_1"}]);
    let id = make(
        &shop,
        json!({"name": "Ann", "external_id": "a-1", "email": "Ann@example.com", "subscriptions": [],
                                "metadata": {"plan": "pro", "n": "1.50"}, "external_accounts": accounts}),
    )
    .await;
    assert!(id.starts_with("cust_"));
    let got = root.get(&format!("/customers/{id}")).await.expect_status(200).json;
    assert_eq!(
        (&got["id"], &got["name"], &got["external_id"], &got["email"]),
        (&json!(id), &json!("Ann"), &json!("a-1"), &json!("Ann@example.com"))
    );
    assert_eq!(
        (&got["metadata"], &got["external_accounts"]),
        (&json!({"plan": "pro", "n": "1.50"}), &accounts)
    );
    assert_eq!((&got["active_subscription_count"], &got["subscriptions"]), (&json!(0), &json!([])));
    assert!(got["created_at"].as_str().unwrap().ends_with('Z'));

    let changed = root.patch(&format!("/customers/{id}"), json!({"name": "Anne"})).await;
    assert_eq!((changed.status, changed.text.as_str()), (204, ""));
    let got = root.get(&format!("/customers/{id}")).await.json;
    assert_eq!((&got["name"], &got["email"]), (&json!("Anne"), &json!("Ann@example.com")));
    root.patch(&format!("/customers/{id}"), json!({"external_id": "a-2", "email": "anne@example.com"}))
        .await
        .expect_status(204);
    let got = root.get(&format!("/customers/{id}")).await.json;
    assert_eq!((&got["external_id"], &got["email"]), (&json!("a-2"), &json!("anne@example.com")));
    for wrong in ["cust_00000000000000000000000000", "a-2", "stats", "txn_00000000000000000000000000"] {
        let path = format!("/customers/{wrong}");
        root.get(&path).await.expect_problem(404, 2000, Some("customer_id"));
        root.patch(&path, json!({"name": "x"})).await.expect_problem(404, 2000, Some("customer_id"));
    }
    shop.database.check().await;
}

#[tokio::test]
async fn null_clears_what_a_customer_has_and_another_may_have_it() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let customer = json!({"name": "Ann", "external_id": "a-1", "email": "ann@example.com"});
    let id = make(&shop, customer.clone()).await;
    let path = format!("/customers/{id}");
    let names = async || {
        let got = root.get(&path).await.expect_status(200).json;
        (got["name"].clone(), got["external_id"].clone(), got["email"].clone())
    };
    root.patch(&path, json!({"name": null})).await.expect_status(204);
    assert_eq!(names().await, (json!("ann@example.com"), json!("a-1"), json!("ann@example.com")));
    // Whoever was called by the address is not called so when it is gone.
    root.patch(&path, json!({"email": null})).await.expect_status(204);
    assert_eq!(names().await, (json!("a-1"), json!("a-1"), Value::Null));
    root.patch(&path, json!({"external_id": null, "name": null})).await.expect_status(204);
    assert_eq!(names().await, (json!(id), Value::Null, Value::Null));
    root.patch(&path, json!({})).await.expect_status(204);
    assert_eq!(names().await, (json!(id), Value::Null, Value::Null));
    let other = make(&shop, customer).await;
    root.patch(&path, json!({"email": "ANN@example.com"})).await.expect_problem(409, 2006, Some("email"));

    // The same in SQL, where null is what is left out.
    let app = shop.database.app(&shop.key).await;
    let update = async |arguments: &str| call(&app, &format!("topup.customer_update({arguments})")).await;
    assert_eq!(update(&format!("'{other}', clear => '{{email,external_id}}'")).await["code"], 1000);
    assert_eq!(update(&format!("'{id}', 'Anne', 'a-1', 'ann@example.com'")).await["code"], 1000);
    assert_eq!(names().await, (json!("Anne"), json!("a-1"), json!("ann@example.com")));
    assert_eq!(
        update(&format!("'{id}', email => 'anne@example.com', clear => '{{email}}'")).await["code"],
        1000
    );
    assert_eq!(names().await.2, "anne@example.com", "a value counts more than that it is cleared");
    let unknown = update(&format!("'{id}', clear => '{{phone}}'")).await;
    assert_eq!((&unknown["code"], &unknown["data"]["field"]), (&json!(2000), &json!("clear")));
    shop.database.check().await;
}

#[tokio::test]
async fn an_external_id_and_an_address_are_one_customers_only() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    make(&shop, json!({"name": "Ann", "external_id": "a", "email": "ann@example.com"})).await;
    let bob = make(&shop, json!({"name": "Bob", "external_id": "b", "email": "bob@example.com"})).await;
    make(&shop, json!({"name": "Neither"})).await;
    make(&shop, json!({"name": "Neither"})).await;
    let before = shop.database.contents().await;
    let path = format!("/customers/{bob}");
    for (field, values) in [
        ("external_id", json!({"name": "x", "external_id": "a"})),
        ("email", json!({"name": "x", "email": "ANN@example.com"})),
    ] {
        root.post("/customers", values.clone()).await.expect_problem(409, 2006, Some(field));
        root.patch(&path, values).await.expect_problem(409, 2006, Some(field));
    }
    assert!(shop.database.contents().await == before, "a refusal changed something");
    root.patch(&path, json!({"external_id": "b", "email": "BOB@example.com"})).await.expect_status(204);
    // The other environment of the tenant and other tenants are other worlds.
    let other = shop.database.staging_key().await;
    let stranger = shop.gateway.client(&other).at_root();
    stranger.post("/customers", json!({"name": "x", "external_id": "a"})).await.expect_status(201);
    stranger.get(&path).await.expect_problem(404, 2000, Some("customer_id"));
    shop.database.check().await;
}

#[tokio::test]
async fn a_taken_address_leaves_the_callers_transaction_alive() {
    let shop = Shop::open().await;
    make(&shop, json!({"name": "Ann", "email": "ann@example.com"})).await;
    let bob = make(&shop, json!({"name": "Bob"})).await;
    let app = shop.database.app(&shop.key).await;
    app.batch_execute("begin").await.unwrap();
    let update = format!("topup.customer_update('{bob}', email => 'ann@example.com')");
    assert_eq!(call(&app, &update).await["code"], 2006);
    assert_eq!(call(&app, "topup.customer_create('Cy', email => 'ann@example.com')").await["code"], 2006);
    assert_eq!(call(&app, "topup.customer_create('Cy', email => 'cy@example.com')").await["code"], 1000);
    app.batch_execute("commit").await.unwrap();
    assert_eq!(call(&app, "topup.customer_list()").await["data"]["total_count"], 3);
}

#[tokio::test]
async fn two_who_take_one_external_id_at_once_are_told_apart() {
    let shop = Shop::open().await;
    let (first, second) = (shop.database.app(&shop.key).await, shop.database.app(&shop.key).await);
    first.batch_execute("begin").await.unwrap();
    assert_eq!(call(&first, "topup.customer_create('A', 'same')").await["code"], 1000);
    let waiting = tokio::spawn(async move { call(&second, "topup.customer_create('B', 'same')").await });
    let admin = shop.database.admin().await;
    let blocked =
        "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    wait_until(LIMIT, "the second waits", async || admin.query_opt(blocked, &[]).await.unwrap()).await;
    first.batch_execute("commit").await.unwrap();
    let refused = waiting.await.unwrap();
    assert_eq!((&refused["code"], &refused["data"]["field"]), (&json!(2006), &json!("external_id")));
}

#[tokio::test]
async fn customers_are_listed_newest_first_by_what_is_asked() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let mut ids = Vec::new();
    for n in 0..5 {
        let email = format!("user{n}@example.com");
        ids.push(
            make(
                &shop,
                json!({"name": format!("User Nr. {n}"), "external_id": format!("x{n}"), "email": email}),
            )
            .await,
        );
    }
    let list = async |query: &str| root.get(&format!("/customers{query}")).await.expect_status(200).json;
    let of = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("").await;
    assert_eq!(of(&all), ids.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!((&all["total_count"], &all["limit"], &all["offset"]), (&json!(5), &json!(20), &json!(0)));
    let item = json!({"id": ids[4], "external_id": "x4", "name": "User Nr. 4", "email": "user4@example.com",
                      "active_subscription_count": 0});
    assert_eq!(all["items"][0], item);
    let page = list("?limit=2&offset=3").await;
    assert_eq!((of(&page), &page["total_count"]), (vec![ids[1].clone(), ids[0].clone()], &json!(5)));
    let beyond = list("?offset=9").await;
    assert_eq!((&beyond["items"], &beyond["total_count"]), (&json!([]), &json!(5)));
    for (query, found) in [
        (format!("?customer_id={}", ids[2]), vec![2]),
        ("?customer_id=nobody".to_owned(), vec![]),
        ("?external_id=x3".to_owned(), vec![3]),
        ("?external_id=x".to_owned(), vec![]),
        ("?email=USER1%40example.com".to_owned(), vec![1]),
        ("?name=nr.%200".to_owned(), vec![0]),
        ("?name=%25".to_owned(), vec![]),
        ("?name=user&external_id=x0".to_owned(), vec![0]),
        ("?status=active".to_owned(), vec![]),
        ("?status=inactive".to_owned(), vec![4, 3, 2, 1, 0]),
    ] {
        let wanted: Vec<String> = found.iter().map(|n: &usize| ids[*n].clone()).collect();
        let page = list(&query).await;
        assert_eq!((of(&page), &page["total_count"]), (wanted, &json!(found.len())), "{query}");
    }
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?offset=-1", "offset"),
        ("?limit=x", "limit"),
        ("?status=maybe", "status"),
    ] {
        root.get(&format!("/customers{query}")).await.expect_problem(422, 2000, Some(field));
    }
    let app = shop.database.app(&shop.key).await;
    let by_sql = call(&app, "topup.customer_list(name => 'nr.', page_size => 2, page_offset => 3)").await;
    assert_eq!(by_sql["data"], page);
}

#[tokio::test]
async fn a_customer_whom_a_send_made_has_its_address_as_its_name() {
    let shop = Shop::open().await;
    let send = json!({"platform": "claude", "amount_cents": 100, "recipient_email": "new@example.com"});
    shop.client.post("/topup/send", send.clone()).await.expect(200, 1001);
    let root = shop.client.at_root();
    let found = root.get("/customers?email=new%40example.com").await.json["items"][0].clone();
    assert_eq!(found["name"], "new@example.com");
    let path = format!("/customers/{}", found["id"].as_str().unwrap());
    root.patch(&path, json!({"name": "Nina", "external_id": "n"})).await.expect_status(204);
    shop.client.post("/topup/send", send).await.expect(200, 1001);
    assert_eq!(root.get(&path).await.json["name"], "Nina");
    let wallet = root.get(&format!("{path}/wallet")).await.json;
    assert_eq!(
        wallet,
        json!({"accounts": [{"id": "claude:USD", "name": "claude", "asset": "USD", "available": 2}]})
    );
    shop.database.check().await;
}

#[tokio::test]
async fn what_is_no_customer_is_refused_by_field() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let before = shop.database.contents().await;
    let large = "x".repeat(4100);
    for (field, code, customer) in [
        ("name", 2000, json!({})),
        ("name", 2000, json!({"name": " "})),
        ("name", 2000, json!({"name": "x".repeat(201)})),
        ("external_id", 2000, json!({"name": "x", "external_id": ""})),
        ("external_id", 2000, json!({"name": "x", "external_id": "x".repeat(256)})),
        ("email", 2004, json!({"name": "x", "email": "nobody"})),
        ("metadata.a", 2000, json!({"name": "x", "metadata": {"a": 1}})),
        ("metadata", 2000, json!({"name": "x", "metadata": {"a": large}})),
        ("metadata", 2000, json!({"name": "x", "metadata": []})),
        ("subscriptions[0].products", 2000, json!({"name": "x", "subscriptions": [{"products": []}]})),
        (
            "external_accounts[0].provider_id",
            2000,
            json!({"name": "x", "external_accounts": [{"provider": "stripe"}]}),
        ),
    ] {
        root.post("/customers", customer).await.expect_problem(422, code, Some(field));
    }
    assert!(shop.database.contents().await == before);
}
