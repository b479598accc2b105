//! The memory of Rust code: an allocation that fails ends its own session, and no other.
//!
//! Rust aborts the process when memory runs out, and Postgres answers an aborted process by ending all the others. An error
//! that unwinds out of an allocator is no way out either: Rust takes for granted that none does. So the session ends as
//! Postgres ends one that cannot go on, by `FATAL`: its transaction is rolled back and its locks are released.
//! What callers size is bounded before it is allocated; this is for a server whose memory is used up.
//!
//! Read against PostgreSQL 15, 16 and 17 (`src/backend/utils/error/elog.c`): the report is written from memory that is kept
//! for it, and `errfinish` does not return from `FATAL`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_char, c_int};

use pgrx::pg_sys;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;

/// The system's allocator, of which no caller ever gets a null pointer.
struct Memory;

// Unit tests run outside of Postgres, where nobody hears a report.
#[cfg_attr(not(test), global_allocator)]
#[cfg_attr(test, allow(dead_code))]
static MEMORY: Memory = Memory;

// SAFETY: each call is passed on as it came; what is not null comes from the system's allocator.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as this function's.
        or_end(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as this function's.
        or_end(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as this function's.
        or_end(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as this function's.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn or_end(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() {
        end_session(size)
    }
    memory
}

// Postgres's own, without the guard that pgrx puts around its bindings: nothing may be allocated here.
unsafe extern "C-unwind" {
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errcode(code: c_int) -> c_int;
    fn errmsg_internal(format: *const c_char, ...) -> c_int;
    fn errdetail_internal(format: *const c_char, ...) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

#[cold]
fn end_session(size: usize) -> ! {
    // SAFETY: the extension's code runs in the one thread of a Postgres process, which may report at any time.
    unsafe {
        if errstart(pg_sys::FATAL as c_int, std::ptr::null()) {
            errcode(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int);
            errmsg_internal(c"out of memory".as_ptr());
            errdetail_internal(c"pg_topup failed on a request of %zu bytes.".as_ptr(), size);
            errfinish(c"memory.rs".as_ptr(), 0, c"end_session".as_ptr());
        }
    }
    std::process::abort()
}
