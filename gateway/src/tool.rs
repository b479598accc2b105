//! The tools that MCP clients see, made from the catalog.

use std::sync::Arc;

use pg_topup_contract::Code;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::docs::openapi;
use crate::docs::reply_schema;
use crate::operation::Operation;
use crate::postgres::catalog_row::CatalogFault;
use crate::reply::Refusal;
use crate::request;
use crate::schema;

/// The argument that stands for the call's Idempotency-Key.
pub const IDEMPOTENCY_KEY: &str = "idempotency_key";

const IDEMPOTENCY_KEY_SAYS: &str = "A fresh random UUID for each call that is intended, and the same one when that call is \
                                    tried again. Shared by all keys of the account.";

/// What n8n's client adds to the arguments of every call, for its own use. All else that a tool does not know is refused:
/// it may be a misspelt amount.
const OF_CLIENTS: [&str; 4] = ["sessionId", "action", "chatInput", "toolCallId"];

/// How much of a name that nobody knows is repeated to who sent it.
pub const NAME_SHOWN_MAX: usize = 100;

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
    /// Tools for all operations that are presented as one; an error where that cannot be read.
    pub fn new(operations: &[Arc<Operation>]) -> Result<Self, CatalogFault> {
        let mut entries = Vec::new();
        for operation in operations {
            let Some(presented) = &operation.mcp_tool else { continue };
            let presented = Presented::deserialize(presented).map_err(|error| {
                CatalogFault::unknown(
                    &operation.name,
                    &format!("({error}) the MCP tool"),
                    &presented.to_string(),
                )
            })?;
            entries.push(Entry { tool: tool(presented, operation), operation: operation.clone() });
        }
        Ok(Tools { entries })
    }

    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tool.name == name)
    }

    pub fn all(&self) -> Vec<Tool> {
        self.entries.iter().map(|entry| entry.tool.clone()).collect()
    }
}

impl Entry {
    /// The operation's request that these arguments make, each value as it is written, and its idempotency key.
    pub fn request(&self, arguments: &str) -> Result<(String, Option<String>), Refusal> {
        let not_an_object = || Refusal::new(Code::InvalidRequest, "The arguments must be a JSON object.");
        let mut fields = request::fields(arguments).ok_or_else(not_an_object)?;
        fields.retain(|(name, _)| self.takes(name) || !OF_CLIENTS.contains(&name.as_str()));
        if let Some((name, _)) = fields.iter().find(|(name, _)| !self.takes(name)) {
            let message = format!("unknown argument `{name:.NAME_SHOWN_MAX$}`");
            return Err(Refusal::of_field(Code::InvalidRequest, name, message));
        }
        let (keys, fields): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|(name, _)| name == IDEMPOTENCY_KEY);
        let key = match keys.as_slice() {
            [] => Some(None),
            // Postgres takes no text with a NUL in it; all else that may be wrong with a key it says itself.
            [(_, key)] => serde_json::from_str::<Option<String>>(key)
                .ok()
                .filter(|key| !key.as_ref().is_some_and(|key| key.contains('\0'))),
            _ => None,
        };
        let message = "The idempotency_key must be one string of 1 to 255 visible ASCII characters.";
        let refused = || Refusal::of_field(Code::InvalidRequest, IDEMPOTENCY_KEY, message);
        Ok((request::object(&fields), key.ok_or_else(refused)?))
    }

    fn takes(&self, argument: &str) -> bool {
        self.tool.input_schema.get("properties").is_some_and(|known| known.get(argument).is_some())
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
        let tools = Tools::new(&[Arc::new(operation)]).unwrap();
        let entry = tools.find("send").unwrap();
        let input = serde_json::to_value(&entry.tool.input_schema).unwrap();
        assert_eq!(
            input["properties"]["amount_cents"],
            json!({"type": "integer", "description": "In cents."})
        );
        assert_eq!(input["properties"]["email"], json!({"type": "string"}));
        assert_eq!(input["properties"]["idempotency_key"]["maxLength"], 255);
        assert_eq!(input["required"], json!(["amount_cents"]));
    }

    fn sending() -> Tools {
        let mut operation = Operation::for_test(json!({
            "type": "object",
            "properties": {"amount_cents": {"type": "integer"}, "action": {"type": "string"}},
        }));
        operation.mcp_tool = Some(json!({
            "name": "send", "title": "Send", "description": "Sends.", "annotations": {"readOnlyHint": false},
            "arguments": ["amount_cents", "action", "idempotency_key"],
        }));
        Tools::new(&[Arc::new(operation)]).unwrap()
    }

    #[test]
    fn arguments_become_the_request_as_they_are_written() {
        let tools = sending();
        let entry = tools.find("send").unwrap();
        for (arguments, request, key) in [
            ("{}", "{}", None),
            (r#"{"amount_cents":1e3,"idempotency_key":"k"}"#, r#"{"amount_cents":1e3}"#, Some("k")),
            (r#"{"idempotency_key":null,"amount_cents":1.0}"#, r#"{"amount_cents":1.0}"#, None),
            (r#"{"sessionId":"s","chatInput":{},"toolCallId":7,"action":"a"}"#, r#"{"action":"a"}"#, None),
            (r#"{"amount_cents":1,"amount_cents":2}"#, r#"{"amount_cents":1,"amount_cents":2}"#, None),
        ] {
            let (made, of_call) = entry.request(arguments).unwrap();
            assert_eq!((made.as_str(), of_call.as_deref()), (request, key), "{arguments}");
        }
        for arguments in [
            "[]",
            "7",
            r#"{"amount":1}"#,
            r#"{"session_id":"s"}"#,
            r#"{"idempotency_key":7}"#,
            r#"{"idempotency_key":"a\u0000"}"#,
            r#"{"idempotency_key":"a","idempotency_key":"a"}"#,
        ] {
            assert!(entry.request(arguments).is_err(), "{arguments}");
        }
    }
}
