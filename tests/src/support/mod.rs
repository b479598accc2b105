//! What the tests share: a Postgres, databases in it, the gateway, clients, a webhook receiver, and waiting.

// A subject uses what it needs; not every helper is used by every state of the tests.
#![allow(dead_code, unused_imports)]

mod client;
mod cluster;
mod database;
mod forwarder;
mod gateway;
mod hook;
pub mod mcp;
mod node;
pub mod place;
pub mod play;
mod python;
mod receiver;
pub mod rpc;
mod shop;
pub mod sse;
mod wait;
mod wire;

pub use client::{Client, Reply};
pub use cluster::Cluster;
pub use database::{Database, Tenant, call, sql_state, wire};
pub use forwarder::Forwarder;
pub use gateway::Gateway;
pub use hook::{Hook, deliveries, wait_for_deliveries};
pub use node::{node, node_within};
pub use python::python;
pub use receiver::{Answer, Away, Receiver, Request};
pub use shop::Shop;
pub use wait::{LIMIT, wait_until};
pub use wire::Wire;
