//! What nearly every call reads and few change, kept for the session: callers, platforms, and that no worker sleeps. Whoever
//! changes such a row announces it by Postgres's own invalidation messages (sql/schema/cache.sql), as changes of roles and rights
//! are: a call that begins after the change has committed never sees what was before.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::hash::Hash;
use std::rc::Rc;
use std::thread::LocalKey;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;

/// Entries that a session keeps of a kind, at most; then it begins anew.
const ENTRIES_MAX: usize = 4096;

/// The relation whose invalidation stands for all of them.
const SCHEMA: &CStr = c"topup";
const MARKER: &CStr = c"cached";

thread_local! {
    /// Rises with each announcement: what was read in an earlier generation is forgotten.
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    /// The marker, once it is known; none after it was dropped with the extension, until there is another.
    static MARKER_OID: Cell<Oid> = const { Cell::new(Oid::INVALID) };
    static LISTENS: Cell<bool> = const { Cell::new(false) };
    /// Rises with each announcement of any relation but the marker, of any enum or function.
    static CATALOG_CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// Rows by what they are found by, as they were in a generation.
pub struct Cache<K, V> {
    generation: u64,
    entries: HashMap<K, Rc<V>>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Cache { generation: 0, entries: HashMap::new() }
    }
}

impl<K: Eq + Hash, V> Cache<K, V> {
    /// What is kept under a key, else what `read` finds, which is kept if it `may` be. It reads what is committed by
    /// then, whatever snapshot the calling statement has.
    pub fn get<E>(
        cache: &'static LocalKey<RefCell<Self>>,
        key: K,
        read: impl FnOnce() -> Result<V, E>,
        may: impl FnOnce(&V) -> bool,
    ) -> Result<Rc<V>, E> {
        let generation = listen();
        if let Some(kept) = cache.with_borrow_mut(|cache| cache.of(generation).get(&key).cloned()) {
            return Ok(kept);
        }
        let value = Rc::new(with_fresh_snapshot(read)?);
        // An announcement that came meanwhile may be of what was just read, and an old snapshot has not seen those before.
        // Without a marker, as in a schema that is older than the library, none would be heard.
        let is_heard = MARKER_OID.get() != Oid::INVALID;
        if is_heard && GENERATION.get() == generation && is_fresh() && may(&value) {
            cache.with_borrow_mut(|cache| cache.of(generation).insert(key, Rc::clone(&value)));
        }
        Ok(value)
    }

    /// The entries of this generation, with room for one more.
    fn of(&mut self, generation: u64) -> &mut HashMap<K, Rc<V>> {
        if self.generation != generation || self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
            self.generation = generation;
        }
        &mut self.entries
    }
}

/// How many changes of relations, enums and functions this session has heard of.
pub fn catalog_changes() -> u64 {
    register();
    CATALOG_CHANGES.get()
}

/// Has Postgres tell of changes from now on.
fn register() {
    if LISTENS.replace(true) {
        return;
    }
    // SAFETY: inside a transaction, where callbacks may be registered.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(relation_changed), Datum::from(0));
        let roles = pg_sys::SysCacheIdentifier::AUTHOID as c_int;
        pg_sys::CacheRegisterSyscacheCallback(roles, Some(role_changed), Datum::from(0));
        for kind in [pg_sys::SysCacheIdentifier::ENUMOID, pg_sys::SysCacheIdentifier::PROCOID] {
            pg_sys::CacheRegisterSyscacheCallback(kind as c_int, Some(catalog_changed), Datum::from(0));
        }
    }
}

/// The generation by now, all announcements of the others heard.
fn listen() -> u64 {
    register();
    // SAFETY: inside a transaction, where the catalog may be read.
    unsafe {
        pg_sys::AcceptInvalidationMessages();
        if MARKER_OID.get() == Oid::INVALID {
            let schema = pg_sys::get_namespace_oid(SCHEMA.as_ptr(), true);
            MARKER_OID.set(pg_sys::get_relname_relid(MARKER.as_ptr(), schema));
        }
    }
    GENERATION.get()
}

fn forget() {
    GENERATION.set(GENERATION.get() + 1);
}

// Called by Postgres while it hears announcements; neither calls it back, nor panics.
unsafe extern "C-unwind" fn relation_changed(_: Datum, relation: Oid) {
    let is_all = relation == Oid::INVALID;
    let is_marker = !is_all && relation == MARKER_OID.get();
    if !is_marker {
        CATALOG_CHANGES.set(CATALOG_CHANGES.get() + 1);
    }
    if is_marker || is_all {
        MARKER_OID.set(Oid::INVALID);
        forget();
    }
}

unsafe extern "C-unwind" fn catalog_changed(_: Datum, _: c_int, _: u32) {
    CATALOG_CHANGES.set(CATALOG_CHANGES.get() + 1);
}

unsafe extern "C-unwind" fn role_changed(_: Datum, _: c_int, _: u32) {
    forget();
}

/// Runs it with a snapshot of its own, which sees what is committed by now. One that fails takes the snapshot along with
/// its transaction.
fn with_fresh_snapshot<T>(read: impl FnOnce() -> T) -> T {
    // SAFETY: pushed and popped in pairs, inside a transaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let result = read();
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

/// Whether a new snapshot sees what is committed by now: not where one serves the whole transaction.
fn is_fresh() -> bool {
    // SAFETY: reads a backend-local variable.
    unsafe { pg_sys::XactIsoLevel < pg_sys::XACT_REPEATABLE_READ as c_int }
}

/// Announces that what sessions keep has changed: to this one at once, to the others when the transaction commits.
#[pg_extern(schema = "topup", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn invalidate_cached() {
    listen();
    let marker = MARKER_OID.get();
    if marker == Oid::INVALID {
        error!("relation topup.cached is missing");
    }
    // SAFETY: a relation that exists.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(marker) };
}
