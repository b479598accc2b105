//! Reading JSON Schemas as the catalog publishes them: what a field may be, through `$ref`s and unions.

use serde_json::{Map, Value, json};

/// `$ref`s and unions inside each other that are followed; a schema that refers to itself ends here.
const DEPTH_MAX: usize = 12;

/// The JSON types that a schema admits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kinds {
    pub integer: bool,
    pub number: bool,
    pub boolean: bool,
    pub object: bool,
    pub string: bool,
    pub null: bool,
    /// The kinds of an array's items, where an array is admitted.
    pub array: Option<Box<Kinds>>,
}

/// What `schema` admits. `root` is the document that its `$ref`s point into.
pub fn kinds(schema: &Value, root: &Value) -> Kinds {
    let mut kinds = Kinds::default();
    collect_kinds(schema, root, &mut kinds, 0);
    kinds
}

/// The fields of an object schema, required ones first, else in the schema's order.
pub fn fields(root: &Value) -> Vec<(&str, &Value, bool)> {
    let required: Vec<&str> =
        root["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = root["properties"].as_object();
    let mut fields: Vec<_> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.as_str(), schema, required.contains(&name.as_str())))
        .collect();
    fields.sort_by_key(|&(name, _, is_required)| {
        (!is_required, required.iter().position(|&other| other == name))
    });
    fields
}

/// Follows `$ref`s to the schema that is meant.
pub fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        let Some(target) = schema["$ref"].as_str().and_then(|text| text.strip_prefix('#')) else { break };
        let Some(meant) = root.pointer(target) else { break };
        schema = meant;
    }
    schema
}

/// The schema with every `$ref` replaced by what it refers to, so that it stands alone.
pub fn inlined(schema: &Value, root: &Value) -> Value {
    inline(schema, root, 0)
}

/// A field as a plain type: standing alone, and without null where that is one of two.
pub fn plain(field: &Value, root: &Value) -> Value {
    let mut plain = inlined(&without_null(field, root), root);
    let Some(object) = plain.as_object_mut() else { return plain };
    if let Some(types) = object.get_mut("type") {
        let others: Vec<&Value> =
            types.as_array().into_iter().flatten().filter(|name| *name != "null").collect();
        if let [only] = others[..] {
            *types = only.clone();
        }
    }
    // What is said of the field itself counts for more than what is said of its type.
    for said in ["description", "examples"] {
        if let Some(text) = field.get(said) {
            object.insert(said.to_owned(), text.clone());
        }
    }
    plain
}

/// The schema with each list of types as a union, for readers that know only one type at a time.
pub fn with_single_types(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(with_single_types).collect(),
        Value::Object(object) => {
            let mut single: Map<String, Value> =
                object.iter().map(|(name, value)| (name.clone(), with_single_types(value))).collect();
            if let Some(Value::Array(types)) = single.get("type").cloned() {
                single.remove("type");
                let each: Vec<Value> = types.into_iter().map(|name| json!({"type": name})).collect();
                single.insert("anyOf".to_owned(), Value::Array(each));
            }
            Value::Object(single)
        }
        other => other.clone(),
    }
}

impl Kinds {
    fn add(&mut self, name: &str) {
        match name {
            "integer" => self.integer = true,
            "number" => self.number = true,
            "boolean" => self.boolean = true,
            "object" => self.object = true,
            "string" => self.string = true,
            "null" => self.null = true,
            "array" => {
                self.array.get_or_insert_default();
            }
            _ => {}
        }
    }
}

fn inline(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Bool(true);
    }
    match schema {
        Value::Array(items) => items.iter().map(|item| inline(item, root, depth + 1)).collect(),
        Value::Object(_) => {
            let meant = resolve(schema, root).as_object().into_iter().flatten();
            let own = schema.as_object().into_iter().flatten();
            let kept =
                meant.chain(own).filter(|(name, _)| !["$ref", "$defs", "$schema"].contains(&name.as_str()));
            kept.map(|(name, value)| (name.clone(), inline(value, root, depth + 1))).collect()
        }
        other => other.clone(),
    }
}

fn collect_kinds(schema: &Value, root: &Value, kinds: &mut Kinds, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let schema = resolve(schema, root);
    match &schema["type"] {
        Value::String(name) => kinds.add(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).for_each(|name| kinds.add(name)),
        _ => {}
    }
    let listed = schema["enum"].as_array().into_iter().flatten();
    for value in listed.chain(schema.get("const")) {
        kinds.add(match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        });
    }
    for part in parts(schema) {
        collect_kinds(part, root, kinds, depth + 1);
    }
    if let (Some(items), Some(of)) = (schema.get("items"), kinds.array.as_mut()) {
        collect_kinds(items, root, of, depth + 1);
    }
}

fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|union| schema[union].as_array()).flatten()
}

/// The schema itself, or, in a union with null, the other part.
fn without_null(schema: &Value, root: &Value) -> Value {
    let schema = resolve(schema, root);
    let mut others = parts(schema).filter(|part| part["type"] != "null");
    match (others.next(), others.next()) {
        (Some(only), None) => resolve(only, root).clone(),
        _ => schema.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Value {
        json!({
            "$defs": {
                "Status": {"type": "string", "enum": ["pending", "delivered"]},
                "Event": {"oneOf": [{"type": "string", "const": "ping", "description": "A test."}]},
                "Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}, {"type": "boolean"}]},
            },
            "required": ["b", "a"],
            "properties": {"a": {}, "b": {}, "c": {}},
        })
    }

    #[test]
    fn references_and_unions_are_followed() {
        let root = root();
        let status = json!({"anyOf": [{"$ref": "#/$defs/Status"}, {"type": "null"}]});
        let found = kinds(&status, &root);
        assert!(found.string && found.null && !found.integer);
        let events = json!({"type": ["array", "null"], "items": {"$ref": "#/$defs/Event"}});
        assert!(kinds(&events, &root).array.unwrap().string);
        assert!(kinds(&json!({"$ref": "#/$defs/Loop"}), &root).boolean);
    }

    #[test]
    fn a_schema_stands_alone_once_it_is_inlined() {
        let root = root();
        let events = json!({"type": "array", "items": {"$ref": "#/$defs/Event", "title": "E"}, "$defs": {}});
        let event = json!({"oneOf": root["$defs"]["Event"]["oneOf"], "title": "E"});
        assert_eq!(inlined(&events, &root), json!({"type": "array", "items": event}));
        assert!(!inlined(&json!({"$ref": "#/$defs/Loop"}), &root).to_string().contains("$ref"));
        let status =
            json!({"anyOf": [{"$ref": "#/$defs/Status"}, {"type": "null"}], "description": "Its state."});
        let plain_status =
            json!({"type": "string", "enum": ["pending", "delivered"], "description": "Its state."});
        assert_eq!(plain(&status, &root), plain_status);
        assert_eq!(plain(&json!({"type": ["string", "null"]}), &root), json!({"type": "string"}));
        let nullable = json!({"properties": {"a": {"type": ["string", "null"], "format": "x"}}});
        let union = json!({"format": "x", "anyOf": [{"type": "string"}, {"type": "null"}]});
        assert_eq!(with_single_types(&nullable), json!({"properties": {"a": union}}));
    }

    #[test]
    fn required_fields_come_first_in_their_order() {
        let root = root();
        let names: Vec<_> = fields(&root).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["b", "a", "c"]);
    }
}
