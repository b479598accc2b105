//! The system tests: one binary, a folder for each part of the code. They speak SQL and HTTP as clients do,
//! to a Postgres and a gateway that they start themselves. `make test` builds both first.

mod support;

mod api;
mod billing;
mod docs;
mod durability;
mod gateway;
mod mcp;
mod openapi;
mod payment;
mod pg;
mod portal;
mod tenant;
mod top_up;
mod wallet;
mod webhook;
