//! The billing portal: a customer sees and fills its own wallet, without a key, on pages that the gateway shows.
//!
//! ```text
//! create ─► link ─► enter ─► session ─► view, history, act ─► the handlers that keys call too
//! ```

pub mod act;
pub mod create;
mod day;
pub mod enter;
pub mod history;
mod offer;
mod session;
mod typed;
pub mod view;
