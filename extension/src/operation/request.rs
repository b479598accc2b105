//! Turns the text of a request into its type, and what is wrong with it into a refusal that names the field.

use std::collections::BTreeMap;

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::pg::bound::REQUEST_BYTES_MAX;
use crate::value::reply::Refusal;
use crate::value::whole_number;

const EXPONENT_DIGITS_MAX: usize = 3;
const METADATA_BYTES_MAX: usize = 4096;
const DESCRIPTION_LENGTH_MAX: usize = 500;

/// Reads a request. No text at all is an empty object.
pub fn parse<R: DeserializeOwned>(text: &str) -> Result<R, Refusal> {
    if text.len() > REQUEST_BYTES_MAX {
        return Err(too_large());
    }
    let text = if text.trim().is_empty() { "{}" } else { text };
    if !text.trim_start().starts_with('{') {
        return Err(Refusal::new(Code::InvalidRequest, "The request must be a JSON object."));
    }
    if text.contains("\\u0000") {
        refuse_nul(text)?;
    }
    let read = whole_number::read(text, read_once, |(_, error)| error);
    read.map_err(|(read, (path, error))| refusal_of(&read, &path, &error))
}

/// Reads a request as it is written, or says where in it something is wrong.
fn read_once<R: DeserializeOwned>(text: &str) -> Result<R, (String, serde_json::Error)> {
    let mut json = serde_json::Deserializer::from_str(text);
    let request = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| (error.path().to_string(), error.into_inner()))?;
    json.end().map_err(|error| (String::new(), error))?;
    Ok(request)
}

/// The refusal of a request that has too many bytes.
pub fn too_large() -> Refusal {
    Refusal::new(Code::BodyTooLarge, format!("A request has at most {REQUEST_BYTES_MAX} bytes."))
}

fn refusal_of(text: &str, path: &str, error: &serde_json::Error) -> Refusal {
    let is_data = error.classify() == Category::Data;
    // serde_json calls a number where one of some names is wanted a syntax error.
    if !is_data && serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return Refusal::of_field(Code::InvalidRequest, path, "This is not a value that the field takes.");
    }
    if !is_data {
        return Refusal::new(Code::InvalidRequest, format!("The request is not valid JSON: {error}."));
    }
    let reason = error.to_string();
    let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| reason.strip_prefix(start))
        .and_then(|rest| rest.split('`').next());
    let prefix = path.trim_end_matches('?').trim_end_matches('.');
    let field = match named {
        Some(name) if prefix.is_empty() || prefix == name => name.to_owned(),
        Some(name) if prefix.ends_with(&format!(".{name}")) => prefix.to_owned(),
        Some(name) => format!("{prefix}.{name}"),
        None => prefix.to_owned(),
    };
    // serde names types as Rust does.
    let mut message = reason.replace("expected i64", "expected a whole number");
    message = message.replace("expected i32", "expected a whole number");
    if let Some(first) = message.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let message = format!("{message}.");
    if field.is_empty() {
        return Refusal::new(Code::InvalidRequest, message);
    }
    Refusal::of_field(Code::InvalidRequest, field, message)
}

/// Postgres text cannot hold NUL. Finds out whether the escape really stands for one, and where.
fn refuse_nul(text: &str) -> Result<(), Refusal> {
    // What does not parse is refused by the caller with the better message.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Ok(()) };
    match nul_path(&value) {
        None => Ok(()),
        Some(path) => {
            Err(Refusal::of_field(Code::InvalidRequest, path, "Text must not contain a NUL character."))
        }
    }
}

fn nul_path(value: &Value) -> Option<String> {
    let join = |head: String, tail: String| if tail.is_empty() { head } else { format!("{head}.{tail}") };
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(n, item)| nul_path(item).map(|tail| join(n.to_string(), tail))),
        Value::Object(fields) => fields.iter().find_map(|(name, field)| {
            if name.contains('\0') {
                return Some(name.replace('\0', "\u{fffd}"));
            }
            nul_path(field).map(|tail| join(name.clone(), tail))
        }),
        _ => None,
    }
}

/// Refuses a description that is longer than 500 characters.
pub fn check_description(description: Option<&str>) -> Result<(), Refusal> {
    if description.is_none_or(|text| text.chars().count() <= DESCRIPTION_LENGTH_MAX) {
        return Ok(());
    }
    let message = format!("A description has at most {DESCRIPTION_LENGTH_MAX} characters.");
    Err(Refusal::of_field(Code::InvalidRequest, "description", message))
}

/// Whether a `jsonb` can keep the numbers of a JSON text: `numeric` has no room for exponents without end.
fn numbers_fit(json: &str) -> bool {
    let (mut in_text, mut escaped) = (false, false);
    let bytes = json.as_bytes();
    for (n, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'e' | b'E' if !in_text => {
                let rest = bytes[n + 1..].iter().skip_while(|byte| matches!(byte, b'+' | b'-' | b'0'));
                if rest.take_while(|byte| byte.is_ascii_digit()).count() > EXPONENT_DIGITS_MAX {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

/// A JSON object of the caller's own, at most 4 KiB, kept with every digit of its numbers.
#[derive(Debug, JsonSchema)]
#[schemars(with = "serde_json::Map<String, Value>")]
pub struct Metadata(Box<RawValue>);

impl Metadata {
    /// The object as text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().len() > METADATA_BYTES_MAX {
            return Err(D::Error::custom("metadata is larger than 4 KiB"));
        }
        if !numbers_fit(raw.get()) {
            return Err(D::Error::custom("a number in it has an exponent beyond 999"));
        }
        // RawValue checks no surrogates, no number ranges and no depth: a full parse does.
        match serde_json::from_str::<Value>(raw.get()) {
            Ok(Value::Object(_)) => Ok(Metadata(raw)),
            Ok(_) => Err(D::Error::custom("metadata must be a JSON object")),
            Err(error) => Err(D::Error::custom(format!("metadata is not valid: {error}"))),
        }
    }
}

impl Serialize for Metadata {
    /// In one spelling, so that equal objects are equal requests; numbers keep their digits.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        canonical(&self.0).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// The same JSON with its fields in order and nothing between tokens.
fn canonical(json: &RawValue) -> serde_json::Result<Box<RawValue>> {
    let text = match json.get().as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json.get())?;
            let fields: serde_json::Result<BTreeMap<_, _>> =
                fields.into_iter().map(|(name, field)| Ok((name, canonical(&field)?))).collect();
            serde_json::to_string(&fields?)?
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(json.get())?;
            let items: serde_json::Result<Vec<_>> = items.iter().map(|item| canonical(item)).collect();
            serde_json::to_string(&items?)?
        }
        Some(b'"') => serde_json::to_string(&serde_json::from_str::<String>(json.get())?)?,
        _ => json.get().to_owned(),
    };
    RawValue::from_string(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        #[serde(default)]
        count: u8,
        metadata: Option<Metadata>,
        #[allow(dead_code, reason = "only its reading is tested")]
        mood: Option<Mood>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mood {
        Good,
    }

    fn fault(text: &str) -> (Option<String>, String) {
        let refusal = parse::<Sample>(text).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidRequest);
        (refusal.field, refusal.message)
    }

    #[test]
    fn a_good_request_is_read() {
        let sample: Sample =
            parse(r#"{"name":"a\\u0000","count":3,"metadata":{"big":12345678901234567890.5}}"#).unwrap();
        assert_eq!((sample.name.as_str(), sample.count), ("a\\u0000", 3));
        for other in ["3.0", "3e0", "0.3e1"] {
            let sample: Sample =
                parse(&format!(r#"{{"name":"a","count":{other},"metadata":{{"x":3.0}}}}"#)).unwrap();
            assert_eq!((sample.count, sample.metadata.unwrap().as_str()), (3, r#"{"x":3.0}"#));
        }
        assert_eq!(sample.metadata.unwrap().as_str(), r#"{"big":12345678901234567890.5}"#);
        for (text, fits) in
            [(r#"{"x":1e-20000}"#, false), (r#"{"x":[1E+1000]}"#, false), (r#"{"x":1e-0999}"#, true)]
        {
            assert_eq!(serde_json::from_str::<Metadata>(text).is_ok(), fits, "{text}");
        }
        assert!(serde_json::from_str::<Metadata>(r#"{"e\"9e99999":"1e99999","true":true}"#).is_ok());
    }

    #[test]
    fn equal_metadata_has_one_spelling() {
        let spelling =
            |text: &str| serde_json::to_string(&serde_json::from_str::<Metadata>(text).unwrap()).unwrap();
        let written = r#"{ "b" : [1, {"d":"\u0061", "c": null}], "a": 12345678901234567890.5 }"#;
        assert_eq!(spelling(written), r#"{"a":12345678901234567890.5,"b":[1,{"c":null,"d":"a"}]}"#);
        assert_ne!(spelling(r#"{"a":12345678901234567890.5}"#), spelling(r#"{"a":12345678901234567891.5}"#));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (text, field) in [
            ("", "name"),
            ("{}", "name"),
            (r#"{"name":"a","color":1}"#, "color"),
            (r#"{"name":"a","name":"b"}"#, "name"),
            (r#"{"name":7}"#, "name"),
            (r#"{"name":"a","count":-1}"#, "count"),
            (r#"{"name":"a","count":"1"}"#, "count"),
            (r#"{"name":"a","count":1.5}"#, "count"),
            (r#"{"name":"a","count":256.0}"#, "count"),
            (r#"{"name":1.0}"#, "name"),
            (r#"{"name":"a","mood":"bad"}"#, "mood"),
            (r#"{"name":"a","mood":7}"#, "mood"),
            (r#"{"name":"a\u0000b"}"#, "name"),
            (r#"{"name":"a","metadata":{"x":["\u0000"]}}"#, "metadata.x.0"),
            (r#"{"name":"a","metadata":[1]}"#, "metadata"),
            (r#"{"name":"a","metadata":{"x":1e999}}"#, "metadata"),
            (r#"{"name":"a","metadata":{"x":"\ud800"}}"#, "metadata"),
        ] {
            assert_eq!(fault(text).0.as_deref(), Some(field), "{text}");
        }
        let large = format!(r#"{{"name":"a","metadata":{{"x":"{}"}}}}"#, "y".repeat(5000));
        assert_eq!(fault(&large).0.as_deref(), Some("metadata"));
    }

    #[test]
    fn what_is_no_json_object_has_no_field() {
        let deep = "[".repeat(100_000);
        for text in
            ["{", "[]", "null", "\"a\"", "{\"name\":\"a\"} x", "{\"name\":\"a\"", "nope", deep.as_str()]
        {
            assert_eq!(fault(text).0, None);
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let nested = format!(r#"{{"name":{}1{}}}"#, "[".repeat(2000), "]".repeat(2000));
        fault(&nested);
        let metadata =
            format!(r#"{{"name":"a","metadata":{{"x":{}1{}}}}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(fault(&metadata).0.as_deref(), Some("metadata"));
    }
}
