//! The gateway as a process: who is let in, what is shared, how it runs.

mod admission;
mod concurrency;
mod gateway_check;
mod operations;
mod send_batch;
mod shares;
