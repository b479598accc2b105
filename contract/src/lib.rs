//! What the extension and the gateway must say alike, written once: the codes, the envelope,
//! problems, and which addresses a webhook may reach. Pure Rust; neither Postgres nor HTTP is known here.

mod address;
mod code;
mod envelope;
mod problem;

pub use address::{UrlRefused, WebhookUrl, is_public};
pub use code::Code;
pub use envelope::{Envelope, Fault, timestamp};
pub use problem::{PROBLEM_JSON, Problem};
