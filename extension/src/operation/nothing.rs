//! Requests and replies that say nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request or a reply that says nothing.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

/// A request that says nothing.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Nothing")]
pub struct NoFields {}
