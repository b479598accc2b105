//! Top-ups that tenants send.

mod address;
mod batch;
mod history;
mod lifecycle;
mod pricing;
mod race;
mod send;
mod transaction;
mod validate;
mod voucher;
