//! The customer-wallet layer: what the customers of a tenant hold, buy, receive and use.

pub mod context;
