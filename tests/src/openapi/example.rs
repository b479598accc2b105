//! The examples of the OpenAPI document: every operation and every event has one, each is as its schema says, and each
//! request is sent to the real gateway, which accepts it and answers as the example does.

use crate::support::{Receiver, Reply, Shop, python};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is missing in the document, or wrong: examples against their schemas, and what has no description.
const JUDGE: &str = r##"
import json, sys
from jsonschema import FormatChecker
from openapi_schema_validator import OAS31Validator

document = json.load(sys.stdin)

def follow(node):
    while "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node

def undescribed(value, schema, at):
    schema = follow(schema)
    parts = [part for union in ("anyOf", "oneOf") for part in schema.get(union, [])]
    if parts:
        yield from min((list(undescribed(value, part, at)) for part in parts), key=len)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in schema.get("properties", {}):
                yield from undescribed(inner, schema["properties"][name], f"{at}.{name}")
            elif "additionalProperties" not in schema:
                yield f"{at}.{name} is not in the schema"
    elif isinstance(value, list):
        for inner in value:
            yield from undescribed(inner, schema.get("items", {}), f"{at}[]")

def judge(node, at, wanted=True):
    if "example" not in node:
        if wanted:
            print(f"{at}: no example")
        return
    rooted = {**follow(node["schema"]), "components": document["components"]}
    for error in OAS31Validator(rooted, format_checker=FormatChecker()).iter_errors(node["example"]):
        print(f"{at}: {error.message[:300]}")
    for problem in undescribed(node["example"], node["schema"], at):
        print(problem)

def says(node, at):
    if not follow(node).get("description"):
        print(f"{at}: no description")

def meanings(schema, at):
    for name, field in schema.get("properties", {}).items():
        says(field, f"{at}.{name}")
        meanings(field, f"{at}.{name}")
    for inner in [schema.get("items"), *schema.get("anyOf", []), *schema.get("oneOf", [])]:
        if isinstance(inner, dict):
            meanings(inner, f"{at}[]")

tags = {tag["name"] for tag in document["tags"]}
for tag in document["tags"]:
    says(tag, f"tag {tag['name']}")
groups = [("", document["paths"]), ("webhook ", document["webhooks"])]
for path, method, operation in (
    (group + path, method, operation)
    for group, paths in groups for path, methods in paths.items() for method, operation in methods.items()
):
    at = f"{method} {path}"
    says(operation, at)
    if not operation.get("summary") or not set(operation["tags"]) <= tags or not operation["tags"]:
        print(f"{at}: no summary, or no tag that is described")
    if "default" in operation["responses"]:
        print(f"{at}: a default response")
    for parameter in map(follow, operation["parameters"]):
        says(parameter, f"{at} {parameter['name']}")
        judge(parameter, f"{at} {parameter['name']}", parameter["required"])
    if "requestBody" in operation:
        judge(operation["requestBody"]["content"]["application/json"], f"{at} request")
    for status, response in operation["responses"].items():
        says(response, f"{at} {status}")
        for content in response.get("content", {}).values():
            judge(content, f"{at} {status}", status != "202")
for kind in ("schemas", "headers", "responses", "parameters", "securitySchemes"):
    for name, node in document["components"][kind].items():
        says(node, name)
        meanings(node, name)
titles = [schema["title"] for schema in document["components"]["schemas"].values()]
if len(titles) != len(set(titles)) or not document["servers"]:
    print("titles that are not unique, or no servers")
"##;

/// An example's ids of what no other example makes: pending top-ups, a hold to release, a product without subscribers, a
/// top-up that is paid, a voucher.
const PENDING: [&str; 3] =
    ["txn_01kaj6s0hmfnttn2awnn5jfzva", "txn_01kaj6s0hmfnttn2awnn5jfzvb", "txn_01kaj6s0hmfnttn2awnn5jfzvc"];
const CUSTOMER: &str = "cust_01kaj6s0hmfnttn2awnn5jfzv7";
const OTHER_HOLD: &str = "hold_01kaj6s0hmfnttn2awnn5jfzvf";
const OTHER_PRODUCT: &str = "prod_01kaj6s0hmfnttn2awnn5jfzw3";
const PAID_TOP_UP: &str = "top_01kaj6s0hmfnttn2awnn5jfzw5";
const VOUCHER: &str = "ATU-7Q3X-0M5Z-K8TB-2WHV";
const RECEIVER: &str = "https://shop.example/hooks/topup";
const ID_LENGTH: usize = 26;

/// The examples as one story in one tenant.
struct Story {
    shop: Shop,
    key: String,
    document: Value,
    /// What an id, address or code of the examples really is.
    real: BTreeMap<String, String>,
    _receiver: Receiver,
}

#[tokio::test]
async fn every_example_and_every_meaning_is_there_and_fits() {
    let shop = Shop::open().await;
    let document = shop.client.at_root().get("/openapi.json").await;
    assert_eq!(python(JUDGE, &document.text), "");
    let asked = &document.json["components"]["schemas"]["WebhookRegisterRequest"]["properties"]["events"];
    let told: BTreeSet<&str> =
        document.json["webhooks"].as_object().unwrap().keys().map(String::as_str).collect();
    let types = asked["items"]["enum"].as_array().unwrap();
    assert_eq!(told, types.iter().map(|name| name.as_str().unwrap()).collect());
}

#[tokio::test]
async fn every_example_works() {
    let mut story = Story::begin().await;
    let operations = story.shop.operations().await;
    // What is deleted is no use to the others.
    for deleted in [false, true] {
        let mut waiting: Vec<&Value> =
            operations.iter().filter(|row| (row["method"] == "DELETE") == deleted).collect();
        while !waiting.is_empty() {
            story.prepare().await;
            let mut refused = Vec::new();
            let mut left = Vec::new();
            for row in &waiting {
                if let Err(reason) = story.play(row).await {
                    refused.push(format!("{}: {reason}", row["name"]));
                    left.push(*row);
                }
            }
            assert!(left.len() < waiting.len(), "examples that do not work: {refused:#?}");
            waiting = left;
        }
    }
}

impl Story {
    async fn begin() -> Story {
        let (shop, receiver) = (Shop::open().await, Receiver::start().await);
        let admin = shop.database.admin().await;
        let scopes =
            "select quote_literal(array_agg(distinct scope)) from topup.operations() where scope <> 'keys'";
        let scopes: String = admin.query_one(scopes, &[]).await.unwrap().get(0);
        let key =
            shop.database.tenant("Acme").await.key("staging", &format!("scopes => {scopes}::text[]")).await.1;
        let document = shop.client.at_root().get("/openapi.json").await.json;
        let real = BTreeMap::from([(RECEIVER.to_owned(), receiver.url.clone())]);
        let mut story = Story { shop, key, document, real, _receiver: receiver };
        for id in PENDING {
            let order = json!({"platform": "claude", "amount_cents": 1000, "recipient_email": "ann+pending@example.com"});
            let sent = story.post("/api/public/v1/topup/send", order).await.expect(202, 1002);
            story.real.insert(id.to_owned(), sent.transaction_id());
        }
        let order = json!({"platform": "claude", "amount_cents": 1000});
        let sent = story.post("/api/public/v1/topup/send", order).await.expect(200, 1001);
        story.real.insert(VOUCHER.to_owned(), sent.data()["voucher_code"].as_str().unwrap().to_owned());
        let product = story.post("/products", json!({"name": "Other", "code": "other", "prices": []})).await;
        story.keep(OTHER_PRODUCT, &product.expect_status(201));
        let payer = story.post("/customers", json!({"name": "Payer"})).await.expect_status(201);
        let purchase = json!({"customer_id": payer.json["id"], "amount": 25.5, "currency": "USD",
            "return_url": "https://shop.example", "failure_url": "https://shop.example"});
        let begun = story.post("/top-ups", purchase).await.expect_status(201);
        let report = json!({"payment_id": begun.json["id"], "result": "succeeded"});
        admin.execute("select topup.report_payment($1)", &[&report]).await.unwrap();
        let card = "insert into topup.payment_method (tenant_id, environment, method_id, provider, provider_customer_id,
                                                      provider_method_id, brand, last4, exp_month, exp_year)
                    select tenant_id, environment, topup.new_id(), 'test', 'cus_1', 'pm_card_visa', 'visa', '4242', 12, 2034
                      from topup.tenant_environment where environment = 'staging'";
        admin.batch_execute(card).await.unwrap();
        story.keep(PAID_TOP_UP, &begun);
        story
    }

    /// What can be made only once the story's customer has credit.
    async fn prepare(&mut self) {
        let (Some(customer), false) = (self.real.get(CUSTOMER), self.real.contains_key(OTHER_HOLD)) else {
            return;
        };
        let soon =
            jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap().to_string();
        let hold = json!({"asset": "USD", "amount": 1, "expires_at": soon});
        let held = self.post(&format!("/customers/{customer}/wallet/holds"), hold).await;
        if held.status == 201 {
            self.keep(OTHER_HOLD, &held);
        }
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.shop.gateway.client(&self.key).at_root().post(path, body).await
    }

    fn keep(&mut self, example: &str, reply: &Reply) {
        self.real.insert(example.to_owned(), reply.json["id"].as_str().unwrap().to_owned());
    }

    /// Sends the example of an operation, and learns from its reply what the example's ids really are.
    async fn play(&mut self, row: &Value) -> Result<(), String> {
        let (method, path) = (row["method"].as_str().unwrap(), row["path"].as_str().unwrap());
        let described = &self.document["paths"][path][method.to_lowercase()];
        let success = &described["responses"][row["success_status"].to_string()];
        let example = success["content"][row["media_type"].as_str().unwrap()]["example"].clone();
        let (mut at, mut query) = (path.to_owned(), Vec::new());
        for parameter in described["parameters"].as_array().unwrap() {
            let (Some(name), Some(value)) = (parameter["name"].as_str(), parameter.get("example")) else {
                continue;
            };
            let value = self.filled(value)?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned).replace(':', "%3A");
            match parameter["in"].as_str() {
                Some("path") => at = at.replace(&format!("{{{name}}}"), &text),
                _ => query.push(format!("{name}={text}")),
            }
        }
        let at = if query.is_empty() { at } else { format!("{at}?{}", query.join("&")) };
        let client = self.shop.gateway.client(&self.key).at_root();
        let mut request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), &at);
        if let Some(content) = described["requestBody"]["content"].get("application/json") {
            let body = self.filled(&content["example"])?;
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reply = client.send(request).await;
        if u64::from(reply.status) != row["success_status"].as_u64().unwrap() {
            return Err(format!("{} {}", reply.status, reply.text));
        }
        assert_eq!(reply.header("warning"), None, "{}", row["name"]);
        let said = if reply.json.is_null() { json!(reply.text) } else { reply.json.clone() };
        if row["success_status"] == 204 {
            Ok(())
        } else {
            self.compare(&example, &said, row["name"].as_str().unwrap())
        }
    }

    /// An example with what its ids really are; an error while one is not known.
    fn filled(&self, example: &Value) -> Result<Value, String> {
        Ok(match example {
            Value::String(text) => match self.real.get(text) {
                Some(real) => json!(real),
                None if is_id(text) => return Err(format!("{text} is of no reply and of no preparation")),
                None => example.clone(),
            },
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect::<Result<_, _>>()?,
            Value::Object(fields) => {
                let filled: Result<Map<String, Value>, String> =
                    fields.iter().map(|(name, value)| Ok((name.clone(), self.filled(value)?))).collect();
                Value::Object(filled?)
            }
            other => other.clone(),
        })
    }

    /// The real reply has the fields of the example, of the same kinds. An error where there is nothing to show yet.
    fn compare(&mut self, example: &Value, real: &Value, at: &str) -> Result<(), String> {
        match (example, real) {
            (Value::Null, _) | (_, Value::Null) => {}
            (Value::Object(wanted), Value::Object(found)) => {
                let names = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
                let (mut ours, mut theirs) = (names(wanted), names(found));
                ours.sort();
                theirs.sort();
                assert_eq!(ours, theirs, "{at}");
                for (name, value) in wanted {
                    self.compare(value, &found[name], &format!("{at}.{name}"))?;
                }
            }
            (Value::Array(wanted), Value::Array(found)) => {
                if found.is_empty() && !wanted.is_empty() {
                    return Err(format!("{at} is empty"));
                }
                for (wanted, found) in wanted.iter().zip(found) {
                    self.compare(wanted, found, &format!("{at}[]"))?;
                }
            }
            (Value::String(wanted), Value::String(found)) => {
                if is_id(wanted) && !self.real.contains_key(wanted) {
                    self.real.insert(wanted.clone(), found.clone());
                }
            }
            _ => {
                let kinds = [example, real].map(std::mem::discriminant);
                assert_eq!(kinds[0], kinds[1], "{at}: {example} {real}");
            }
        }
        Ok(())
    }
}

fn is_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(prefix, id)| {
        prefix.bytes().all(|byte| byte.is_ascii_lowercase())
            && id.len() == ID_LENGTH
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}
