//! Webhooks: endpoints, the queue, deliveries and their signatures.

mod delivery;
mod endpoint;
mod endpoint_update;
mod event;
mod held;
mod outbox;
mod queue;
mod share;
mod signature;
mod url;
mod worker;
