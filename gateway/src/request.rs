//! Making the one request object of an operation from path, query string and body, as exact text:
//! nothing is parsed and written again, so no number loses a digit and a duplicate stays one.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use url::form_urlencoded;

use crate::operation::Operation;
use crate::schema::Kinds;

/// One field of the request: its name and its value as JSON text.
pub type Field = (String, String);

/// The request that path, query string and body make. GET and DELETE: path and query. POST and PATCH: the
/// body, with the path's parts in front.
pub fn text(operation: &Operation, path: &[(String, String)], query: &str, body: &str) -> String {
    let mut fields = path_fields(operation, path);
    if operation.takes_body() {
        return splice(if body.is_empty() { "{}" } else { body }, &fields);
    }
    fields.extend(query_fields(operation, query));
    object(&fields)
}

/// The fields that a path's parts give.
fn path_fields(operation: &Operation, parts: &[(String, String)]) -> Vec<Field> {
    parts.iter().map(|(name, text)| (name.clone(), typed_part(operation.kinds(name), text))).collect()
}

/// The fields that a query string gives. A repeated array field is one array;
/// any other repeated field stays repeated, for the operation to refuse.
fn query_fields(operation: &Operation, query: &str) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    let mut lists: Vec<(String, Vec<String>)> = Vec::new();
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        let kinds = operation.kinds(&name);
        let Some(items) = kinds.and_then(|kinds| kinds.array.as_deref()) else {
            fields.push((name.into_owned(), typed(kinds, &text)));
            continue;
        };
        if is_json(&text, '[') {
            fields.push((name.into_owned(), text.into_owned()));
            continue;
        }
        let values = text.split(',').filter(|part| !part.is_empty()).map(|part| typed(Some(items), part));
        match lists.iter_mut().find(|(known, _)| *known == name) {
            Some((_, list)) => list.extend(values),
            None => lists.push((name.into_owned(), values.collect())),
        }
    }
    fields.extend(lists.into_iter().map(|(name, values)| (name, format!("[{}]", values.join(",")))));
    fields
}

/// The fields of a JSON object, each value as it is written, whether or not a name comes twice; nothing where the text is
/// no object.
pub fn fields(text: &str) -> Option<Vec<Field>> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<Field>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Field>, A::Error> {
            let mut fields = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                fields.push((name, value.get().to_owned()));
            }
            Ok(fields)
        }
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(Members).ok()?;
    json.end().ok()?;
    Some(fields)
}

/// An object of these fields.
pub fn object(fields: &[Field]) -> String {
    format!("{{{}}}", members(fields))
}

/// Puts fields at the front of a JSON object, whose text is otherwise left alone. A body that does not
/// begin like an object comes back as it is: the operation says what is wrong with it. The result
/// is an object exactly when the body was one.
pub fn splice(body: &str, fields: &[Field]) -> String {
    let Some(rest) = body.trim_start_matches(JSON_SPACE).strip_prefix('{') else { return body.to_owned() };
    if fields.is_empty() {
        return body.to_owned();
    }
    let comma = if rest.trim_start_matches(JSON_SPACE).starts_with('}') { "" } else { "," };
    format!("{{{}{comma}{rest}", members(fields))
}

/// A string field of a JSON object, or nothing when there is no such thing.
pub fn string_field(body: &str, name: &str) -> Option<String> {
    let object: std::collections::HashMap<&str, &RawValue> = serde_json::from_str(body).ok()?;
    serde_json::from_str(object.get(name)?.get()).ok()
}

/// Text as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn members(fields: &[Field]) -> String {
    let members: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    members.join(",")
}

/// A part of a path: the name of one thing, which has one spelling.
fn typed_part(kinds: Option<&Kinds>, text: &str) -> String {
    match kinds.is_some_and(|kinds| kinds.integer) && !is_integer(text) {
        true => quoted(text),
        false => typed(kinds, text),
    }
}

/// Text as the JSON value that the schema wants; where it is none, as a string, so that the operation
/// names the field.
fn typed(kinds: Option<&Kinds>, text: &str) -> String {
    let Some(kinds) = kinds else { return quoted(text) };
    let fits = ((kinds.integer || kinds.number) && is_number(text))
        || (kinds.boolean && matches!(text, "true" | "false"))
        || (kinds.object && is_json(text, '{'));
    if fits { text.to_owned() } else { quoted(text) }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    !digits.is_empty() && !leading_zero && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && is_json(text, text.chars().next().unwrap_or('0'))
}

/// Whether the text is one JSON value, without space around it, that begins so.
fn is_json(text: &str, first: char) -> bool {
    text.starts_with(first) && !text.ends_with(JSON_SPACE) && serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operation() -> Operation {
        Operation::for_test(json!({
            "type": "object",
            "$defs": {"Event": {"type": "string", "enum": ["ping"]}},
            "properties": {
                "limit": {"type": ["integer", "null"]},
                "rate": {"type": "number"},
                "cursor": {"type": ["string", "null"]},
                "live": {"type": "boolean"},
                "events": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Event"}}, {"type": "null"}]},
                "sizes": {"type": "array", "items": {"type": "integer"}},
            }
        }))
    }

    fn query(text: &str) -> String {
        object(&query_fields(&operation(), text))
    }

    #[test]
    fn a_query_string_is_typed_by_the_schema() {
        assert_eq!(query(""), "{}");
        assert_eq!(query("limit=50&cursor=123"), r#"{"limit":50,"cursor":"123"}"#);
        assert_eq!(query("live=true&rate=1.50"), r#"{"live":true,"rate":1.50}"#);
        assert_eq!(query("limit=98765432109876543210"), r#"{"limit":98765432109876543210}"#);
        assert_eq!(query("events=a,b&events=c"), r#"{"events":["a","b","c"]}"#);
        assert_eq!(query("sizes=1,x"), r#"{"sizes":[1,"x"]}"#);
        // Whether a number is whole is for the operation to judge.
        assert_eq!(query("limit=1e1&sizes=2.0"), r#"{"limit":1e1,"sizes":[2.0]}"#);
        assert_eq!(query("events=%5B%22a%22%5D"), r#"{"events":["a"]}"#);
    }

    #[test]
    fn what_does_not_fit_is_a_string_so_that_the_field_is_named() {
        for bad in ["", "null", "01", "+1", "1e", " 1", "0x1", "-", "1."] {
            let encoded: String = form_urlencoded::byte_serialize(bad.as_bytes()).collect();
            assert_eq!(query(&format!("limit={encoded}")), format!(r#"{{"limit":"{bad}"}}"#));
        }
        assert_eq!(query("live=yes&rate=NaN"), r#"{"live":"yes","rate":"NaN"}"#);
        assert_eq!(query("other=1&limit=1&limit=2"), r#"{"other":"1","limit":1,"limit":2}"#);
        assert_eq!(query("a%22b=%00"), r#"{"a\"b":"\u0000"}"#);
    }

    #[test]
    fn fields_are_spliced_without_touching_the_rest() {
        let id = [("id".to_owned(), quoted("whk_1\""))];
        for (body, whole) in [
            ("{}", r#"{"id":"whk_1\""}"#),
            (" {\n} ", "{\"id\":\"whk_1\\\"\"\n} "),
            (r#"{"a":1.10}"#, r#"{"id":"whk_1\"","a":1.10}"#),
            (r#"{"id":"x"}"#, r#"{"id":"whk_1\"","id":"x"}"#),
            ("[]", "[]"),
            ("null", "null"),
            ("", ""),
        ] {
            assert_eq!(splice(body, &id), whole);
        }
    }

    #[test]
    fn splicing_never_turns_a_broken_body_into_a_good_one() {
        let id = [("id".to_owned(), quoted("x"))];
        for body in ["{", "{,}", "{]", "{}}", "{{}}", r#"{"a":1,}"#, r#"{"a":1} x"#, "{\u{a0}}", "\u{feff}{}"]
        {
            let whole = splice(body, &id);
            assert!(serde_json::from_str::<serde_json::Value>(&whole).is_err(), "{whole}");
        }
    }

    #[test]
    fn a_string_field_is_found_only_in_an_object() {
        assert_eq!(string_field(r#"{"url":"a\u0062"}"#, "url").as_deref(), Some("ab"));
        for body in [r#"{"url":1}"#, "[]", "x", "{}"] {
            assert_eq!(string_field(body, "url"), None);
        }
    }
}
