//! What the objects of a request may have, at every depth, and which name was meant by a misspelt one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema;

/// Objects, lists and unions inside each other that are looked into; a type that holds itself ends here.
const DEPTH_MAX: usize = 20;
/// Characters of a name that are looked at.
const NAME_LENGTH_MAX: usize = 80;
/// Characters that a misspelt name may be away from the right one, for each so many of it.
const LETTERS_PER_SLIP: usize = 3;

/// What an object may have, as far as its schema says so.
#[derive(Debug, Default)]
pub struct Shape {
    pub fields: BTreeMap<String, Shape>,
    pub items: Option<Box<Shape>>,
    /// Any names are welcome.
    pub is_open: bool,
}

impl Shape {
    /// The shape that a schema gives; `root` is what its `$ref`s point into.
    pub fn of(schema: &Value, root: &Value) -> Shape {
        let mut shape = Shape::default();
        shape.take(schema, root, 0);
        shape.is_open |= shape.fields.is_empty();
        shape
    }

    fn take(&mut self, schema: &Value, root: &Value, depth: usize) {
        let schema = schema::resolve(schema, root);
        for part in ["anyOf", "oneOf", "allOf"].iter().filter_map(|union| schema[*union].as_array()).flatten()
        {
            if depth < DEPTH_MAX {
                self.take(part, root, depth + 1);
            }
        }
        let inner = |schema: &Value| {
            let mut shape = Shape::default();
            if depth < DEPTH_MAX {
                shape.take(schema, root, depth + 1);
            }
            shape.is_open |= shape.fields.is_empty();
            shape
        };
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            self.fields.insert(name.clone(), inner(field));
        }
        if let Some(items) = schema.get("items") {
            self.items = Some(Box::new(inner(items)));
        }
        let more = &schema["additionalProperties"];
        self.is_open |= more.is_object() || *more == Value::Bool(true);
    }

    /// The name that was meant, if one is close.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let wanted = plain(name);
        let slips_max = (wanted.chars().count() / LETTERS_PER_SLIP).max(1);
        let slips = self.fields.keys().map(|known| (slips(&wanted, &plain(known)), known));
        slips.min().filter(|(slips, _)| *slips <= slips_max).map(|(_, known)| known.as_str())
    }
}

/// A name in small letters, with nothing between its words.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| !"_-".contains(*letter))
        .take(NAME_LENGTH_MAX)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// How many letters must be put in, left out or changed to make one name of the other.
fn slips(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (n, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], n + 1);
        for (m, known) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *known);
            diagonal = row[m + 1];
            row[m + 1] = changed.min(row[m] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
