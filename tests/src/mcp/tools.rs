//! The tools as they are listed: each says all that an agent needs, and real results are as it says.

use crate::support::rpc::{Rpc, ToolResult};
use crate::support::{Shop, python};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Each tool's arguments, and those of them that are required.
const ARGUMENTS: [(&str, &[&str], &[&str]); 4] = [
    ("cancel_topup", &["transaction_id"], &["transaction_id"]),
    ("check_balance", &[], &[]),
    ("get_status", &["transaction_id"], &["transaction_id"]),
    (
        "send_topup",
        &["amount_cents", "idempotency_key", "platform", "recipient_email"],
        &["amount_cents", "platform"],
    ),
];
const NO_ID: &str = "txn_00000000000000000000000000";

/// The listed tools by name.
async fn listed(rpc: &Rpc) -> BTreeMap<String, Value> {
    let tools = rpc.tools().await;
    assert_eq!(tools.len(), 4);
    tools.into_iter().map(|tool| (tool["name"].as_str().unwrap().to_owned(), tool)).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Whether the name occurs anywhere in a schema as a keyword.
fn has_keyword(schema: &Value, keyword: &str) -> bool {
    match schema {
        Value::Object(object) => {
            object.contains_key(keyword) || object.values().any(|inner| has_keyword(inner, keyword))
        }
        Value::Array(values) => values.iter().any(|inner| has_keyword(inner, keyword)),
        _ => false,
    }
}

#[tokio::test]
async fn there_are_four_tools_and_each_takes_what_it_says() {
    let shop = Shop::open().await;
    let tools = listed(&Rpc::new(&shop.gateway, &shop.key)).await;
    let wanted: Vec<&str> = ARGUMENTS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(tools.keys().collect::<Vec<_>>(), wanted);
    for (name, arguments, required) in ARGUMENTS {
        let input = &tools[name]["inputSchema"];
        assert_eq!(
            (&input["type"], &input["additionalProperties"]),
            (&json!("object"), &json!(false)),
            "{name}"
        );
        let mut listed = keys(&input["properties"]);
        listed.sort_unstable();
        assert_eq!(listed, arguments, "{name}");
        let mut listed: Vec<&str> =
            input["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        listed.sort_unstable();
        assert_eq!(listed, required, "{name}");
        for (argument, schema) in input["properties"].as_object().unwrap() {
            let wanted = if argument == "amount_cents" { "integer" } else { "string" };
            assert_eq!(schema["type"], wanted, "{name}.{argument}: one plain type");
        }
        for keyword in ["$ref", "$schema", "$defs", "anyOf", "oneOf", "allOf"] {
            assert!(!has_keyword(input, keyword), "{name}: {keyword} in {input}");
        }
        let output = &tools[name]["outputSchema"];
        assert_eq!(output["type"], "object", "{name}");
        assert_eq!(keys(&output["properties"]).len(), 6, "{name}");
        for keyword in ["$ref", "$schema", "$defs"] {
            assert!(!has_keyword(output, keyword), "{name}: {keyword} in {output}");
        }
    }
}

#[tokio::test]
async fn each_tool_says_what_it_is_for_and_what_it_does_to_the_world() {
    let shop = Shop::open().await;
    let tools = listed(&Rpc::new(&shop.gateway, &shop.key)).await;
    let mut titles = BTreeSet::new();
    for (name, tool) in &tools {
        titles.insert(tool["title"].as_str().unwrap().to_owned());
        let description = tool["description"].as_str().unwrap();
        assert!((200..4000).contains(&description.len()), "{name}: {description}");
        assert!(description.contains("Use it") || name == "send_topup", "{name} does not say when to use it");
        assert!(description.contains("4001") && description.contains("2008"), "{name}");
    }
    assert_eq!(titles.len(), 4);
    let hint = |tool: &str, name: &str| tools[tool]["annotations"][name].as_bool().unwrap();
    assert!(!hint("send_topup", "readOnlyHint") && !hint("send_topup", "idempotentHint"));
    assert!(hint("send_topup", "destructiveHint") && hint("send_topup", "openWorldHint"));
    assert!(!hint("cancel_topup", "readOnlyHint") && hint("cancel_topup", "idempotentHint"));
    for tool in ["check_balance", "get_status"] {
        assert!(hint(tool, "readOnlyHint") && !hint(tool, "destructiveHint"), "{tool}");
    }
}

/// The numbers of four digits in a text: its codes, and a few amounts that look the same.
fn codes_in(text: &str) -> BTreeSet<i16> {
    let words = text.split(|each: char| !each.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 4).filter_map(|word| word.parse().ok()).collect()
}

#[tokio::test]
async fn every_code_that_a_description_names_exists() {
    let shop = Shop::open().await;
    let rpc = Rpc::new(&shop.gateway, &shop.key);
    let rows = shop.database.admin().await.query("select code from topup.codes()", &[]).await.unwrap();
    let known: BTreeSet<i16> = rows.iter().map(|row| row.get(0)).collect();
    let greeting = rpc.initialize("2025-11-25").await;
    let mut named = codes_in(greeting["instructions"].as_str().unwrap());
    for tool in rpc.tools().await {
        let codes = codes_in(tool["description"].as_str().unwrap());
        assert!(codes.len() >= 4, "{}: {codes:?}", tool["name"]);
        named.extend(codes);
    }
    assert!(named.len() >= 18, "{named:?}");
    assert!(named.is_subset(&known), "{:?}", named.difference(&known));
}

/// Judges the schemas, and each call by them. What a result says beyond its schema counts as wrong too.
const JUDGE: &str = r#"
import json, sys
from jsonschema import Draft202012Validator, FormatChecker

given = json.load(sys.stdin)
tools = given["tools"]
for tool in tools.values():
    Draft202012Validator.check_schema(tool["inputSchema"])
    Draft202012Validator.check_schema(tool["outputSchema"])

def undescribed(value, schema, at):
    parts = [part for union in ("anyOf", "oneOf") for part in schema.get(union, [])]
    if parts:
        found = [list(undescribed(value, part, at)) for part in parts]
        yield from min(found, key=len)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in schema.get("properties", {}):
                yield from undescribed(inner, schema["properties"][name], f"{at}.{name}")
            elif schema.get("additionalProperties") is not True:
                yield f"{at}.{name} is not described"

def wrong(value, schema, at):
    for error in Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(value):
        yield f"{at}.{'.'.join(map(str, error.path))}: {error.message[:300]}"
    yield from undescribed(value, schema, at)

for case in given["cases"]:
    tool, envelope = tools[case["tool"]], case["envelope"]
    at = f"{case['tool']} {envelope['code']}"
    for problem in wrong(envelope, tool["outputSchema"], at):
        print(problem)
    if envelope["code"] != 2000:
        for problem in wrong(case["arguments"], tool["inputSchema"], f"{at} arguments"):
            print(problem)
"#;

/// Calls tools and keeps what they say, for the judge.
struct Recorder {
    rpc: Rpc,
    cases: Vec<Value>,
}

impl Recorder {
    async fn call(&mut self, tool: &str, arguments: Value, code: i64) -> ToolResult {
        let result = self.rpc.call(tool, arguments.clone()).await;
        assert_eq!(result.code(), code, "{tool}: {}", result.text);
        self.cases.push(json!({"tool": tool, "arguments": arguments, "envelope": result.envelope}));
        result
    }

    async fn send(&mut self, more: Value, code: i64) -> Value {
        let mut order = json!({"platform": "claude", "amount_cents": 1000});
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let sent = self.call("send_topup", order, code).await;
        json!({"transaction_id": sent.envelope["transaction_id"]})
    }

    async fn top_ups(&mut self, shop: &Shop) {
        let voucher = self.send(json!({"idempotency_key": "a"}), 1001).await;
        self.send(json!({"recipient_email": "ann@example.com"}), 1001).await;
        let pending = json!({"recipient_email": "ann+pending@example.com"});
        let first = self.send(pending.clone(), 1002).await;
        self.call("get_status", first.clone(), 1002).await;
        self.call("cancel_topup", first.clone(), 3001).await;
        self.call("get_status", first, 3001).await;
        let failed = self.send(pending, 1002).await;
        let app = shop.database.app(&shop.key).await;
        let id = failed["transaction_id"].as_str().unwrap();
        let fail = format!("topup.fail('{id}', 'out of stock')");
        assert_eq!(crate::support::call(&app, &fail).await["code"], 1003);
        self.call("get_status", failed.clone(), 1003).await;
        self.call("cancel_topup", failed, 3004).await;
        self.call("get_status", voucher.clone(), 1001).await;
        self.call("cancel_topup", voucher, 3002).await;
        self.call("check_balance", json!({}), 1000).await;
    }

    async fn refusals(&mut self) {
        self.send(json!({"platform": "nobody"}), 2003).await;
        self.send(json!({"recipient_email": "nobody"}), 2004).await;
        self.send(json!({"amount_cents": 1}), 2005).await;
        self.send(json!({"idempotency_key": "a", "amount_cents": 2000}), 2006).await;
        self.send(json!({"amount_cents": 99_999}), 2007).await;
        self.call("send_topup", json!({}), 2000).await;
        self.call("check_balance", json!({"metadata": {}}), 2000).await;
        for tool in ["get_status", "cancel_topup"] {
            self.call(tool, json!({"transaction_id": NO_ID}), 3003).await;
            self.call(tool, json!({}), 2000).await;
        }
    }

    /// A key that may do nothing of all this.
    async fn forbidden(&mut self, shop: &Shop) {
        let key = shop.database.tenant("Bolt").await.key("staging", "scopes => '{webhooks}'").await.1;
        let own = std::mem::replace(&mut self.rpc, Rpc::new(&shop.gateway, &key));
        self.send(json!({}), 2008).await;
        self.call("check_balance", json!({}), 2008).await;
        self.call("get_status", json!({"transaction_id": NO_ID}), 2008).await;
        self.call("cancel_topup", json!({"transaction_id": NO_ID}), 2008).await;
        self.rpc = own;
    }
}

#[tokio::test]
async fn real_results_of_every_tool_are_as_its_output_schema_says() {
    let mut shop = Shop::open().await;
    let scopes = "scopes => '{send,read,cancel,fulfil}', cap_cents => 20000, cap_period => 'day'";
    shop.key = shop.database.tenant("Acme").await.key("staging", scopes).await.1;
    let mut recorder = Recorder { rpc: Rpc::new(&shop.gateway, &shop.key), cases: Vec::new() };
    recorder.top_ups(&shop).await;
    recorder.refusals().await;
    recorder.forbidden(&shop).await;
    let tools = listed(&recorder.rpc).await;
    let problems = python(JUDGE, &json!({"tools": tools, "cases": recorder.cases}).to_string());
    assert_eq!(problems, "");

    // The judge must find fault with a result that is wrong.
    for (pointer, wrong) in [
        ("/envelope/code", json!("1001")),
        ("/envelope/data/cost_cents", json!(0.5)),
        ("/envelope/data", json!({"surprise": 1})),
        ("/envelope/transaction_id", json!(7)),
        ("/arguments/amount_cents", json!("1000")),
    ] {
        let mut case = recorder.cases[0].clone();
        *case.pointer_mut(pointer).unwrap() = wrong;
        let problems = python(JUDGE, &json!({"tools": tools, "cases": [case]}).to_string());
        assert_ne!(problems, "", "{pointer}");
    }
}
