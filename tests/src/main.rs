//! The system tests: one binary, a file a subject. They speak SQL and HTTP as clients do,
//! to a Postgres and a gateway that they start themselves. `make test` builds both first.

mod support;

mod adjustment;
mod audit;
mod backup;
mod bad_fields;
mod bad_input;
mod checks;
mod codes;
mod concurrency;
mod crash;
mod delivery;
mod drop_guard;
mod hardening;
mod history;
mod http;
mod idempotency;
mod idempotency_replay;
mod install;
mod isolation;
mod keys_over_http;
mod lifecycle;
mod limits;
mod mcp_clients;
mod mcp_conformance;
mod model;
mod openapi;
mod operations;
mod outages;
mod pricing;
mod queue;
mod race;
mod readme;
mod roles;
mod signature;
mod tenant;
mod top_up;
mod transaction;
mod validate;
mod webhook;
mod webhook_event;
mod webhook_url;
mod worker;
