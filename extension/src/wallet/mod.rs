//! The customer-wallet layer: what the customers of a tenant hold, receive and are charged.

pub mod account;
pub mod adjust;
pub mod asset_operation;
pub mod asset_rate;
pub mod charge;
pub mod context;
pub mod customer;
pub mod customer_list;
pub mod exchange;
pub mod grant_list;
pub mod hold;
pub mod metadata;
pub mod movement;
pub mod position;
pub mod refund;
pub mod statement;
pub mod transaction;
