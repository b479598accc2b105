//! What usage costs. Pure arithmetic on exact fractions: the same code bills events and simulates them.
//!
//! An event is matched with the prices of its type. A price measures it (units, volume, or both), finds the
//! values for its dimensions and, where there are tiers, its place in them, and gives one fee. Each fee is
//! rounded once, half-even, to the precision of its asset.

mod check;
mod fee;
mod meter;
mod price;
mod usage;

pub use check::check;
pub use fee::{Fee, fees};
pub use meter::{Day, MeterKey, Meters};
pub use price::{
    BillingType, Entitlement, Interval, Price, PriceType, Purpose, RefreshStrategy, Timing, UsageType,
};
pub use usage::{EventData, Usage};
