//! Whatever dies, is restored or goes wrong: the ledger is whole.

mod audit;
mod backup;
mod clock;
mod crash;
mod crash_sql;
mod failover;
mod model;
mod outages;
mod replication;
mod restore;
