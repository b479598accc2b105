//! Metadata of the customer-wallet surface: a flat object of texts, at most 4 KiB.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

/// How large the object may be as JSON, without spaces.
const BYTES_MAX: usize = 4096;

/// Names and texts of the caller's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Labels")]
pub struct Metadata(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let metadata = Metadata(BTreeMap::deserialize(deserializer)?);
        let text = serde_json::to_string(&metadata).map_err(D::Error::custom)?;
        if text.len() > BYTES_MAX {
            return Err(D::Error::custom("metadata is larger than 4 KiB"));
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_texts_of_4_kib_at_most() {
        let parse = |text: &str| serde_json::from_str::<Metadata>(text);
        assert_eq!(
            serde_json::to_string(&parse(r#"{"b":"2","a":"1"}"#).unwrap()).unwrap(),
            r#"{"a":"1","b":"2"}"#
        );
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(4096));
        for wrong in [r#"{"a":1}"#, r#"{"a":{}}"#, "[]", large.as_str()] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
