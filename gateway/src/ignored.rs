//! Fields of a request that no schema knows. The surfaces of Credyt and Cloudflare ignore them, as their originals do; a
//! misspelt `expires_at` would go unnoticed. So the reply names them in a `Warning` header.

use std::fmt;

use axum::http::HeaderValue;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use url::form_urlencoded;

use crate::operation::Operation;
use crate::response_format::ResponseFormat;
use crate::shape::Shape;

/// Fields that are named; of the others the number is told.
const NAMED_MAX: usize = 5;
/// Characters of a field's path that are shown.
const PATH_LENGTH_MAX: usize = 80;

/// The header that names what the operation ignores of this request; nothing where it ignores nothing, or refuses it.
pub fn warning(operation: &Operation, query: &str, body: &str) -> Option<HeaderValue> {
    if operation.format == ResponseFormat::Envelope {
        return None;
    }
    let mut found = Found::default();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        if operation.takes_body() {
            found.add("", &name, None);
        } else if !operation.shape.fields.contains_key(name.as_ref()) {
            found.add("", &name, operation.shape.nearest(&name));
        }
    }
    if operation.takes_body() {
        let mut path = String::new();
        let look = Look { shape: &operation.shape, path: &mut path, found: &mut found };
        // What is no JSON is refused, and the refusal says why.
        let _ = look.deserialize(&mut serde_json::Deserializer::from_str(body));
    }
    found.header()
}

/// What was found so far.
#[derive(Default)]
struct Found {
    texts: Vec<String>,
    count: usize,
}

impl Found {
    fn add(&mut self, path: &str, name: &str, meant: Option<&str>) {
        self.count += 1;
        if self.count > NAMED_MAX {
            return;
        }
        let meant = meant.map(|meant| format!("; did you mean '{meant}'?")).unwrap_or_default();
        let dot = if path.is_empty() { "" } else { "." };
        let path: String =
            path.chars().chain(dot.chars()).chain(name.chars()).take(PATH_LENGTH_MAX).map(harmless).collect();
        self.texts.push(format!("299 - \"unknown field '{path}' was ignored{meant}\""));
    }

    fn header(mut self) -> Option<HeaderValue> {
        if self.count > self.texts.len() {
            let more = self.count - self.texts.len();
            self.texts.push(format!("299 - \"{more} more unknown fields were ignored\""));
        }
        if self.texts.is_empty() { None } else { HeaderValue::from_str(&self.texts.join(", ")).ok() }
    }
}

/// A character as a quoted text of a header may have it.
fn harmless(letter: char) -> char {
    if letter.is_ascii_graphic() && !"\"\\',".contains(letter) { letter } else { '?' }
}

/// A look at one value of the body.
struct Look<'a> {
    shape: &'a Shape,
    /// Where the value stands.
    path: &'a mut String,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.shape.fields.is_empty() && self.shape.items.is_none() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let Some(shape) = self.shape.fields.get(&name) else {
                if !self.shape.is_open {
                    self.found.add(self.path, &name, self.shape.nearest(&name));
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let length = self.path.len();
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            map.next_value_seed(Look { shape, path: &mut *self.path, found: &mut *self.found })?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some(shape) = self.shape.items.as_deref() else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let length = self.path.len();
        for n in 0usize.. {
            self.path.push_str(&format!("[{n}]"));
            let look = Look { shape, path: &mut *self.path, found: &mut *self.found };
            let more = seq.next_element_seed(look)?.is_some();
            self.path.truncate(length);
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::json;

    use super::*;

    fn told(method: Method, query: &str, body: &str) -> Option<String> {
        let schema = json!({
            "$defs": {
                "Event": {"properties": {"id": {"type": "string"}, "data": {"type": "object", "additionalProperties": true}}},
                "Value": {"properties": {"values": {"type": "array", "items": {"$ref": "#/$defs/Value"}}}},
            },
            "properties": {
                "expires_at": {"type": ["string", "null"]},
                "amount": {"type": "number"},
                "events": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Event"}}, {"type": "null"}]},
                "value": {"$ref": "#/$defs/Value"},
            },
        });
        let route = Operation::for_route("adjust", method, "/adjust");
        let operation =
            Operation { format: ResponseFormat::Credyt, request_schema: schema, ..route }.with_kinds();
        warning(&operation, query, body).map(|header| header.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_misspelt_field_is_named_wherever_it_stands() {
        let body = |text: &str| told(Method::POST, "", text);
        assert_eq!(body(r#"{"amount":1,"expires_at":null,"events":[{"id":"a","data":{"x":1}}]}"#), None);
        for (text, names) in [
            (r#"{"expire_at":1}"#, "'expire_at' was ignored; did you mean 'expires_at'?"),
            (r#"{"expiresAt":1}"#, "'expiresAt' was ignored; did you mean 'expires_at'?"),
            (r#"{"unrelated":1}"#, "'unrelated' was ignored\""),
            (r#"{"events":[{"id":"a"},{"dat":{}}]}"#, "'events[1].dat' was ignored; did you mean 'data'?"),
            (
                r#"{"value":{"values":[{"valuess":1}]}}"#,
                "'value.values[0].valuess' was ignored; did you mean 'values'?",
            ),
        ] {
            assert!(body(text).unwrap().contains(names), "{text}: {:?}", body(text));
        }
        assert!(told(Method::GET, "amuont=1&amount=2", "").unwrap().contains("did you mean 'amount'?"));
        assert!(told(Method::POST, "amount=2", "{}").unwrap().contains("'amount' was ignored"));
    }

    #[test]
    fn no_name_breaks_the_header_or_makes_it_long() {
        let hostile = r#"{"a\r\nSet-Cookie: x":1,"\"é\\":2}"#;
        assert_eq!(
            told(Method::POST, "", hostile).unwrap(),
            "299 - \"unknown field 'a??Set-Cookie:?x' was ignored\", 299 - \"unknown field '???' was ignored\""
        );
        let many: Vec<String> = (0..1000).map(|n| format!("\"{}{n}\":1", "x".repeat(500))).collect();
        let header = told(Method::POST, "", &format!("{{{}}}", many.join(","))).unwrap();
        assert!(header.ends_with("995 more unknown fields were ignored\"") && header.len() < 800, "{header}");
        assert_eq!(told(Method::POST, "", "{\"x"), None);
    }
}
