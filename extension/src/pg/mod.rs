//! The only room that knows Postgres's insides: statements, rows past the executor, caches, settings.

pub mod bound;
pub mod cache;
pub mod db;
pub mod interrupt;
pub mod jsonb;
pub mod memory;
pub mod name_lock;
pub mod planner;
pub mod setting_stack;
pub mod settings;
pub mod subtransaction;
pub mod table;
