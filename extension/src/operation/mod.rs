//! What an operation is: its definition in the catalog, handler, request, repetition, pages and response format.

pub mod definition;
pub mod handler;
pub mod idempotency;
pub mod nothing;
pub mod offset_page;
pub mod page;
pub mod replayed;
pub mod request;
pub mod response_format;
pub mod tool;
