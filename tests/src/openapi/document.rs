//! The documents that the gateway serves: /openapi.json, judged by validators that are not ours,
//! and the page at /docs.

use crate::support::{Client, Receiver, Reply, Shop, python};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Validates the document, and each real reply against the schema that it has for it. What a reply says
/// beyond its schema counts as wrong too: it would be missing in every generated client.
const JUDGE: &str = r##"
import json, sys
from jsonschema import FormatChecker
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

given = json.load(sys.stdin)
document = given["document"]
validate(document, cls=OpenAPIV31SpecValidator)

def follow(node):
    while "$ref" in node:
        target = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node

def undescribed(value, schema, at):
    schema = follow(schema)
    parts = [part for union in ("anyOf", "oneOf") for part in schema.get(union, [])]
    if parts:
        found = [list(undescribed(value, part, at)) for part in parts]
        yield from min(found, key=len)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in schema.get("properties", {}):
                yield from undescribed(inner, schema["properties"][name], f"{at}.{name}")
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from undescribed(inner, schema["additionalProperties"], f"{at}.{name}")
            elif schema.get("additionalProperties") is not True:
                yield f"{at}.{name} is not described"
    elif isinstance(value, list):
        for inner in value:
            yield from undescribed(inner, schema.get("items", {}), f"{at}[]")

def wrong(value, schema, at):
    rooted = {**schema, "components": document["components"]}
    for error in OAS31Validator(rooted, format_checker=FormatChecker()).iter_errors(value):
        yield f"{at}.{'.'.join(map(str, error.path))}: {error.message[:300]}"
    yield from undescribed(value, schema, at)

for case in given["cases"]:
    operation = document["paths"][case["path"]][case["method"].lower()]
    at = f"{case['method']} {case['path']} {case['status']}"
    responses, status = operation["responses"], str(case["status"])
    if status not in responses:
        print(f"{at} is not a status of the operation")
        continue
    response = follow(responses[status])
    if "content" in response or case["reply"] is not None:
        for problem in wrong(case["reply"], response["content"][case["media_type"]]["schema"], at):
            print(problem)
    if case["request"] is not None and case["status"] < 300:
        schema = follow(operation["requestBody"]["content"]["application/json"]["schema"])
        for problem in wrong(case["request"], schema, f"{at} request"):
            print(problem)
"##;

/// Calls operations and keeps what they say, for the judge.
pub struct Recorder {
    pub client: Client,
    /// A session of the superuser.
    pub admin: tokio_postgres::Client,
    cases: Vec<Value>,
}

impl Recorder {
    pub fn of(client: Client, admin: tokio_postgres::Client) -> Recorder {
        Recorder { client, admin, cases: Vec::new() }
    }

    /// Calls every operation that HTTP reaches.
    pub async fn story(&mut self, receiver: &Receiver) {
        self.top_ups().await;
        self.webhooks(receiver).await;
        self.accounts().await;
        self.holds().await;
        self.payments().await;
        self.billing().await;
        self.funding().await;
    }

    /// What was called, and what it said.
    pub fn cases(&self) -> &[Value] {
        &self.cases
    }

    /// The operations that were called, each with its method and the catalog's path.
    pub fn called(&self) -> BTreeSet<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.cases.iter().map(|case| (text(&case["method"]), text(&case["path"]))).collect()
    }

    /// `path` is the catalog's, below `/api/public/v1` or at the root; `id` is what stands in its braces.
    async fn call(&mut self, method: Method, path: &str, id: &str, request: Option<Value>) -> Reply {
        let (start, end) = (path.find('{'), path.find('}'));
        let filled = match (start, end) {
            (Some(start), Some(end)) => format!("{}{id}{}", &path[..start], &path[end + 1..]),
            _ => format!("{path}{id}"),
        };
        let is_ours = ["/topup/", "/webhooks"].iter().any(|start| path.starts_with(start));
        let base = if is_ours { "/api/public/v1" } else { "" };
        let mut call = self.client.request(method.clone(), &format!("{base}{filled}"));
        if let Some(request) = &request {
            call = call.header("content-type", "application/json").body(request.to_string());
        }
        let reply = self.client.send(call).await;
        self.keep(&method, &format!("{base}{path}"), request, &reply);
        reply
    }

    /// Keeps what an operation said to a request; the path is the catalog's.
    pub fn keep(&mut self, method: &Method, path: &str, request: Option<Value>, reply: &Reply) {
        let is_text = reply.json.is_null() && !reply.text.is_empty();
        let said = if is_text { json!(reply.text) } else { reply.json.clone() };
        let media_type = reply.header("content-type");
        self.cases.push(
            json!({"method": method.as_str(), "path": path, "status": reply.status, "request": request,
            "reply": said, "media_type": media_type}),
        );
    }

    async fn get(&mut self, path: &str, id: &str) -> Reply {
        self.call(Method::GET, path, id, None).await
    }

    async fn post(&mut self, path: &str, id: &str, request: Value) -> Reply {
        self.call(Method::POST, path, id, Some(request)).await
    }

    async fn top_ups(&mut self) {
        let order = |extra: Value| {
            let mut order = json!({"platform": "claude", "amount_cents": 1000});
            order.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            order
        };
        let full =
            order(json!({"recipient_email": "ann@example.com", "metadata": {"order": [1, {"a": null}]}}));
        let sent = self.post("/topup/send", "", full.clone()).await.expect(200, 1001);
        self.post("/topup/validate", "", full).await.expect(200, 1000);
        let voucher = self.post("/topup/send", "", order(json!({}))).await.expect(200, 1001);
        let redeem = json!({"voucher_code": voucher.data()["voucher_code"], "email": "bob@example.com"});
        self.post("/topup/redeem", "", redeem).await.expect(200, 1000);
        let mut pending = Vec::new();
        for _ in 0..3 {
            let order = order(json!({"recipient_email": "ann+pending@example.com"}));
            pending.push(self.post("/topup/send", "", order).await.expect(202, 1002).transaction_id());
        }
        self.get("/topup/status/{transaction_id}", &pending[0]).await.expect(200, 1002);
        self.post("/topup/cancel", "", json!({"transaction_id": pending[0]})).await.expect(200, 3001);
        self.post("/topup/deliver", "", json!({"transaction_id": pending[1]})).await.expect(200, 1001);
        let failure = json!({"transaction_id": pending[2], "reason": "out of stock"});
        self.post("/topup/fail", "", failure).await.expect(200, 1003);
        for id in pending.iter().chain([&sent.transaction_id()]) {
            self.get("/topup/status/{transaction_id}", id).await;
        }
        self.get("/topup/balance", "").await.expect(200, 1000);
        self.get("/topup/history", "").await.expect(200, 1000);
    }

    async fn webhooks(&mut self, receiver: &Receiver) {
        let registration = json!({"url": receiver.url, "events": ["topup.delivered"], "description": "shop",
            "retry_schedule_s": [0, 1]});
        let registered = self.post("/webhooks/register", "", registration).await.expect(200, 1000);
        let id = registered.data()["id"].as_str().unwrap().to_owned();
        self.get("/webhooks", "").await.expect(200, 1000);
        let change = Some(json!({"description": "the till"}));
        self.call(Method::PATCH, "/webhooks/{id}", &id, change).await.expect(200, 1000);
        self.post("/webhooks/{id}/test", &id, json!({})).await.expect(200, 1000);
        self.post("/webhooks/{id}/rotate", &id, json!({"overlap_seconds": 60})).await.expect(200, 1000);
        let log = self.get("/webhooks/deliveries", "").await.expect(200, 1000);
        let delivery =
            log.data()["deliveries"][0]["id"].as_str().unwrap_or_else(|| panic!("{}", log.text)).to_owned();
        self.post("/webhooks/deliveries/{id}/replay", &delivery, json!({})).await.expect(200, 1000);
        let since = json!({"since": "2026-01-01T00:00:00Z"});
        self.post("/webhooks/{id}/replay", &id, since).await.expect(200, 1000);
        self.call(Method::DELETE, "/webhooks/{id}", &id, None).await.expect(200, 1000);
    }

    async fn refusals(&mut self) {
        self.post("/topup/send", "", json!({})).await.expect(400, 2000);
        self.post("/topup/send", "", json!({"platform": "x", "amount_cents": 1})).await.expect(422, 2003);
        self.get("/topup/status/{transaction_id}", "nothing").await.expect(404, 3003);
        self.call(Method::DELETE, "/webhooks/{id}", "nothing", None).await.expect(404, 5004);
        self.post("/topup/send", "", json!({"platform": " ".repeat(1_200_000)})).await.expect(413, 4004);
    }
}

#[tokio::test]
async fn the_openapi_document_is_valid_and_real_replies_are_as_it_says() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let scopes =
        "scopes => array['send', 'read', 'cancel', 'redeem', 'webhooks', 'fulfil', 'wallets', 'funding']";
    let key = shop.database.tenant("Acme").await.key("staging", scopes).await.1;
    let mut recorder = Recorder::of(shop.gateway.client(&key).at_root(), shop.database.admin().await);
    recorder.story(&receiver).await;
    recorder.refusals().await;

    let document = shop.client.at_root().get("/openapi.json").await;
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    assert!(document.json["openapi"].as_str().unwrap().starts_with("3.1"));
    let called = recorder.called();
    assert_eq!(called.len(), shop.operations().await.len(), "not every operation was called: {called:?}");
    let problems = python(JUDGE, &json!({"document": document.json, "cases": recorder.cases}).to_string());
    assert_eq!(problems, "");
    is_no_yes_man(&document.json, recorder.cases.swap_remove(0));
}

/// The judge must find fault with a reply that is wrong.
fn is_no_yes_man(document: &Value, good: Value) {
    for (pointer, wrong) in [
        ("/reply/code", json!("1001")),
        ("/reply/data/cost_cents", json!(0.5)),
        ("/reply/data", json!({"surprise": 1})),
    ] {
        let mut case = good.clone();
        *case.pointer_mut(pointer).unwrap() = wrong;
        let problems = python(JUDGE, &json!({"document": document, "cases": [case]}).to_string());
        assert_ne!(problems, "", "{pointer}");
    }
}

#[tokio::test]
async fn the_openapi_document_names_every_operation_its_parameters_and_nothing_else() {
    let shop = Shop::open().await;
    let document = shop.gateway.stranger().at_root().get("/openapi.json").await.json;
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            described.insert((name.to_owned(), method.to_uppercase(), path.clone()));
        }
    }
    let operations = shop.operations().await;
    let text = |operation: &Value, field: &str| operation[field].as_str().unwrap().to_owned();
    let wanted: BTreeSet<_> =
        operations.iter().map(|row| (text(row, "name"), text(row, "method"), text(row, "path"))).collect();
    assert_eq!(described, wanted);

    for row in &operations {
        let described = &document["paths"][text(row, "path")][text(row, "method").to_lowercase()];
        let mut fields: BTreeSet<String> = BTreeSet::new();
        let parameters = described["parameters"].as_array().unwrap();
        fields.extend(parameters.iter().filter_map(|each| each["name"].as_str().map(str::to_owned)));
        let schema = &described["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let body = schema
            .as_str()
            .and_then(|at| document.pointer(&format!("{}/properties", at.trim_start_matches('#'))));
        fields.extend(body.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone()));
        let mut wanted: BTreeSet<String> = row["request_schema"]["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        // The gateway adds them itself.
        wanted.remove("resolved_addresses");
        wanted.remove("retry_count");
        assert_eq!(fields, wanted, "{}", row["name"]);
        let takes_key =
            parameters.iter().any(|each| each["$ref"] == "#/components/parameters/IdempotencyKey");
        assert_eq!(row["idempotent"], takes_key, "{}", row["name"]);
    }
}

#[tokio::test]
async fn no_secret_and_no_inner_name_is_in_the_documents() {
    let shop = Shop::open().await;
    let registered = shop.client.post("/webhooks/register", json!({"url": "http://127.0.0.1:9/hook"})).await;
    let secret = registered.expect(200, 1000).data()["secret"].as_str().unwrap().to_owned();
    let url = shop.database.gateway_url();
    let password = url.split([':', '@']).nth(2).unwrap();
    for path in ["/openapi.json", "/docs"] {
        let document = shop.client.at_root().get(path).await;
        for inner in [&shop.key, &secret, password, "postgres://", "resolved_addresses", "127.0.0.1"] {
            assert!(!document.text.contains(inner), "{path} shows {inner}");
        }
    }
}
