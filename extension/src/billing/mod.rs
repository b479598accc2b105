//! Billing: what a tenant sells, what its customers are subscribed to, and what their usage costs.

mod booking;
pub mod customer_subscription;
mod item;
mod plan;
mod pricing;
pub mod product;
pub mod product_read;
pub mod record_usage;
pub mod renewal;
mod rollover;
pub mod simulate;
pub mod subscription;
mod unpriced;
mod usage_event;
pub mod usage_event_read;
