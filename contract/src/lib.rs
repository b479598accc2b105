//! What the extension and the gateway must say alike, written once: the codes, the envelope,
//! problems, what a key looks like, and which addresses a webhook may reach. Pure Rust; neither Postgres nor HTTP is known here.

mod address;
mod api_key;
mod cloudflare;
mod code;
mod envelope;
mod problem;

pub use address::{UrlRefused, WebhookUrl, is_public};
pub use api_key::{WRONG_API_KEY, is_api_key};
pub use cloudflare::{cloudflare_refusal, cloudflare_result, cloudflare_status};
pub use code::Code;
pub use envelope::{Envelope, Fault, timestamp, unix_seconds};
pub use problem::{PROBLEM_JSON, Problem};
