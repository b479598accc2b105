//! Every field of every operation, given every wrong type and every text that Postgres cannot hold.
//! Made from the catalog.

use crate::support::{Shop, as_envelope};
use reqwest::Method;
use serde_json::{Value, json};

/// Another's account: nothing is carried out.
const NO_ACCOUNT: &str = "acct_00000000000000000000000000";
const NO_RATE_LIMIT: [&str; 3] = ["--allow-private-webhooks", "--rate-limit", "0"];

/// One operation of the catalog, and a request of it that has the right shape.
struct Operation {
    name: String,
    surface: String,
    http: Option<(Method, String)>,
    schema: Value,
    good: Value,
    /// The HTTP statuses that the catalog says it may answer with.
    statuses: Vec<i16>,
}

/// Successes, those of calls that are pending, and refusals that every operation may give.
const COMMON_STATUSES: [i16; 7] = [200, 202, 400, 401, 403, 413, 415];

/// A value of the right shape for each name of a field.
pub fn good_value(surface: &str, name: &str) -> Value {
    match name {
        "amount" | "threshold" if surface == "cloudflare" => json!(1000),
        "events" if surface != "envelope" => {
            json!([{"id": "e-1", "event_type": "call", "occurred_at": "2026-01-01T00:00:00Z"}])
        }
        "prices" => json!([{"name": "Calls", "type": "usage_based", "billing_model": {"type": "real_time"},
            "usage_calculation": {"event_type": "call", "usage_type": "unit"},
            "pricing": [{"asset": "USD", "values": [{"unit_price": 1}]}]}]),
        "products" => json!([{"code": "calls"}]),
        "product_id" => json!("prod_00000000000000000000000000"),
        "subscription_id" => json!("sub_00000000000000000000000000"),
        "version" => json!(1),
        "status" => json!("active"),
        "event_id" => json!("e-1"),
        "hold_id" => json!("hold_00000000000000000000000000"),
        "top_up_id" => json!("top_00000000000000000000000000"),
        "currency" => json!("USD"),
        "threshold" => json!(5),
        "return_url" | "failure_url" => json!("https://shop.example/"),
        "expires_at" => json!("2026-01-01T00:00:00Z"),
        "platform" => json!("claude"),
        "amount_cents" => json!(100),
        "account_id" if surface == "cloudflare" => json!(NO_ACCOUNT),
        "payment_method_id" => json!("pm_card_visa"),
        "payment_intent_id" => json!("in_00000000000000000000000000"),
        "value_grouping_window" => json!("day"),
        "duration" => json!("daily"),
        "strategy" => json!("fixed"),
        "amount" => json!(1.5),
        "asset" => json!("USD"),
        "reason" => json!("other"),
        // Of a currency, so that it is neither made nor priced in itself.
        "code" | "source" => json!("USD"),
        "name" => json!("Ann"),
        "rate" => json!(0.5),
        "charge_id" => json!("c-1"),
        "customer_id" => json!("cust_00000000000000000000000000"),
        "account_id" => json!("default:USD"),
        "url" => json!("http://127.0.0.1:9/hook"),
        "since" => json!("2026-01-01T00:00:00Z"),
        "events" => json!(["ping"]),
        "transaction_id" | "voucher_code" | "id" | "delivery_id" => json!("txn_00000000000000000000000000"),
        other => panic!("a required field that this test does not know: {other}"),
    }
}

async fn catalog(shop: &Shop) -> Vec<Operation> {
    let query = "select name, method, path, request_schema, surface, success_status, refusal_statuses from topup.operations()";
    let rows = shop.database.admin().await.query(query, &[]).await.unwrap();
    let operations = rows.iter().map(|row| {
        let schema: Value = row.get(3);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let good = required
            .iter()
            .map(|name| (name.as_str().unwrap().to_owned(), good_value(row.get(4), name.as_str().unwrap())));
        let method: Option<String> = row.get(1);
        let method = method.map(|method| Method::from_bytes(method.as_bytes()).unwrap());
        let good = Value::Object(good.collect());
        let mut statuses: Vec<i16> = row.get(6);
        statuses.extend(COMMON_STATUSES.into_iter().chain([row.get::<_, i16>(5)]));
        Operation {
            name: row.get(0),
            surface: row.get(4),
            http: method.zip(row.get(2)),
            schema,
            good,
            statuses,
        }
    });
    operations.collect()
}

fn takes_body(method: &Method) -> bool {
    [Method::POST, Method::PATCH].contains(method)
}

impl Operation {
    /// Fields that travel in the JSON body; the others are text in the path or the query by nature.
    fn body_fields(&self) -> Vec<(&String, &Value)> {
        let fields = self.schema["properties"].as_object();
        let in_body = |name: &str| match &self.http {
            None => true,
            Some((method, path)) => takes_body(method) && !path.contains(&format!("{{{name}}}")),
        };
        fields
            .into_iter()
            .flatten()
            .filter(|(name, _)| in_body(name) && *name != "resolved_addresses")
            .collect()
    }

    /// Asks with this body, over HTTP where HTTP reaches the operation, else over SQL: HTTP status and envelope.
    async fn ask(&self, shop: &Shop, key: &str, body: &str) -> (u16, Value) {
        let Some((method, path)) = &self.http else {
            let query = "select status, body from topup.call($1, $2, $3)";
            let admin = shop.database.admin().await;
            let row = admin.query_one(query, &[&key, &self.name, &body]).await.unwrap();
            let status: i16 = row.get(0);
            return (u16::try_from(status).unwrap(), as_envelope(status, row.get(1)));
        };
        let mut path = path.trim_start_matches("/api/public/v1").to_owned();
        for (name, id) in [
            ("{id}", "whk_00000000000000000000000000"),
            ("{customer_id}", "cust_00000000000000000000000000"),
            ("{transaction_id}", "t-1"),
            ("{account_id}", if self.surface == "cloudflare" { NO_ACCOUNT } else { "default%3AUSD" }),
            ("{charge_id}", "c-1"),
            ("{code}", "USD"),
            ("{hold_id}", "hold_00000000000000000000000000"),
            ("{top_up_id}", "top_00000000000000000000000000"),
            ("{product_id}", "prod_00000000000000000000000000"),
            ("{subscription_id}", "sub_00000000000000000000000000"),
            ("{version}", "1"),
            ("{event_id}", "e-1"),
            ("{payment_method_id}", "pm_card_visa"),
        ] {
            path = path.replace(name, id);
        }
        // Wanted in the query.
        if self.name == "usage_history" {
            path.push_str("?value_grouping_window=day");
        }
        let client = shop.gateway.client(key);
        let client = if self.is_envelope() { client } else { client.at_root() };
        let request = client.request(method.clone(), &path).header("content-type", "application/json");
        let reply = client.send(request.body(body.to_owned())).await;
        let status = i16::try_from(reply.status).unwrap();
        assert!(
            self.statuses.contains(&status),
            "{} does not say that it answers {status}: {}",
            self.name,
            reply.text
        );
        let envelope = as_envelope(status, &reply.text);
        // A field at fault is 422 on the surfaces that tell problems.
        let is_of_field = !self.is_envelope() && envelope["code"] == 2000 && reply.status == 422;
        (if is_of_field { 400 } else { reply.status }, envelope)
    }

    fn is_envelope(&self) -> bool {
        self.surface == "envelope"
    }

    fn requires(&self, field: &str) -> bool {
        self.good.get(field).is_some()
    }

    /// The request without one field.
    fn without(&self, field: &str) -> String {
        let mut request: Value = serde_json::from_str(&self.with_fields([])).unwrap();
        request.as_object_mut().unwrap().remove(field);
        request.to_string()
    }

    /// The request with one field replaced by this JSON text.
    fn with(&self, field: &str, value: &str) -> String {
        self.with_fields([(field, value)])
    }

    /// The request with these fields replaced; those that stand in the path are left out.
    fn with_fields<const N: usize>(&self, fields: [(&str, &str); N]) -> String {
        let path = self.http.as_ref().map_or("", |(_, path)| path);
        let is_other = |name: &str| {
            !path.contains(&format!("{{{name}}}")) && fields.iter().all(|(replaced, _)| *replaced != name)
        };
        let others = self.good.as_object().unwrap().iter().filter(|(name, _)| is_other(name));
        let mut members: Vec<String> = others.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        members.extend(fields.iter().map(|(name, value)| format!("\"{name}\":{value}")));
        format!("{{{}}}", members.join(","))
    }
}

/// The JSON types that a field's schema admits.
fn admitted(schema: &Value, root: &Value) -> Vec<String> {
    if let Some(target) = schema["$ref"].as_str() {
        return admitted(root.pointer(target.trim_start_matches('#')).unwrap(), root);
    }
    let mut types: Vec<String> = match &schema["type"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    };
    for union in ["anyOf", "oneOf"] {
        types.extend(schema[union].as_array().into_iter().flatten().flat_map(|part| admitted(part, root)));
    }
    assert!(!types.is_empty(), "{schema}");
    types
}

/// One value of each JSON type.
const SAMPLES: [(&str, &str); 7] = [
    ("string", "\"1\""),
    ("integer", "7"),
    ("number", "7.5"),
    ("boolean", "true"),
    ("null", "null"),
    ("array", "[[7]]"),
    ("object", "{\"a\":{}}"),
];

/// A key that may do everything, so that nothing but the field is at fault.
async fn almighty_key(shop: &Shop) -> String {
    let scopes = "scopes => topup.known_scopes()";
    shop.database.tenant("Thorough").await.key("staging", scopes).await.1
}

async fn written(shop: &Shop) -> i64 {
    let query = "select (select count(*) from topup.transaction) + (select count(*) from topup.outbox)
                      + (select count(*) from topup.webhook_endpoint) + (select count(*) from topup.idempotency)
                      + (select count(*) from topup.customer) + (select count(*) from topup.deliveries)";
    shop.database.admin().await.query_one(query, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named_in_every_operation() {
    let shop = Shop::open_with(&NO_RATE_LIMIT).await;
    let key = almighty_key(&shop).await;
    let before = written(&shop).await;
    let mut tried = 0;
    for operation in catalog(&shop).await {
        for (field, schema) in operation.body_fields() {
            let types = admitted(schema, &operation.schema);
            for (kind, sample) in SAMPLES {
                let is_admitted = types.iter().any(|one| one == kind || one == "number" && kind == "integer");
                let whole_array = kind == "array" && is_admitted;
                if is_admitted && !whole_array {
                    continue;
                }
                let (status, reply) = operation.ask(&shop, &key, &operation.with(field, sample)).await;
                let what = format!("{} {field}={sample}: {reply}", operation.name);
                assert_eq!((status, &reply["code"]), (400, &json!(2000)), "{what}");
                let named = reply["data"]["field"].as_str().unwrap_or_else(|| panic!("no field: {what}"));
                assert!(named.split(['.', '[']).next() == Some(field.as_str()), "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
    assert_eq!(written(&shop).await, before);
}

#[tokio::test]
async fn a_field_may_be_left_out_exactly_where_the_schema_says_so() {
    let shop = Shop::open_with(&NO_RATE_LIMIT).await;
    let key = almighty_key(&shop).await;
    for operation in catalog(&shop).await {
        let (_, whole) = operation.ask(&shop, &key, &operation.with_fields([])).await;
        assert!(!whole["data"]["message"].as_str().is_some_and(|text| text.contains("issing")), "{whole}");
        for (field, _) in operation.body_fields().into_iter().filter(|(field, _)| operation.requires(field)) {
            let (status, reply) = operation.ask(&shop, &key, &operation.without(field)).await;
            let what = format!("{} without {field}: {reply}", operation.name);
            assert_eq!((status, &reply["code"]), (400, &json!(2000)), "{what}");
            assert_eq!(reply["data"]["field"], field.as_str(), "{what}");
        }
    }
}

#[tokio::test]
async fn null_is_taken_where_the_schema_says_so() {
    let shop = Shop::open_with(&NO_RATE_LIMIT).await;
    let key = almighty_key(&shop).await;
    let mut wrong = Vec::new();
    for operation in catalog(&shop).await {
        // What can be made once is made by now.
        operation.ask(&shop, &key, &operation.with_fields([])).await;
        let (_, without) = operation.ask(&shop, &key, &operation.with_fields([])).await;
        for (field, schema) in operation.body_fields() {
            if !admitted(schema, &operation.schema).iter().any(|one| one == "null") {
                continue;
            }
            let (_, with_null) = operation.ask(&shop, &key, &operation.with(field, "null")).await;
            if with_null["code"] != without["code"] {
                wrong.push(format!("{} {field}", operation.name));
            }
        }
    }
    assert!(wrong.is_empty(), "the schema admits null, the operation does not: {wrong:?}");
}

#[tokio::test]
async fn text_that_postgres_cannot_hold_is_refused_in_every_field() {
    let shop = Shop::open_with(&NO_RATE_LIMIT).await;
    let key = almighty_key(&shop).await;
    let before = written(&shop).await;
    for operation in catalog(&shop).await {
        for (field, schema) in operation.body_fields() {
            let types = admitted(schema, &operation.schema);
            for text in [r#""\u0000""#, r#""a\u0000b""#, r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud83d x""#]
            {
                let value = match types[0].as_str() {
                    "string" => text.to_owned(),
                    "array" => format!("[{text}]"),
                    "object" => format!("{{\"a\":[{text}]}}"),
                    _ => continue,
                };
                let (status, reply) = operation.ask(&shop, &key, &operation.with(field, &value)).await;
                let what = format!("{} {field}={value}: {reply}", operation.name);
                assert_eq!((status, &reply["code"]), (400, &json!(2000)), "{what}");
                if text.contains("u0000") {
                    let named = reply["data"]["field"].as_str().unwrap_or_else(|| panic!("no field: {what}"));
                    assert!(named.starts_with(field.as_str()), "{what}");
                }
            }
        }
    }
    assert_eq!(written(&shop).await, before);
}

#[tokio::test]
async fn an_unknown_field_is_named_in_every_operation_of_the_envelope() {
    let shop = Shop::open_with(&NO_RATE_LIMIT).await;
    let key = almighty_key(&shop).await;
    for operation in catalog(&shop).await {
        if !operation.is_envelope()
            || operation.http.as_ref().is_some_and(|(method, _)| *method != Method::POST)
        {
            continue;
        }
        let (status, reply) = operation.ask(&shop, &key, &operation.with("surprise", "1")).await;
        assert_eq!((status, &reply["code"]), (400, &json!(2000)), "{}: {reply}", operation.name);
        assert_eq!(reply["data"]["field"], "surprise", "{}", operation.name);
    }
}
