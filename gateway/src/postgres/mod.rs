//! The way to Postgres: where it is, its pools and their shares, what its faults mean, and its wake-up calls.

pub mod catalog_row;
pub mod database;
pub mod fault;
pub mod readiness;
pub mod shares;
pub mod target;
pub mod wake;
