//! Whether a setting was set in the running transaction. Postgres keeps what a setting was before, to be able to go back to it,
//! from the moment at which a transaction sets it until the transaction ends, and at no other time.
//!
//! Read against PostgreSQL 15, 16 and 17 (`src/backend/utils/misc/guc.c`): `push_old_value` and `AtEOXact_GUC`. What was set
//! before the library was loaded is carried over with what is kept of it (`reapply_stacked_values`).

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr::null_mut;

use pgrx::pg_sys;

/// A setting of this library, looked for once in a session: Postgres never takes it away.
pub struct Setting {
    name: &'static CStr,
    found: Cell<*mut pg_sys::config_generic>,
}

impl Setting {
    pub const fn new(name: &'static CStr) -> Setting {
        Setting { name, found: Cell::new(null_mut()) }
    }

    /// Whether the running transaction has set it, by SET, SET LOCAL or set_config().
    pub fn is_set_in_transaction(&self) -> bool {
        if self.found.get().is_null() {
            // SAFETY: reads the session's list of settings.
            self.found.set(unsafe { find(self.name) });
        }
        let found = self.found.get();
        // SAFETY: null, or a setting that lives as long as the session.
        !found.is_null() && unsafe { !(*found).stack.is_null() }
    }
}

#[cfg(feature = "pg15")]
unsafe fn find(name: &CStr) -> *mut pg_sys::config_generic {
    // SAFETY: as many settings as Postgres says, each with a name.
    unsafe {
        let settings = pg_sys::get_guc_variables();
        let mut all = (0..pg_sys::GetNumConfigOptions() as usize).map(|n| *settings.add(n));
        all.find(|setting| CStr::from_ptr((**setting).name) == name).unwrap_or(null_mut())
    }
}

#[cfg(not(feature = "pg15"))]
unsafe fn find(name: &CStr) -> *mut pg_sys::config_generic {
    // SAFETY: a name that ends with a zero byte; no error is raised where there is none.
    unsafe { pg_sys::find_option(name.as_ptr(), false, true, pg_sys::ERROR as std::ffi::c_int) }
}
