//! What the extension and the gateway must say alike, written once: the codes, the envelope,
//! and which addresses a webhook may reach. Pure Rust; neither Postgres nor HTTP is known here.

mod address;
mod code;
mod envelope;

pub use address::{UrlRefused, WebhookUrl, is_public};
pub use code::Code;
pub use envelope::{Envelope, Fault, timestamp};
