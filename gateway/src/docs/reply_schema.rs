//! The shapes that replies and refusals have, as schemas.

use serde_json::{Value, json};

/// The envelope around this `data`.
pub fn envelope_schema(data: Value) -> Value {
    json!({
        "type": "object",
        "description": "The envelope of every reply.",
        "required": ["success", "code", "transaction_id", "status", "timestamp", "data"],
        "properties": {
            "success": {"type": "boolean", "description": "True for the codes 1000, 1001, 1002 and 3001."},
            "code": {"type": "integer", "description": "What became of the request; see the table of codes."},
            "transaction_id": {"type": ["string", "null"], "description": "`txn_…`; null where there is none."},
            "status": {"type": ["string", "null"], "description": "Where the transaction stands; null where there is none."},
            "timestamp": {"type": "string", "format": "date-time", "description": "RFC 3339, UTC."},
            "data": data,
        },
    })
}

/// The `data` of a refusal.
pub fn fault_schema() -> Value {
    json!({
        "type": "object",
        "description": "What is wrong.",
        "required": ["message"],
        "properties": {
            "message": {"type": "string", "description": "What is wrong, in plain English."},
            "field": {"type": "string", "description": "The field at fault, where there is one."},
        },
    })
}

/// RFC 7807, with our code.
pub fn problem_schema() -> Value {
    let messages = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "type": "object",
        "description": "A refusal as RFC 7807 has it.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string", "description": "Always `about:blank`."},
            "title": {"type": "string", "description": "HTTP's words for the status."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What is wrong, in plain English."},
            "code": {"type": "integer", "description": "The code that the envelope would have."},
            "errors": {
                "type": "object",
                "description": "What is wrong with each field, where a field is at fault.",
                "additionalProperties": messages,
            },
        },
    })
}

/// What Cloudflare's clients expect around a result.
pub fn cloudflare_schema(result: Value) -> Value {
    json!({
        "type": "object",
        "description": "A result, or what is wrong.",
        "required": ["result", "success", "errors", "messages"],
        "properties": {
            "result": result,
            "success": {"type": "boolean", "description": "Whether there is a result."},
            "errors": {"type": "array", "description": "What is wrong; empty where nothing is.", "items": {
                "type": "object",
                "description": "One thing that is wrong.",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "integer", "description": "The code that the envelope would have."},
                    "message": {"type": "string", "description": "What is wrong, in plain English."},
                    "field": {"type": "string", "description": "The field at fault, where there is one."},
                },
            }},
            "messages": {"type": "array", "description": "Always empty.", "items": {}},
        },
    })
}
