//! What stands on Postgres's insides.

mod cache;
mod drop_guard;
mod early_release;
mod hardening;
mod install;
mod jsonb;
mod name_lock;
mod planner;
mod statement_count;
mod statistics;
mod table;
mod write_path;
