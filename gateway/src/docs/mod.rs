//! The documents that the gateway serves: the API reference and the OpenAPI document, both made from the catalog.

pub mod components;
pub mod guide;
pub mod openapi;
pub mod reference;
pub mod refusal;
pub mod reply_schema;
pub mod webhook;
