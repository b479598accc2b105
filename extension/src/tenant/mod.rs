//! Who calls and what they may: keys and their callers, customers, limits, platforms.

pub mod caller;
pub mod customer;
pub mod key_usage;
pub mod platform;
pub mod spending_limit;
pub mod visible;
