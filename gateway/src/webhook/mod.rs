//! The webhook worker: it claims what is due, attempts deliveries side by side, and records the outcomes.

pub mod concurrency;
pub mod deliver;
pub mod effects;
pub mod resolver;
pub mod settle;
pub mod worker;
