//! One event of usage, and the numbers and names in its data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::operation::request::Metadata;
use crate::value::amount::Amount;

/// What prices look at in an event.
pub struct Usage<'a> {
    pub event_type: &'a str,
    pub occurred_at: Timestamp,
    pub data: Option<&'a EventData>,
}

/// The data of an event: a JSON object of at most 4 KiB. Numbers keep every digit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct EventData {
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    text: Metadata,
    #[serde(skip)]
    #[schemars(skip)]
    fields: BTreeMap<String, Box<RawValue>>,
}

impl<'de> Deserialize<'de> for EventData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Metadata::deserialize(deserializer)?;
        let fields = serde_json::from_str(text.as_str()).map_err(D::Error::custom)?;
        Ok(EventData { text, fields })
    }
}

impl EventData {
    /// A field that measures something.
    pub fn number(&self, name: &str) -> Option<Amount> {
        // Text that holds a number is no number.
        let raw = self.fields.get(name)?.get();
        raw.parse().ok().filter(|number: &Amount| number.fits())
    }

    /// A field that names something: text, a number in its shortest spelling, true or false.
    pub fn name(&self, name: &str) -> Option<String> {
        let raw = self.fields.get(name)?.get();
        match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw).ok(),
            Some(b't' | b'f') => Some(raw.to_owned()),
            Some(b'{' | b'[' | b'n') | None => None,
            Some(_) => raw.parse::<Amount>().map_or_else(|_| Some(raw.to_owned()), |it| Some(it.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_numbers_or_names() {
        let text = r#"{"n": 1.50, "t": "a\"b", "b": true, "x": null, "o": {}, "s": "3"}"#;
        let data: EventData = serde_json::from_str(text).unwrap();
        assert_eq!(data.number("n").unwrap().to_string(), "1.5");
        for name in ["t", "b", "x", "o", "s", "absent"] {
            assert!(data.number(name).is_none(), "{name}");
        }
        let name = |field: &str| data.name(field);
        assert_eq!(name("n").as_deref(), Some("1.5"));
        assert_eq!(name("t").as_deref(), Some("a\"b"));
        assert_eq!(name("b").as_deref(), Some("true"));
        assert_eq!((name("x"), name("o"), name("absent")), (None, None, None));
    }
}
