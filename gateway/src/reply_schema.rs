//! The shapes that replies and refusals have, as schemas.

use serde_json::{Value, json};

/// The envelope around this `data`.
pub fn envelope_schema(data: Value) -> Value {
    json!({
        "type": "object",
        "required": ["success", "code", "transaction_id", "status", "timestamp", "data"],
        "properties": {
            "success": {"type": "boolean"},
            "code": {"type": "integer"},
            "transaction_id": {"type": ["string", "null"]},
            "status": {"type": ["string", "null"]},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": data,
        },
    })
}

/// The `data` of a refusal.
pub fn fault_schema() -> Value {
    json!({
        "type": "object",
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
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong, in plain English."},
            "code": {"type": "integer"},
            "errors": {
                "type": "object",
                "description": "What is wrong with each field, where a field is at fault.",
                "additionalProperties": messages,
            },
        },
    })
}

/// What Cloudflare's clients expect around a result.
pub fn enclosed_schema(result: Value) -> Value {
    json!({
        "type": "object",
        "required": ["result", "success", "errors", "messages"],
        "properties": {
            "result": result,
            "success": {"type": "boolean"},
            "errors": {"type": "array", "items": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "field": {"type": "string", "description": "The field at fault, where there is one."},
                },
            }},
            "messages": {"type": "array", "items": {}},
        },
    })
}
