//! The OpenAPI 3.1 document, made from the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use pg_topup_contract::PROBLEM_JSON;
use serde_json::{Map, Value, json};

use crate::operation::{CodeRow, Operation, Surface};
use crate::reply_schema::{enclosed_schema, envelope_schema, fault_schema, problem_schema};
use crate::schema;

/// HTTP statuses that every operation may answer with. What else a business refusal may be is in `default`.
const COMMON_REFUSALS: [i16; 6] = [400, 401, 403, 429, 500, 503];
const POST_REFUSALS: [i16; 2] = [413, 415];
const NO_CONTENT: u16 = 204;

/// The document for these operations.
pub fn document(version: &str, operations: &[Arc<Operation>], codes: &[CodeRow]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let (Some(method), Some(path)) = (&operation.method, &operation.path) else { continue };
        let described = describe(operation, path, &mut schemas);
        paths.entry(path).or_default().insert(method.as_str().to_ascii_lowercase(), described);
    }
    schemas.by_name.insert("Fault".to_owned(), fault_schema());
    schemas.by_name.insert("Problem".to_owned(), problem_schema());
    schemas.by_name.insert("Enclosed".to_owned(), enclosed_schema(json!({"type": "null"})));
    schemas
        .by_name
        .insert("Refusal".to_owned(), envelope_schema(json!({"$ref": "#/components/schemas/Fault"})));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pg_topup",
            "version": version,
            "description": format!(
                "Prepaid AI credit: one envelope for every reply, one code for every outcome.\n\n{}",
                code_table(codes)
            ),
        },
        "security": [{"bearer": []}, {"key_header": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.by_name,
            "responses": refusals(codes),
            "parameters": {"IdempotencyKey": idempotency_key()},
            "headers": {
                "RequestId": {"description": "The request's X-Request-Id, or a new one.", "schema": {"type": "string"}},
                "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, `ak_staging_…` or `ak_live_…`."},
                "key_header": {"type": "apiKey", "in": "header", "name": "X-CREDYT-API-KEY", "description": "The same key."},
            },
        },
    })
}

fn describe(operation: &Operation, path: &str, schemas: &mut Schemas) -> Value {
    let request = schemas.hoist(operation, &operation.request_schema);
    let reply = schemas.hoist(operation, &operation.reply_schema);
    let mut described = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "description": description(operation),
        "parameters": parameters(operation, path, &request),
        "responses": responses(operation, schemas.reply_of(operation, reply)),
    });
    if let Some(tag) = tag(path) {
        described["tags"] = json!([tag]);
    }
    if operation.takes_body() {
        let body = without_fields(request, &path_fields(path));
        let required = body["required"].as_array().is_some_and(|required| !required.is_empty());
        described["requestBody"] =
            json!({"required": required, "content": {"application/json": {"schema": body}}});
    }
    described
}

fn description(operation: &Operation) -> String {
    let mut text = operation.description.clone();
    if let Some(scope) = &operation.scope {
        let gap = if text.is_empty() { "" } else { "\n\n" };
        text.push_str(&format!("{gap}Needs a key with the scope `{scope}`."));
    }
    text
}

fn parameters(operation: &Operation, path: &str, request: &Value) -> Vec<Value> {
    let in_path = path_fields(path);
    let mut parameters = Vec::new();
    for (name, field, required) in schema::fields(request) {
        let is_in_path = in_path.contains(&name);
        if !is_in_path && operation.takes_body() {
            continue;
        }
        let mut parameter = json!({
            "name": name,
            "in": if is_in_path { "path" } else { "query" },
            "required": required || is_in_path,
            "schema": field,
        });
        if let Some(text) = field["description"].as_str() {
            parameter["description"] = json!(text);
        }
        parameters.push(parameter);
    }
    for name in in_path {
        if request["properties"].get(name).is_none() {
            let schema = json!({"type": "string"});
            parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
    }
    if operation.idempotent {
        parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
    }
    parameters
}

fn responses(operation: &Operation, reply: Value) -> Value {
    let mut success = json!({
        "description": "The reply.",
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
    });
    if operation.success_status != NO_CONTENT {
        success["content"] = json!({&operation.media_type: {"schema": reply}});
    }
    let mut responses = Map::new();
    responses.insert(operation.success_status.to_string(), success.clone());
    // What is only accepted for now is 202; the catalog does not say which operations do that.
    if operation.surface == Surface::Envelope && operation.takes_body() {
        responses.insert("2XX".to_owned(), success);
    }
    let extra: &[i16] = if operation.takes_body() { &POST_REFUSALS } else { &[] };
    let kind = refusal_name(operation.surface);
    for status in COMMON_REFUSALS.iter().chain(extra) {
        let reference = format!("#/components/responses/{kind}{status}");
        responses.insert(status.to_string(), json!({"$ref": reference}));
    }
    responses.insert("default".to_owned(), json!({"$ref": format!("#/components/responses/{kind}")}));
    Value::Object(responses)
}

fn refusal_name(surface: Surface) -> &'static str {
    match surface {
        Surface::Envelope => "Refusal",
        Surface::Plain => "Problem",
        Surface::Enclosed => "Enclosed",
    }
}

/// One response for each HTTP status of a refusal, naming the codes that come with it, and one for all.
fn refusals(codes: &[CodeRow]) -> BTreeMap<String, Value> {
    let mut meanings: BTreeMap<i16, Vec<String>> = BTreeMap::new();
    for row in codes.iter().filter(|row| !row.success) {
        meanings.entry(row.http_status).or_default().push(format!("{}: {}", row.code, row.meaning));
    }
    for status in COMMON_REFUSALS.into_iter().chain(POST_REFUSALS) {
        meanings.entry(status).or_insert_with(|| vec!["A refusal".to_owned()]);
    }
    let refusal = |surface: Surface, description: String, with_retry: bool| {
        let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}});
        if with_retry {
            headers["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
        }
        let media_type = if surface == Surface::Plain { PROBLEM_JSON } else { "application/json" };
        let schema = json!({"$ref": format!("#/components/schemas/{}", refusal_name(surface))});
        json!({"description": description, "headers": headers, "content": {media_type: {"schema": schema}}})
    };
    let mut responses = BTreeMap::new();
    for surface in [Surface::Envelope, Surface::Plain, Surface::Enclosed] {
        let name = refusal_name(surface);
        for (status, texts) in &meanings {
            let with_retry = matches!(status, 429 | 503);
            responses.insert(format!("{name}{status}"), refusal(surface, texts.join("; "), with_retry));
        }
        responses
            .insert(name.to_owned(), refusal(surface, "A refusal; `code` says which.".to_owned(), false));
    }
    responses
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "The same request under the same key is carried out once; the first reply comes back, \
                        with `Idempotent-Replayed: true`. Another request under the key is refused.",
        "schema": idempotency_key_schema(),
    })
}

/// What an idempotency key is, in a header and in an argument.
pub fn idempotency_key_schema() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"})
}

fn code_table(codes: &[CodeRow]) -> String {
    let rows: Vec<String> =
        codes.iter().map(|row| format!("| {} | {} | {} |", row.code, row.meaning, row.http_status)).collect();
    format!("| code | meaning | HTTP |\n|---|---|---|\n{}\n", rows.join("\n"))
}

/// The names in braces of a path.
pub fn path_fields(path: &str) -> Vec<&str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

/// The first word after the version: `topup`, `webhooks`.
fn tag(path: &str) -> Option<&str> {
    path.split('/').skip_while(|part| !is_version(part)).nth(1)
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn without_fields(mut object: Value, names: &[&str]) -> Value {
    if let Some(properties) = object["properties"].as_object_mut() {
        properties.retain(|name, _| !names.contains(&name.as_str()));
    }
    if let Some(required) = object["required"].as_array_mut() {
        required.retain(|name| name.as_str().is_none_or(|name| !names.contains(&name)));
    }
    object
}

/// The named schemas of the document, collected from the `$defs` of every operation.
#[derive(Default)]
struct Schemas {
    by_name: BTreeMap<String, Value>,
}

impl Schemas {
    /// Names an operation's reply (`SendReply`), in its envelope where it has one, and gives a reference to it.
    fn reply_of(&mut self, operation: &Operation, data: Value) -> Value {
        let words = operation.name.split('_').map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            format!("{}{rest}", first.to_ascii_uppercase())
        });
        let name = format!("{}Reply", words.collect::<String>());
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        let shown = match operation.surface {
            Surface::Envelope => envelope_schema(data),
            Surface::Enclosed => enclosed_schema(data),
            Surface::Plain => data,
        };
        self.by_name.insert(name, shown);
        reference
    }

    /// The schema with its `$defs` moved here and its `$ref`s led after them. Where two operations
    /// mean different things by one name, the later one's carries the operation's name too.
    fn hoist(&mut self, operation: &Operation, schema: &Value) -> Value {
        let mut schema = if schema.is_null() { json!({}) } else { schema.clone() };
        let Some(object) = schema.as_object_mut() else { return schema };
        object.remove("$schema");
        let definitions = match object.remove("$defs") {
            Some(Value::Object(definitions)) => definitions,
            _ => Map::new(),
        };
        let mut names = BTreeMap::new();
        for name in definitions.keys() {
            names.insert(name.clone(), name.clone());
        }
        for (name, definition) in &definitions {
            let moved = led_after(definition.clone(), &names);
            if self.by_name.get(name).is_some_and(|known| *known != moved) {
                names.insert(name.clone(), format!("{}_{name}", operation.name));
            }
        }
        for (name, definition) in definitions {
            let moved = led_after(definition, &names);
            if let Some(name) = names.get(&name) {
                self.by_name.insert(name.clone(), moved);
            }
        }
        led_after(schema, &names)
    }
}

fn led_after(mut schema: Value, names: &BTreeMap<String, String>) -> Value {
    match &mut schema {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                let target =
                    value.as_str().filter(|_| key == "$ref").and_then(|at| at.strip_prefix("#/$defs/"));
                *value = match target {
                    Some(name) => {
                        json!(format!(
                            "#/components/schemas/{}",
                            names.get(name).map_or(name, String::as_str)
                        ))
                    }
                    None => led_after(value.take(), names),
                };
            }
        }
        Value::Array(values) => {
            for value in values {
                *value = led_after(value.take(), names);
            }
        }
        _ => {}
    }
    schema
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    #[test]
    fn definitions_are_moved_and_a_clash_of_names_is_solved() {
        let mut schemas = Schemas::default();
        let schema =
            |kind: &str| json!({"$defs": {"A": {"type": kind}}, "properties": {"a": {"$ref": "#/$defs/A"}}});
        let operation = Operation { name: "send".into(), ..Operation::default() };
        let first = schemas.hoist(&operation, &schema("string"));
        assert_eq!(first["properties"]["a"]["$ref"], "#/components/schemas/A");
        assert!(first.get("$defs").is_none());
        assert_eq!(schemas.hoist(&operation, &schema("string")), first);
        let other = schemas.hoist(&operation, &schema("integer"));
        assert_eq!(other["properties"]["a"]["$ref"], "#/components/schemas/send_A");
        assert_eq!(schemas.by_name["A"]["type"], "string");
    }

    #[test]
    fn path_fields_are_no_part_of_the_body() {
        let operation = Operation {
            request_schema: json!({"properties": {"id": {"type": "string"}, "n": {"type": "integer"}}, "required": ["id"]}),
            ..Operation::for_route("rotate", Method::POST, "/api/v1/hooks/{id}/rotate")
        };
        let document = document("1.0.0", &[Arc::new(operation)], &[]);
        let rotate = &document["paths"]["/api/v1/hooks/{id}/rotate"]["post"];
        assert_eq!(rotate["tags"], json!(["hooks"]));
        assert_eq!(rotate["parameters"][0]["in"], "path");
        let body = &rotate["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(body["properties"], json!({"n": {"type": "integer"}}));
    }
}
