//! What the tests share: a Postgres, databases in it, the gateway, clients, a webhook receiver, and waiting.

// A subject uses what it needs; not every helper is used by every state of the tests.
#![allow(dead_code, unused_imports)]

mod bank;
mod browser;
mod cashier;
mod client;
mod cluster;
mod database;
mod forwarder;
mod gateway;
mod hook;
mod life;
mod localstripe;
pub mod mcp;
mod node;
mod payer;
pub mod place;
pub mod play;
mod pooler;
mod python;
mod reads;
mod receiver;
pub mod rpc;
mod shop;
pub mod sse;
mod stripe_story;
mod stripe_stub;
mod till;
mod visitor;
mod wait;
mod wire;

pub use bank::Bank;
pub use browser::browse;
pub use cashier::{Cashier, Claim, card_fields, report_to};
pub use client::{Client, Reply};
pub use cluster::Cluster;
pub use database::{Database, Tenant, as_envelope, call, sql_state, wire};
pub use forwarder::Forwarder;
pub use gateway::Gateway;
pub use hook::{Hook, deliveries, wait_for_deliveries};
pub use life::{Before, goes_on, live_a_little};
pub use localstripe::{KEY as STRIPE_KEY, Localstripe};
pub use node::{node, node_within};
pub use payer::{ASKS, DECLINED, LATER_DECLINED, NO_FUNDS, Payer, TopUp, VISA, form};
pub use pooler::{Pooler, rows};
pub use python::{python, python_client};
pub use reads::{most_rows_read, reads};
pub use receiver::{Answer, Away, Receiver, Request};
pub use shop::Shop;
pub use stripe_story::{SECRET as WEBHOOK_SECRET, Story, flags, shop_at, shop_with};
pub use stripe_stub::StripeStub;
pub use till::{Till, digits};
pub use visitor::{Visitor, between, link_of};
pub use wait::{LIMIT, wait_until};
pub use wire::Wire;
