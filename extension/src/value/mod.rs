//! What the rest reckons with: amounts, ids, times, and what a handler answers. Knows no statements.

pub mod amount;
pub mod book;
pub mod id;
pub mod pg_timestamp;
pub mod reply;
pub mod whole_number;
pub mod wire_time;
