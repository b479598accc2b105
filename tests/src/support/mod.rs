//! What the tests share: a Postgres, databases in it, the gateway, clients, a webhook receiver, and waiting.

// A subject uses what it needs; not every helper is used by every state of the tests.
#![allow(dead_code, unused_imports)]

mod bank;
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
mod till;
mod wait;
mod wire;

pub use bank::Bank;
pub use client::{Client, Reply};
pub use cluster::Cluster;
pub use database::{Database, Tenant, as_envelope, call, sql_state, wire};
pub use forwarder::Forwarder;
pub use gateway::Gateway;
pub use hook::{Hook, deliveries, wait_for_deliveries};
pub use node::{node, node_within};
pub use python::{python, python_client};
pub use receiver::{Answer, Away, Receiver, Request};
pub use shop::Shop;
pub use till::{Till, digits};
pub use wait::{LIMIT, wait_until};
pub use wire::Wire;
