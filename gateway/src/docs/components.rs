//! The named schemas of the OpenAPI document, collected from the `$defs` of every operation. No two have one title:
//! generators of clients make a class of each title.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::docs::reply_schema::{cloudflare_schema, envelope_schema};
use crate::operation::Operation;
use crate::response_format::ResponseFormat;

/// The schemas by name, and the names of the refusals that operations refer to.
#[derive(Default)]
pub struct Components {
    pub schemas: BTreeMap<String, Value>,
    pub refusals: BTreeSet<String>,
}

impl Components {
    /// Names a schema, and gives a reference to it. Where another has that name already, a number is added.
    pub fn add(&mut self, wanted: &str, schema: Value) -> Value {
        let mut name = wanted.to_owned();
        let mut number = 2;
        loop {
            let mut titled = in_order(schema.clone());
            if let Some(object) = titled.as_object_mut() {
                object.insert("title".to_owned(), json!(name));
            }
            match self.schemas.get(&name) {
                Some(known) if *known != titled => {
                    name = format!("{wanted}{number}");
                    number += 1;
                }
                _ => {
                    self.schemas.insert(name.clone(), titled);
                    return json!({"$ref": format!("#/components/schemas/{name}")});
                }
            }
        }
    }

    /// An operation's reply (`SendReply`) by reference, in its envelope where it has one.
    pub fn reply_of(&mut self, operation: &Operation) -> Value {
        let name = pascal(&operation.name);
        let mut reply = self.hoist(operation, &operation.reply_schema);
        // A plain text has no type of its own that could say what it is.
        if let Some(object) = reply.as_object_mut() {
            object.entry("description").or_insert_with(|| json!(operation.summary));
        }
        match operation.format {
            ResponseFormat::Credyt | ResponseFormat::Document => self.add(&format!("{name}Reply"), reply),
            ResponseFormat::Envelope => self.wrapped(&name, reply, envelope_schema),
            ResponseFormat::Cloudflare => self.wrapped(&name, reply, cloudflare_schema),
        }
    }

    fn wrapped(&mut self, name: &str, data: Value, wrap: fn(Value) -> Value) -> Value {
        let data = self.add(&format!("{name}Data"), data);
        self.add(&format!("{name}Reply"), wrap(data))
    }

    /// The schema with its `$defs` moved here and its `$ref`s led after them. Where two operations
    /// mean different things by one name, the later one's carries the operation's name too.
    pub fn hoist(&mut self, operation: &Operation, schema: &Value) -> Value {
        self.hoist_for(&operation.name, schema)
    }

    /// The same for what belongs to `owner`.
    pub fn hoist_for(&mut self, owner: &str, schema: &Value) -> Value {
        let mut schema = if schema.is_null() { json!({}) } else { schema.clone() };
        let Some(object) = schema.as_object_mut() else { return schema };
        object.remove("$schema");
        object.remove("title");
        let definitions = match object.remove("$defs") {
            Some(Value::Object(definitions)) => definitions,
            _ => Map::new(),
        };
        let mut names: BTreeMap<String, String> =
            definitions.keys().map(|name| (name.clone(), name.clone())).collect();
        for (name, definition) in &definitions {
            let moved = with_title(led_after(definition.clone(), &names), name);
            if self.schemas.get(name).is_some_and(|known| *known != moved) {
                names.insert(name.clone(), format!("{}{name}", pascal(owner)));
            }
        }
        for (name, definition) in definitions {
            if let Some(moved) = names.get(&name) {
                self.schemas.insert(moved.clone(), with_title(led_after(definition, &names), moved));
            }
        }
        led_after(schema, &names)
    }
}

/// `grant_list` as `GrantList`, `topup.failed` as `TopupFailed`.
pub fn pascal(name: &str) -> String {
    let words = name.split(['_', '.']).map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        format!("{}{rest}", first.to_ascii_uppercase())
    });
    words.collect()
}

fn with_title(schema: Value, name: &str) -> Value {
    let mut schema = in_order(schema);
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), json!(name));
    }
    schema
}

/// Required fields first, in the order in which the type has them: Postgres keeps the names of a JSON object by length.
fn in_order(mut schema: Value) -> Value {
    let order: Vec<String> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let place = |name: &String| order.iter().position(|known| known == name).unwrap_or(order.len());
        let mut fields: Vec<(String, Value)> = std::mem::take(properties).into_iter().collect();
        fields.sort_by_key(|(name, _)| place(name));
        properties.extend(fields);
    }
    schema
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
    use super::*;

    #[test]
    fn definitions_are_moved_and_a_clash_of_names_is_solved() {
        let mut components = Components::default();
        let schema = |kind: &str| json!({"title": "R", "$defs": {"A": {"type": kind}}, "properties": {"a": {"$ref": "#/$defs/A"}}});
        let operation = Operation { name: "send".into(), ..Operation::default() };
        let first = components.hoist(&operation, &schema("string"));
        assert_eq!(first["properties"]["a"]["$ref"], "#/components/schemas/A");
        assert!(first.get("$defs").is_none() && first.get("title").is_none());
        assert_eq!(components.hoist(&operation, &schema("string")), first);
        let other = components.hoist(&operation, &schema("integer"));
        assert_eq!(other["properties"]["a"]["$ref"], "#/components/schemas/SendA");
        assert_eq!(components.schemas["A"], json!({"type": "string", "title": "A"}));
    }

    #[test]
    fn no_two_schemas_have_one_name() {
        let mut components = Components::default();
        let (one, other) = (json!({"type": "string"}), json!({"type": "integer"}));
        assert_eq!(components.add("A", one.clone())["$ref"], "#/components/schemas/A");
        assert_eq!(components.add("A", one)["$ref"], "#/components/schemas/A");
        assert_eq!(components.add("A", other)["$ref"], "#/components/schemas/A2");
        assert_eq!(components.schemas["A2"]["title"], "A2");
    }

    #[test]
    fn required_fields_stand_first_in_the_order_of_their_type() {
        let schema = json!({"required": ["b", "a"], "properties": {"c": {}, "a": {}, "b": {}}});
        let ordered = in_order(schema);
        let names: Vec<&String> = ordered["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["b", "a", "c"]);
    }
}
