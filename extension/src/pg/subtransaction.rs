//! Work that may fail without failing the transaction that it is part of.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use pgrx::PgTryBuilder;
use pgrx::prelude::*;

use crate::pg::db::DbResult;

/// One that fails does so at each claim, and is told of no more often.
const SILENCE: Duration = Duration::from_secs(60);

/// Does work of its own; what fails is undone and warned of in these words, but for a cancelled statement, which ends all of it.
pub fn attempt(what: &str, work: impl FnOnce() -> DbResult<()>) -> Option<()> {
    // SAFETY: as PL/pgSQL does around a block with an exception handler: the memory and the owner are those of before.
    unsafe {
        let (memory, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(memory);
        let done = PgTryBuilder::new(AssertUnwindSafe(|| {
            if let Err(error) = work() {
                error!("{error}");
            }
            pg_sys::ReleaseCurrentSubTransaction();
            Some(())
        }))
        .catch_when(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, |cancelled| cancelled.rethrow())
        .catch_others(|error| {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
            warn(what, &error);
            None
        })
        .execute();
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
        done
    }
}

fn warn(what: &str, error: &pg_sys::panic::CaughtError) {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if LAST.get().is_some_and(|last| last.elapsed() < SILENCE) {
        return;
    }
    LAST.set(Some(Instant::now()));
    let message = match error {
        pg_sys::panic::CaughtError::PostgresError(report)
        | pg_sys::panic::CaughtError::ErrorReport(report)
        | pg_sys::panic::CaughtError::RustPanic { ereport: report, .. } => report.message(),
    };
    warning!("{what}: {message}");
}
