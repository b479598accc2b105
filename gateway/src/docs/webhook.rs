//! The webhooks of the OpenAPI document: each type of event with its body and an example.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::docs::components::{Components, pascal};
use crate::docs::reply_schema::envelope_schema;
use crate::operation::EventRow;

const TAG: &str = "Events";
const TAG_SAYS: &str = include_str!("../../templates/events.md");

/// The group of all events, and how they are sent.
pub fn tag() -> Value {
    json!({"name": TAG, "description": TAG_SAYS})
}

/// What an endpoint is told, by type.
pub fn webhooks(events: &[EventRow], components: &mut Components) -> BTreeMap<String, Value> {
    events.iter().map(|event| (event.name.clone(), json!({"post": describe(event, components)}))).collect()
}

fn describe(event: &EventRow, components: &mut Components) -> Value {
    let name = pascal(&event.name);
    let owner = format!("{name}Event");
    let data = components.hoist_for(&owner, &event.data_schema);
    let data = components.add(&format!("{owner}Data"), data);
    let envelope = components.add(&format!("{owner}Envelope"), envelope_schema(data));
    let schema = components.add(&owner, body_schema(&event.name, envelope));
    json!({
        "operationId": format!("on_{}", event.name.replace('.', "_")),
        "tags": [TAG],
        "summary": event.name,
        "description": event.meaning,
        "security": [],
        "parameters": headers(),
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": schema, "example": event.example}},
        },
        "responses": {
            "2XX": {"description": "Received."},
            "410": {"description": "Send nothing more: the endpoint is switched off."},
        },
    })
}

fn body_schema(name: &str, envelope: Value) -> Value {
    json!({
        "type": "object",
        "description": format!("The body of `{name}`."),
        "required": ["id", "type", "created_at", "environment", "data"],
        "properties": {
            "id": {"type": "string", "description": "`evt_…`: the same event may come twice."},
            "type": {"type": "string", "const": name, "description": "What happened."},
            "created_at": {"type": "string", "format": "date-time", "description": "When it happened. RFC 3339, UTC."},
            "environment": {"type": "string", "enum": ["staging", "live"], "description": "Whether play money is meant."},
            "data": envelope,
        },
    })
}

fn headers() -> Vec<Value> {
    let header = |name: &str, description: &str, example: &str| {
        json!({"name": name, "in": "header", "required": true, "description": description,
               "schema": {"type": "string"}, "example": example})
    };
    vec![
        header(
            "X-AiTopUp-Signature",
            "The time, and for each live secret the hex HMAC-SHA256 of `{t}.{body}`; its key is the whole secret.",
            "t=1781352000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
        ),
        header(
            "webhook-id",
            "The event's id, as Standard Webhooks have it.",
            "evt_01kaj6s0hmfnttn2awnn5jfzv5",
        ),
        header("webhook-timestamp", "Seconds since 1970.", "1781352000"),
        header(
            "webhook-signature",
            "The base64 HMAC-SHA256 of `{id}.{timestamp}.{body}`; its key is the base64-decoded secret after `whsec_`.",
            "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_described_with_its_own_data() {
        let event = EventRow {
            name: "topup.failed".into(),
            meaning: "It failed.".into(),
            data_schema: json!({"title": "T", "type": "object", "properties": {"a": {"type": "integer"}}}),
            example: json!({"id": "evt_1"}),
        };
        let mut components = Components::default();
        let webhooks = webhooks(&[event], &mut components);
        let post = &webhooks["topup.failed"]["post"];
        let content = &post["requestBody"]["content"]["application/json"];
        assert_eq!(content["schema"]["$ref"], "#/components/schemas/TopupFailedEvent");
        assert_eq!(content["example"]["id"], "evt_1");
        assert_eq!(components.schemas["TopupFailedEventData"]["properties"]["a"]["type"], "integer");
    }
}
