//! When a wallet is given back: others need not wait until a send is on disk, only its reply must.
//!
//! ```text
//! sends ─► before commit ─► commit record ─► after commit ─► locks given back ─► flush ─► reply
//!          asynchronous                      as it was
//! ```
//!
//! Whoever takes the wallet next writes its own commit later in the log: once that is on disk, so is this one. Who only
//! reads, or replies before its commit, could tell of it earlier. The last writer of the wallet's row says what must be
//! on disk first: every transaction that is given back early has written that row, and those before it were on disk or
//! in the log before it. [`before_reply`] and [`under_lock`] wait for that.
//!
//! An asynchronous commit may wake Postgres's log writer, which then competes with the sends: a wallet that nobody waits for
//! is kept until its send is on disk.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{addr_of, addr_of_mut, null_mut};

use pgrx::pg_sys::{self, TransactionId, XLogRecPtr};
use pgrx::{direct_function_call, prelude::*};

use crate::pg::db::{self, DbResult, args};
use crate::pg::settings;
use crate::value::book::Book;

/// No place in the log.
const NOWHERE: XLogRecPtr = 0;

/// A wallet is busy if its last writer is among so many transactions: others may be waiting for it.
const BUSY_WITHIN: u32 = 100;

const OFF: c_int = pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_OFF as c_int;

thread_local! {
    /// Where the log of this transaction ended after its last send, if it has done nothing but sends that moved a wallet.
    static SENDS_END: Cell<XLogRecPtr> = const { Cell::new(NOWHERE) };
    /// Whether this transaction has locked an account that is busy.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
    /// The session's own `synchronous_commit`, while it is another.
    static OWN: Cell<Option<c_int>> = const { Cell::new(None) };
}

/// Flushes when the transaction's memory is freed: its locks are given back by then, and the client has not heard yet.
/// A static, since nothing may fail any more, memory included. One transaction at a time uses it.
static mut FLUSH: pg_sys::MemoryContextCallback =
    pg_sys::MemoryContextCallback { func: Some(flush), arg: null_mut(), next: null_mut() };

/// Tells Postgres whom to call when transactions end; called once, when the library is loaded.
pub fn define() {
    // SAFETY: the function lives as long as the library, which Postgres never unloads.
    unsafe { pg_sys::RegisterXactCallback(Some(at_end), null_mut()) }
}

/// A piece of sends that begins.
pub struct Sends {
    is_alone: bool,
}

impl Sends {
    /// Notes whether the transaction has written anything else until now.
    pub fn begin() -> Sends {
        Sends { is_alone: log_end() == SENDS_END.get() }
    }

    /// All is written. `moved_wallet`: the wallet's row is among it, by which readers know of the transaction.
    pub fn end(self, moved_wallet: bool) {
        if self.is_alone && (moved_wallet || SENDS_END.get() != NOWHERE) {
            SENDS_END.set(log_end());
        }
    }
}

/// Where this transaction's part of the log ends; nowhere, if it has written nothing.
fn log_end() -> XLogRecPtr {
    // SAFETY: reads a variable that only this backend has.
    unsafe { pg_sys::XactLastRecEnd }
}

fn synchronous_commit() -> c_int {
    // SAFETY: as above.
    unsafe { pg_sys::synchronous_commit }
}

/// Called by Postgres when a transaction is about to end or has ended. Nothing in here fails.
#[pg_guard]
unsafe extern "C-unwind" fn at_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_PRE_COMMIT if releases_early() => {
            OWN.set(Some(synchronous_commit()));
            // SAFETY: a variable that only this backend has; until it is restored no SQL is run.
            unsafe { pg_sys::synchronous_commit = OFF };
        }
        pg_sys::XactEvent::XACT_EVENT_COMMIT => {
            if restore() {
                flush_in_the_end();
            }
            begin_anew();
        }
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            restore();
            begin_anew();
        }
        _ => {}
    }
}

fn begin_anew() {
    SENDS_END.set(NOWHERE);
    IS_BUSY.set(false);
}

/// Whether the transaction that is about to commit gives its locks back early: it did nothing but sends, of a wallet that
/// is busy, the session waits for its commits, and no standby is waited for.
fn releases_early() -> bool {
    IS_BUSY.get()
        && SENDS_END.get() != NOWHERE
        && SENDS_END.get() == log_end()
        && settings::early_lock_release()
        && synchronous_commit() > OFF
        && !waits_for_standby()
}

/// Whether commits wait for a standby, or may do so by a configuration that this session has not read yet.
fn waits_for_standby() -> bool {
    // SAFETY: variables that only this backend has; the first is a C string or null, the second is set by a signal.
    unsafe {
        let names = pg_sys::SyncRepStandbyNames;
        (!names.is_null() && *names != 0) || addr_of!(pg_sys::ConfigReloadPending).read_volatile() != 0
    }
}

/// Gives the session its own setting back; tells whether it had another.
fn restore() -> bool {
    let own = OWN.take();
    if let Some(own) = own {
        // SAFETY: a variable that only this backend has, and the value that was there.
        unsafe { pg_sys::synchronous_commit = own };
    }
    own.is_some()
}

fn flush_in_the_end() {
    // SAFETY: called while a transaction ends, so that its memory is there and is freed after its locks, and before
    // the next one begins. The static is in no other list: this is the only place that puts it into one.
    unsafe {
        pg_sys::MemoryContextRegisterResetCallback(pg_sys::TopTransactionContext, addr_of_mut!(FLUSH));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn flush(_arg: *mut c_void) {
    // SAFETY: the end of this session's last commit record: a place in the log that is written.
    unsafe { pg_sys::XLogFlush(pg_sys::XactLastCommitEnd) }
}

const WRITER: &str = "select xmin from topup.balance where tenant_id = $1 and account_id = $2";

/// Waits until everything is on disk that a reply about a book may tell of: asked after all that the reply is made from was
/// read. A session that does not wait for its own commits waits for no others.
pub fn before_reply(book: &Book) -> DbResult<()> {
    if synchronous_commit() <= OFF || all_is_on_disk() {
        return Ok(());
    }
    if has_id() && log_end() != NOWHERE && !replies_before_commit() {
        // Its own commit comes later in the log than all it saw, and is waited for.
        return Ok(());
    }
    let writer = db::read_by_key(WRITER, args![book.tenant_id, book.wallet_id], |row| row.get(1))?.pop();
    writer.into_iter().for_each(flush_commit_of);
    Ok(())
}

/// Whether nobody has written anything that is not on disk: the usual case where there is more reading than writing.
fn all_is_on_disk() -> bool {
    // SAFETY: these read what all backends share, by Postgres's own rules. A standby has nothing that its primary has not on
    // disk.
    unsafe {
        pg_sys::RecoveryInProgress() || pg_sys::GetXLogInsertRecPtr() <= pg_sys::GetFlushRecPtr(null_mut())
    }
}

/// Told of each account that is locked, and of who wrote its row: whatever this transaction writes there itself hides
/// that, and its reply may come before its commit.
pub fn under_lock(writer: TransactionId) {
    if is_recent(writer) {
        IS_BUSY.set(true);
    }
    if synchronous_commit() > OFF && replies_before_commit() {
        flush_commit_of(writer);
    }
}

/// Whether one of the last transactions is meant. It may be younger than this one, which has its id before it waits.
fn is_recent(id: TransactionId) -> bool {
    // SAFETY: reads variables that only this backend has.
    let own = unsafe { pg_sys::GetTopTransactionIdIfAny() };
    let age = own.into_inner().wrapping_sub(id.into_inner()).cast_signed();
    age != 0 && age.unsigned_abs() <= BUSY_WITHIN
}

/// Whether what is answered now is known before this transaction commits: it is a block, or a pipeline of statements.
fn replies_before_commit() -> bool {
    // SAFETY: reads variables that only this backend has.
    unsafe {
        pg_sys::IsTransactionBlock() || pg_sys::MyXactFlags & pg_sys::XACT_FLAGS_PIPELINING as c_int != 0
    }
}

fn has_id() -> bool {
    // SAFETY: as above.
    unsafe { pg_sys::GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId }
}

/// Waits until the commit of the transaction that wrote a row is on disk. One's own has none yet.
fn flush_commit_of(writer: TransactionId) {
    // SAFETY: these read what all backends share, by Postgres's own rules, and wait for a place in the log that is written.
    // A standby has nothing that its primary has not on disk, and flushes nothing.
    unsafe {
        if pg_sys::RecoveryInProgress() || pg_sys::TransactionIdIsCurrentTransactionId(writer) {
            return;
        }
        if let Some(full) = full_id(writer, pg_sys::ReadNextFullTransactionId().value)
            && is_committed(full)
        {
            // Found a moment ago, it is remembered: an id that is too old for the commit log would be an error here.
            pg_sys::XLogFlush(pg_sys::TransactionIdGetCommitLSN(writer));
        }
    }
}

/// An id with its epoch, counted back from the next one; none if it is not an ordinary one. That of a row that was
/// frozen long ago may be taken for a later one, for which to wait does no harm.
fn full_id(id: TransactionId, next: u64) -> Option<u64> {
    let age = (next as u32).wrapping_sub(id.into_inner());
    next.checked_sub(age.into()).filter(|_| age > 0 && pg_sys::TransactionIdIsNormal(id))
}

/// As SQL has it: an id that the commit log does not reach back to has no status.
fn is_committed(full: u64) -> bool {
    // SAFETY: the function takes one argument of this type, and looks nothing up that could be gone.
    let status: Option<String> =
        unsafe { direct_function_call(pg_sys::pg_xact_status, &[Some(pg_sys::Datum::from(full))]) };
    status.as_deref() == Some("committed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_back_from_the_next_one() {
        const EPOCH: u64 = 1 << 32;
        let full = |id: u32, next: u64| full_id(TransactionId::from_inner(id), next);
        assert_eq!(full(1000, 1001), Some(1000));
        assert_eq!(full(1000, 5 * EPOCH + 1001), Some(5 * EPOCH + 1000));
        assert_eq!(full(u32::MAX, 5 * EPOCH + 3), Some(5 * EPOCH - 1), "before the turn");
        assert_eq!(full(1001, 1001), None, "nobody has it yet");
        assert_eq!(full(1002, 1001), None, "nobody can have had it");
        assert_eq!(full(1002, EPOCH + 1001), Some(1002), "frozen, or to come: no harm");
        for special in 0..3 {
            assert_eq!(full(special, 1001), None, "{special}");
        }
    }
}
