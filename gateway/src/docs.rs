//! The documentation page: one server-rendered page without scripts, made from the catalog.

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::http::{HeaderValue, Method};
use serde_json::{Map, Value};

use crate::operation::{CodeRow, Operation, Surface};
use crate::{hypertext, openapi, schema};

const STYLE: &str = include_str!("../templates/docs.css");
/// The field that names the kinds of webhook events, in the request of the operation that registers a webhook.
const EVENTS_FIELD: &str = "events";

/// Objects inside objects that are shown field by field.
const NESTING_MAX: usize = 2;

/// Its forms, of which there are none, lead nowhere.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| hypertext::policy(STYLE, "form-action 'none'"));

/// The page for these operations.
pub fn page(version: &str, operations: &[Arc<Operation>], codes: &[CodeRow]) -> askama::Result<String> {
    let sections = operations.iter().filter_map(|operation| section(operation)).collect();
    let events = operations
        .iter()
        .filter(|operation| operation.resolves.is_some())
        .map(|operation| &operation.request_schema)
        .map(|root| schema::choices(&root["properties"][EVENTS_FIELD], root))
        .find(|events| !events.is_empty())
        .unwrap_or_default()
        .into_iter()
        .map(|(event, meaning)| (event, prose(meaning)))
        .collect();
    Page { version, style: STYLE, sections, codes, events }.render()
}

pub fn content_security_policy() -> HeaderValue {
    POLICY.clone()
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Page<'a> {
    version: &'a str,
    style: &'static str,
    sections: Vec<Section<'a>>,
    codes: &'a [CodeRow],
    events: Vec<(&'a str, String)>,
}

struct Section<'a> {
    operation: &'a Operation,
    method: &'a str,
    path: &'a str,
    description: String,
    fields: Vec<Field>,
    reply: Vec<Field>,
    example: String,
}

struct Field {
    /// With dots for what lies inside an object, and `[]` for what lies in an array.
    name: String,
    kind: String,
    place: &'static str,
    required: bool,
    /// HTML.
    description: String,
}

fn section(operation: &Operation) -> Option<Section<'_>> {
    let (method, path) = (operation.method.as_ref()?, operation.path.as_deref()?);
    let in_path = openapi::path_fields(path);
    let place = |name: &str| match () {
        _ if in_path.contains(&name) => "path",
        _ if operation.takes_body() => "body",
        _ => "query",
    };
    Some(Section {
        operation,
        method: method.as_str(),
        path,
        description: prose(&operation.description),
        fields: fields(&operation.request_schema, place),
        reply: fields(&operation.reply_schema, |_| match operation.surface {
            Surface::Envelope => "data",
            Surface::Plain => "body",
            Surface::Enclosed => "result",
        }),
        example: example(operation, method, path),
    })
}

fn fields(root: &Value, place: impl Fn(&str) -> &'static str) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(root, root, "", &place, &mut fields, 0);
    fields
}

fn collect(
    object: &Value,
    root: &Value,
    prefix: &str,
    place: &impl Fn(&str) -> &'static str,
    fields: &mut Vec<Field>,
    depth: usize,
) {
    for (name, schema, required) in schema::fields(object) {
        let name = format!("{prefix}{name}");
        fields.push(Field {
            kind: schema::in_words(schema, root),
            place: place(&name),
            required,
            description: prose(schema["description"].as_str().unwrap_or("")),
            name: name.clone(),
        });
        if depth < NESTING_MAX {
            let schema = schema::resolve(schema, root);
            let items = schema.get("items").map(|items| schema::resolve(items, root));
            let prefix = format!("{name}{}.", if items.is_some() { "[]" } else { "" });
            collect(items.unwrap_or(schema), root, &prefix, place, fields, depth + 1);
        }
    }
}

/// Text as HTML, with what stands in backticks as code.
fn prose(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut html = String::with_capacity(text.len());
    let parts: Vec<&str> = text.split('`').collect();
    for (index, part) in parts.iter().enumerate() {
        let is_code = index % 2 == 1 && index + 1 < parts.len();
        match (index, is_code) {
            (_, true) => html.push_str(&format!("<code>{part}</code>")),
            (index, false) if index % 2 == 1 => html.push_str(&format!("`{part}")),
            _ => html.push_str(part),
        }
    }
    html
}

/// A curl line with all required fields.
fn example(operation: &Operation, method: &Method, path: &str) -> String {
    let root = &operation.request_schema;
    let (mut path, mut body, mut query) = (path.to_owned(), Map::new(), Vec::new());
    for (name, field, required) in schema::fields(root) {
        let value = schema::example(name, field, root);
        let place = format!("{{{name}}}");
        if path.contains(&place) {
            path = path.replace(&place, &plain(&value));
        } else if required && operation.takes_body() {
            body.insert(name.to_owned(), value);
        } else if required {
            query.push(format!("{name}={}", plain(&value)));
        }
    }
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let verb = if method == Method::GET { String::new() } else { format!(" -X {method}") };
    let mut lines = vec![
        format!("curl{verb} \"$TOPUP_URL{path}{query}\""),
        "-H \"Authorization: Bearer $TOPUP_KEY\"".to_owned(),
    ];
    if operation.idempotent {
        lines.push("-H \"Idempotency-Key: $(uuidgen)\"".to_owned());
    }
    if operation.takes_body() && !body.is_empty() {
        lines.push("-H \"Content-Type: application/json\"".to_owned());
        lines.push(format!("-d '{}'", Value::Object(body).to_string().replace('\'', "'\\''")));
    }
    lines.join(" \\\n  ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn backticks_become_code_and_nothing_else_becomes_html() {
        assert_eq!(prose("a `<b>` & c"), "a <code>&lt;b&gt;</code> &amp; c");
        assert_eq!(prose("an odd ` one"), "an odd ` one");
    }

    #[test]
    fn what_lies_inside_is_shown_with_its_path() {
        let root = json!({
            "$defs": {"Key": {"properties": {"id": {"type": "string"}}}},
            "properties": {"keys": {"type": "array", "items": {"$ref": "#/$defs/Key"}}, "key": {"$ref": "#/$defs/Key"}},
        });
        let names: Vec<String> = fields(&root, |_| "data").into_iter().map(|field| field.name).collect();
        assert_eq!(names, ["keys", "keys[].id", "key", "key.id"]);
    }

    #[test]
    fn a_page_shows_each_operation_with_an_example() {
        let operation = Operation {
            summary: "Sends <credit>".into(),
            idempotent: true,
            request_schema: json!({
                "properties": {"amount_cents": {"type": "integer", "minimum": 100}, "note": {"type": "string"}},
                "required": ["amount_cents"],
            }),
            ..Operation::for_route("send", Method::POST, "/api/v1/topup/send")
        };
        let codes = [CodeRow { code: 1000, meaning: "Success".into(), http_status: 200, success: true }];
        let page = page("1.2.3", &[Arc::new(operation)], &codes).unwrap();
        for part in ["1.2.3", "/api/v1/topup/send", "integer, at least 100", "Sends &#60;credit&#62;", "1000"]
        {
            assert!(page.contains(part), "{part} is missing");
        }
        assert!(page.contains("-d &#39;{&#34;amount_cents&#34;:100}&#39;"));
        assert!(!page.contains("<script") && !page.contains("style="));
    }
}
