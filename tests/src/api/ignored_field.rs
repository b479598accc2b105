//! Fields that no schema knows, on the surfaces that ignore them: the reply names each in a `Warning`. Made from the catalog.

use crate::support::Shop;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// Types inside each other that are looked into; a price holds prices.
const DEPTH_MAX: usize = 5;

/// A field that may be left out: the way to it, its name, and whether its owner stands in a list.
struct Optional {
    way: Vec<(String, bool)>,
    name: String,
}

fn resolved<'a>(schema: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    if let Some(at) = schema["$ref"].as_str() {
        return resolved(root.pointer(at.trim_start_matches('#')).unwrap(), root);
    }
    let parts = schema["anyOf"].as_array().or(schema["oneOf"].as_array());
    match parts {
        Some(parts) => parts.iter().flat_map(|part| resolved(part, root)).collect(),
        None => vec![schema],
    }
}

fn optionals(schema: &Value, root: &Value, way: &[(String, bool)], found: &mut Vec<Optional>) {
    if way.len() > DEPTH_MAX {
        return;
    }
    for part in resolved(schema, root) {
        let required: Vec<&str> =
            part["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()).collect();
        for (name, field) in part["properties"].as_object().into_iter().flatten() {
            if !required.contains(&name.as_str()) {
                found.push(Optional { way: way.to_vec(), name: name.clone() });
            }
            for inner in resolved(field, root) {
                let is_list = inner.get("items").is_some();
                let mut further = way.to_vec();
                further.push((name.clone(), is_list));
                optionals(if is_list { &inner["items"] } else { inner }, root, &further, found);
            }
        }
    }
}

/// With its first letter twice.
fn misspelt(name: &str) -> String {
    format!("{}{name}", &name[..1])
}

impl Optional {
    /// A body with nothing but the misspelt field, where it would stand, and what a reply calls it.
    fn body(&self) -> (Value, String) {
        let mut body = json!({misspelt(&self.name): 1});
        let mut path = String::new();
        for (name, is_list) in self.way.iter().rev() {
            body = if *is_list { json!({name: [body]}) } else { json!({name: body}) };
        }
        for (name, is_list) in &self.way {
            path.push_str(&format!("{name}{}.", if *is_list { "[0]" } else { "" }));
        }
        (body, format!("{path}{}", misspelt(&self.name)))
    }
}

#[tokio::test]
async fn every_misspelt_optional_field_is_named_with_the_right_one() {
    let shop = Shop::open_with(&["--allow-private-webhooks", "--rate-limit", "0"]).await;
    let key = shop
        .database
        .tenant("Almighty")
        .await
        .key("staging", "scopes => array['send', 'read', 'wallets', 'funding']")
        .await
        .1;
    let root = shop.gateway.client(&key).at_root();
    let mut checked = 0;
    for row in shop.operations().await.iter().filter(|row| row["surface"] != "envelope") {
        let schema = &row["request_schema"];
        let method = Method::from_bytes(row["method"].as_str().unwrap().as_bytes()).unwrap();
        let path: Vec<&str> = row["path"].as_str().unwrap().split('/').collect();
        let is_in_path = |name: &str| path.contains(&format!("{{{name}}}").as_str());
        let at = path
            .iter()
            .map(|part| if part.starts_with('{') { "x" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let takes_body = [Method::POST, Method::PATCH].contains(&method);
        let mut found = Vec::new();
        optionals(schema, schema, &[], &mut found);
        let added_by_gateway = ["retry_count", "resolved_addresses"];
        for field in found.iter().filter(|field| !added_by_gateway.contains(&field.name.as_str())) {
            if field.way.is_empty() && is_in_path(&field.name) {
                continue;
            }
            let (body, name) = field.body();
            let request = match takes_body {
                true => root
                    .request(method.clone(), &at)
                    .header("content-type", "application/json")
                    .body(body.to_string()),
                false => root.request(method.clone(), &format!("{at}?{name}=1")),
            };
            let reply = root.send(request).await;
            let wanted =
                format!("299 - \"unknown field '{name}' was ignored; did you mean '{}'?\"", field.name);
            assert_eq!(reply.header("warning"), Some(wanted.as_str()), "{}: {}", row["name"], reply.text);
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} fields were found");
}

#[tokio::test]
async fn a_misspelt_expiry_is_told_and_what_is_right_is_not() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let made = root
        .post("/customers", json!({"name": "Ann", "metadata": {"anything": "goes"}}))
        .await
        .expect_status(201);
    assert_eq!(made.header("warning"), None);
    let path = format!("/customers/{}/wallet/adjustments", made.json["id"].as_str().unwrap());
    let mut gift = json!({"transaction_id": "a", "asset": "USD", "amount": 1, "reason": "gift", "metadata": {"x": {"y": 1}}});
    gift["expires_at"] = json!("2090-01-01T00:00:00Z");
    let right = root.post(&path, gift.clone()).await.expect_status(201);
    assert_eq!(right.header("warning"), None);
    let told = "299 - \"unknown field 'expire_at' was ignored; did you mean 'expires_at'?\"";
    gift["transaction_id"] = json!("b");
    gift["expire_at"] = gift.as_object_mut().unwrap().remove("expires_at").unwrap();
    let wrong = root.post(&path, gift).await.expect_status(201);
    assert_eq!(wrong.header("warning"), Some(told));
    let listed = root.get("/customers?limt=1").await.expect_status(200);
    assert!(listed.header("warning").unwrap().contains("'limt' was ignored; did you mean 'limit'?"));
}

#[tokio::test]
async fn no_name_of_a_field_makes_the_header_long_or_another_one() {
    let shop = Shop::open().await;
    let root = shop.client.at_root();
    let mut body: Map<String, Value> =
        (0..1000).map(|n| (format!("{}{n}", "é\r\nx-evil: 1\"\\".repeat(20)), json!(1))).collect();
    body.insert("name".to_owned(), json!("Ann"));
    let reply = root.post("/customers", Value::Object(body)).await.expect_status(201);
    let warning = reply.header("warning").unwrap();
    assert!(warning.len() < 1000 && warning.contains("995 more unknown fields were ignored"), "{warning}");
    assert_eq!(reply.headers.get_all("warning").iter().count(), 1);
    assert!(!reply.headers.contains_key("x-evil"));
    // The envelope refuses what it does not know, and has nothing to warn of.
    let refused = shop.client.post("/topup/send", json!({"platfrom": "claude"})).await.expect(400, 2000);
    assert_eq!(refused.header("warning"), None);
}
