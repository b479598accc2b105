//! Webhooks: endpoints, the queue of deliveries that the gateway's worker claims, their signatures and their
//! log.

pub mod delivery;
pub mod endpoint;
pub mod endpoint_secret;
pub mod endpoint_update;
pub mod ping;
pub mod queue;
pub mod settle;
pub mod sign;
