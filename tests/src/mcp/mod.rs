//! MCP, as agents and their clients speak it.

mod access;
mod arguments;
mod clients;
mod conformance;
mod limits;
mod messages;
mod money;
mod protocol;
mod sse;
mod tools;
