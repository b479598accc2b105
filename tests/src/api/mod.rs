//! The calls themselves: requests, keys, repetitions and refusals, over HTTP and SQL alike.

pub mod bad_fields;
mod bad_input;
mod codes;
mod computed_time;
mod content_encoding;
mod hostile_arguments;
mod hostile_requests;
mod http;
mod idempotency;
mod idempotency_replay;
mod ignored_field;
pub mod isolation;
mod key_reach;
mod keys_over_http;
mod limits;
mod replayed;
mod scopes;
pub mod session_compare;
mod session_settings;
mod sql_state;
mod whole_number;
