//! Products, subscriptions and usage.

pub mod entitlement;
mod product;
pub mod subscription;
mod subscription_edge;
mod unpriced_usage;
mod usage_event;
mod usage_pricing;
