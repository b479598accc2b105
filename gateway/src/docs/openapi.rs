//! The OpenAPI 3.1 document, made from the catalog.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::docs::components::{Components, pascal};
use crate::docs::refusal::{self, COMMON_REFUSALS, POST_REFUSALS};
use crate::docs::webhook;
use crate::operation::{CodeRow, EventRow, Operation};
use crate::response_format::ResponseFormat;
use crate::schema;

const NO_CONTENT: u16 = 204;
const ACCEPTED: u16 = 202;
const INTRODUCTION: &str = include_str!("../../templates/introduction.md");

/// The document for these operations.
pub fn document(
    version: &str,
    operations: &[Arc<Operation>],
    codes: &[CodeRow],
    events: &[EventRow],
) -> Value {
    let mut components = Components::default();
    let mut paths = Map::new();
    for operation in operations {
        let (Some(method), Some(path)) = (&operation.method, &operation.path) else { continue };
        let described = describe(operation, path, &mut components);
        let methods = paths.entry(path.as_str()).or_insert_with(|| json!({}));
        methods[method.as_str().to_ascii_lowercase()] = described;
    }
    let webhooks = webhook::webhooks(events, &mut components);
    refusal::add_schemas(&mut components);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pg_topup",
            "summary": "Prepaid AI credit",
            "version": version,
            "description": format!("{INTRODUCTION}\n{}", code_table(codes)),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This gateway."}],
        "tags": tags(operations, events),
        "security": [{"bearer": []}, {"key_header": []}],
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": components.schemas,
            "responses": refusal::responses(codes, &components.refusals),
            "parameters": {"IdempotencyKey": idempotency_key()},
            "headers": headers(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, `ak_staging_…` or `ak_live_…`."},
                "key_header": {"type": "apiKey", "in": "header", "name": "X-CREDYT-API-KEY", "description": "The same key."},
            },
        },
    })
}

/// The sections of the catalog, in its order, and the webhooks.
fn tags(operations: &[Arc<Operation>], events: &[EventRow]) -> Vec<Value> {
    let mut tags: Vec<Value> = Vec::new();
    for operation in operations.iter().filter(|operation| operation.path.is_some()) {
        let tag = json!({"name": operation.section, "description": operation.section_description});
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if !events.is_empty() {
        tags.push(webhook::tag());
    }
    tags
}

fn describe(operation: &Operation, path: &str, components: &mut Components) -> Value {
    let in_path = path_fields(path);
    let request = components.hoist(operation, &operation.request_schema);
    let mut described = json!({
        "operationId": operation.name,
        "tags": [operation.section],
        "summary": operation.summary,
        "description": description(operation),
        "parameters": parameters(operation, &in_path, &request),
        "responses": responses(operation, components),
    });
    if operation.takes_body() {
        let body = without_fields(request, &in_path);
        let required = body["required"].as_array().is_some_and(|required| !required.is_empty());
        let schema = components.add(&format!("{}Request", pascal(&operation.name)), body);
        let mut content = json!({"schema": schema});
        if let Some(example) = operation.request_example.as_object() {
            let is_sent = |(name, _): &(&String, &Value)| !in_path.contains(&name.as_str());
            let sent: Map<String, Value> =
                example.iter().filter(is_sent).map(|(name, value)| (name.clone(), value.clone())).collect();
            content["example"] = Value::Object(sent);
        }
        described["requestBody"] = json!({"required": required, "content": {"application/json": content}});
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

fn parameters(operation: &Operation, in_path: &[&str], request: &Value) -> Vec<Value> {
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
            // What stands in a path is never null.
            "schema": if is_in_path { schema::plain(field, request) } else { field.clone() },
        });
        if let Some(text) = field["description"].as_str() {
            parameter["description"] = json!(text);
        }
        if let Some(example) = operation.request_example.get(name) {
            parameter["example"] = example.clone();
        }
        parameters.push(parameter);
    }
    if operation.idempotent {
        parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
    }
    parameters
}

fn responses(operation: &Operation, components: &mut Components) -> Value {
    let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}});
    if operation.idempotent {
        headers["Idempotent-Replayed"] = json!({"$ref": "#/components/headers/IdempotentReplayed"});
    }
    if operation.format != ResponseFormat::Envelope {
        headers["Warning"] = json!({"$ref": "#/components/headers/Warning"});
    }
    let mut success = json!({"description": operation.summary, "headers": headers});
    if operation.success_status != NO_CONTENT {
        let mut content = json!({"schema": components.reply_of(operation)});
        if !operation.reply_example.is_null() {
            content["example"] = operation.reply_example.clone();
        }
        success["content"] = json!({&operation.media_type: content});
    }
    let mut responses = Map::new();
    responses.insert(operation.success_status.to_string(), success.clone());
    // What goes on elsewhere is only accepted for now.
    if operation.batched || operation.completes_with.is_some() {
        success["description"] = json!("Accepted: it is pending.");
        if let Some(content) = success["content"][&operation.media_type].as_object_mut() {
            content.remove("example");
        }
        responses.insert(ACCEPTED.to_string(), success);
    }
    let of_body: &[i16] = if operation.takes_body() { &POST_REFUSALS } else { &[] };
    for status in COMMON_REFUSALS.iter().chain(of_body).chain(&operation.refusal_statuses) {
        responses.insert(status.to_string(), components.refusal(operation.format, *status));
    }
    Value::Object(responses)
}

fn headers() -> Value {
    let header =
        |description: &str, kind: &str| json!({"description": description, "schema": {"type": kind}});
    json!({
        "RequestId": header("The request's X-Request-Id, or a new one.", "string"),
        "RetryAfter": header("Seconds to wait.", "integer"),
        "IdempotentReplayed": header("`true`: the reply of an earlier request under the same key.", "string"),
        "Warning": header("Names fields of the request that were ignored, where there were any.", "string"),
    })
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

fn without_fields(mut object: Value, names: &[&str]) -> Value {
    if let Some(properties) = object["properties"].as_object_mut() {
        properties.retain(|name, _| !names.contains(&name.as_str()));
    }
    if let Some(required) = object["required"].as_array_mut() {
        required.retain(|name| name.as_str().is_none_or(|name| !names.contains(&name)));
    }
    object
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    #[test]
    fn path_fields_are_no_part_of_the_body() {
        let operation = Operation {
            section: "Hooks".into(),
            request_schema: json!({"properties": {"id": {"type": "string"}, "n": {"type": "integer"}}, "required": ["id"]}),
            request_example: json!({"id": "whk_1", "n": 2}),
            refusal_statuses: vec![404],
            ..Operation::for_route("hook_rotate", Method::POST, "/api/v1/hooks/{id}/rotate")
        };
        let document = document("1.0.0", &[Arc::new(operation)], &[], &[]);
        let rotate = &document["paths"]["/api/v1/hooks/{id}/rotate"]["post"];
        assert_eq!(rotate["tags"], json!(["Hooks"]));
        assert_eq!(
            (&rotate["parameters"][0]["in"], &rotate["parameters"][0]["example"]),
            (&json!("path"), &json!("whk_1"))
        );
        let body = &rotate["requestBody"]["content"]["application/json"];
        assert_eq!(body["example"], json!({"n": 2}));
        assert_eq!(body["schema"]["$ref"], "#/components/schemas/HookRotateRequest");
        let named = &document["components"]["schemas"]["HookRotateRequest"];
        assert_eq!(named["properties"], json!({"n": {"type": "integer"}}));
        assert_eq!(rotate["responses"]["404"]["$ref"], "#/components/responses/Refusal404");
    }
}
