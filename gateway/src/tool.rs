//! The tools that MCP clients see, made from the catalog.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::operation::Operation;
use crate::{openapi, reply_schema, schema};

/// The argument that stands for the call's Idempotency-Key.
pub const IDEMPOTENCY_KEY: &str = "idempotency_key";

const IDEMPOTENCY_KEY_SAYS: &str = "A fresh random UUID for each call that is intended, and the same one when that call is \
                                    tried again. Shared by all keys of the account.";

/// All tools, in the catalog's order.
#[derive(Default)]
pub struct Tools {
    entries: Vec<Entry>,
}

/// A tool, and the operation that it calls.
pub struct Entry {
    pub tool: Tool,
    pub operation: Arc<Operation>,
}

/// How the catalog presents an operation to agents.
#[derive(Deserialize)]
struct Presented {
    name: String,
    title: String,
    description: String,
    arguments: Vec<String>,
    annotations: ToolAnnotations,
}

impl Tools {
    /// Tools for all operations that are presented as one. A row that cannot be read is left out with
    /// a log line, so that it does not take the others away.
    pub fn new(operations: &[Arc<Operation>]) -> Self {
        let entries = operations.iter().filter_map(|operation| {
            let presented = operation.mcp_tool.as_ref()?;
            match Presented::deserialize(presented) {
                Ok(presented) => Some(Entry { tool: tool(presented, operation), operation: operation.clone() }),
                Err(error) => {
                    tracing::error!(operation = operation.name, %error, "the catalog describes no MCP tool here");
                    None
                }
            }
        });
        Tools { entries: entries.collect() }
    }

    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tool.name == name)
    }

    pub fn all(&self) -> Vec<Tool> {
        self.entries.iter().map(|entry| entry.tool.clone()).collect()
    }
}

impl Entry {
    /// The first of these arguments that the tool does not take.
    pub fn unknown<'a>(&self, arguments: &'a JsonObject) -> Option<&'a str> {
        let known = self.tool.input_schema.get("properties");
        let is_known = |name: &str| known.is_some_and(|known| known.get(name).is_some());
        arguments.keys().map(String::as_str).find(|name| !is_known(name))
    }
}

fn tool(presented: Presented, operation: &Operation) -> Tool {
    let input = input_schema(&presented.arguments, &operation.request_schema);
    let reply = schema::inlined(&operation.reply_schema, &operation.reply_schema);
    let data = json!({"anyOf": [reply, reply_schema::fault_schema()]});
    let output = schema::with_single_types(&reply_schema::envelope_schema(data));
    Tool::new(presented.name, presented.description, object(input))
        .with_title(presented.title)
        .with_raw_output_schema(Arc::new(object(output)))
        .with_annotations(presented.annotations)
}

/// Plain types only: no references and no unions with null, which some models' hosts cannot read.
fn input_schema(arguments: &[String], request: &Value) -> Value {
    let mut properties = JsonObject::new();
    let mut required = Vec::new();
    let fields = schema::fields(request);
    for argument in arguments {
        match fields.iter().find(|(name, ..)| name == argument) {
            Some((name, field, is_required)) => {
                properties.insert((*name).to_owned(), schema::plain(field, request));
                required.extend(is_required.then_some(*name));
            }
            None if argument == IDEMPOTENCY_KEY => {
                let mut schema = openapi::idempotency_key_schema();
                schema["description"] = Value::from(IDEMPOTENCY_KEY_SAYS);
                properties.insert(argument.clone(), schema);
            }
            None => {}
        }
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn object(schema: Value) -> JsonObject {
    match schema {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_takes_only_what_the_catalog_lists_and_in_plain_types() {
        let mut operation = Operation::for_test(json!({
            "type": "object",
            "$defs": {"Cents": {"type": "integer"}},
            "required": ["amount_cents"],
            "properties": {
                "metadata": {"type": "object"},
                "amount_cents": {"$ref": "#/$defs/Cents", "description": "In cents."},
                "email": {"type": ["string", "null"]},
            },
        }));
        operation.mcp_tool = Some(json!({
            "name": "send", "title": "Send", "description": "Sends.", "annotations": {"readOnlyHint": false},
            "arguments": ["amount_cents", "email", "idempotency_key"],
        }));
        let tools = Tools::new(&[Arc::new(operation)]);
        let entry = tools.find("send").unwrap();
        let input = serde_json::to_value(&entry.tool.input_schema).unwrap();
        assert_eq!(
            input["properties"]["amount_cents"],
            json!({"type": "integer", "description": "In cents."})
        );
        assert_eq!(input["properties"]["email"], json!({"type": "string"}));
        assert_eq!(input["properties"]["idempotency_key"]["maxLength"], 255);
        assert_eq!(input["required"], json!(["amount_cents"]));
        let given = |name: &str| JsonObject::from_iter([(name.to_owned(), json!(1))]);
        assert_eq!(entry.unknown(&given("metadata")), Some("metadata"));
        assert_eq!(entry.unknown(&given("idempotency_key")), None);
    }
}
