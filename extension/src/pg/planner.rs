//! What goes by key is planned for tables that have grown large, whatever they hold now. A plan is kept for the session, and
//! one that is made while a table is empty may read it from end to end, or by an index that has nothing but the tenant in
//! common with the key: as good as any while there are few rows, and slower with each row of a first import. What Postgres
//! found when it last looked is left out of account too: it may have looked at few rows that were all alike.
//!
//! All of this holds for tables of schema topup, and from when a statement of ours is handed to Postgres until its executor
//! starts. What the statement runs, such as somebody's trigger, is planned as if this were not here.

use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;

use pgrx::prelude::*;
use pgrx::{PgList, pg_sys};

/// The least that a table counts as: so many rows that a key of three columns is worth more than its first two even
/// where nothing is known of their values, and each is taken to be one of 200.
const ROWS_MIN: f64 = 1e9;
const ROWS_PER_PAGE: f64 = 50.0;
const ENTRIES_PER_PAGE: f64 = 200.0;

/// A statement of ours that is being planned.
#[derive(Clone, Copy)]
struct Active {
    sql: &'static str,
    /// What the session has set.
    own: Settings,
}

thread_local! {
    static ACTIVE: Cell<Option<Active>> = const { Cell::new(None) };
}

/// Other libraries' hooks. The first is asked first, the others for what is not ours.
static OTHER: OnceLock<pg_sys::get_relation_info_hook_type> = OnceLock::new();
static OTHER_OF_COLUMNS: OnceLock<pg_sys::get_relation_stats_hook_type> = OnceLock::new();
static OTHER_OF_INDEXES: OnceLock<pg_sys::get_index_stats_hook_type> = OnceLock::new();
static OTHER_OF_STARTS: OnceLock<pg_sys::ExecutorStart_hook_type> = OnceLock::new();

/// Called once, when the library is loaded.
pub fn install() {
    // SAFETY: the backend is single-threaded, and hooks are put in a chain by each library when it is loaded.
    unsafe {
        OTHER.get_or_init(|| (*std::ptr::addr_of_mut!(pg_sys::get_relation_info_hook)).replace(as_if_large));
        OTHER_OF_COLUMNS.get_or_init(|| {
            (*std::ptr::addr_of_mut!(pg_sys::get_relation_stats_hook)).replace(column_without_statistics)
        });
        OTHER_OF_INDEXES.get_or_init(|| {
            (*std::ptr::addr_of_mut!(pg_sys::get_index_stats_hook)).replace(index_without_statistics)
        });
        OTHER_OF_STARTS
            .get_or_init(|| (*std::ptr::addr_of_mut!(pg_sys::ExecutorStart_hook)).replace(end_planning));
    }
}

/// How a statement is planned, and kept plans are chosen.
#[derive(Clone, Copy)]
pub enum Plan {
    /// For what is found by its key, or by a part of it: with or without the arguments, whichever costs less.
    ByKey,
    /// Independently of arguments. Left to itself Postgres plans anew at each call whatever takes an array, which costs more
    /// than the statement: it always hopes for a shorter array than it must plan for.
    OnceForAll,
    /// Anew for each call: of a list's filters most are not given, and which are decides by which index a page is found.
    ForThisCall,
}

/// Settings of the planner, as this backend has them.
#[derive(Clone, Copy)]
struct Settings {
    jit: bool,
    seq_scan: bool,
    bitmap_scan: bool,
    hash_join: bool,
    merge_join: bool,
    cache_mode: c_int,
}

impl Settings {
    /// For tables that have grown large, row by row and by an index in any case, whatever Postgres found when it looked: a
    /// table whose keys were all alike then would be read to its end, and a join with what a limit lets through would read
    /// all of the other side. What has to read a table that only counts as large would look worth compiling.
    fn by_index(plan: Plan) -> Settings {
        let cache_mode = match plan {
            Plan::ByKey => pg_sys::PlanCacheMode::PLAN_CACHE_MODE_AUTO,
            Plan::OnceForAll => pg_sys::PlanCacheMode::PLAN_CACHE_MODE_FORCE_GENERIC_PLAN,
            Plan::ForThisCall => pg_sys::PlanCacheMode::PLAN_CACHE_MODE_FORCE_CUSTOM_PLAN,
        };
        let cache_mode = cache_mode as c_int;
        Settings {
            jit: false,
            seq_scan: false,
            bitmap_scan: false,
            hash_join: false,
            merge_join: false,
            cache_mode,
        }
    }

    /// Puts them in place; gives those that were there.
    fn replace(self) -> Settings {
        // SAFETY: variables that only this backend has, and whose every value is good at any time.
        unsafe {
            let before = Settings {
                jit: pg_sys::jit_enabled,
                seq_scan: pg_sys::enable_seqscan,
                bitmap_scan: pg_sys::enable_bitmapscan,
                hash_join: pg_sys::enable_hashjoin,
                merge_join: pg_sys::enable_mergejoin,
                cache_mode: pg_sys::plan_cache_mode,
            };
            pg_sys::jit_enabled = self.jit;
            pg_sys::enable_seqscan = self.seq_scan;
            pg_sys::enable_bitmapscan = self.bitmap_scan;
            pg_sys::enable_hashjoin = self.hash_join;
            pg_sys::enable_mergejoin = self.merge_join;
            pg_sys::plan_cache_mode = self.cache_mode;
            before
        }
    }
}

/// A statement is planned so, from here until its executor starts; at the latest until this is dropped.
pub struct Planning {
    outer: Option<Active>,
}

impl Planning {
    pub fn begin(sql: &'static str, plan: Plan) -> Planning {
        let own = Settings::by_index(plan).replace();
        Planning { outer: ACTIVE.replace(Some(Active { sql, own })) }
    }
}

impl Drop for Planning {
    fn drop(&mut self) {
        // An error unwinds through here.
        if let Some(active) = ACTIVE.replace(self.outer) {
            active.own.replace();
        }
    }
}

unsafe extern "C-unwind" {
    /// Without the jump point of pgrx, for every statement of the session passes here.
    fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: c_int);
}

/// Postgres comes here when a statement has its plan. Nothing here panics, and nothing is left to be dropped when an error
/// jumps over it.
unsafe extern "C-unwind" fn end_planning(query: *mut pg_sys::QueryDesc, flags: c_int) {
    if let Some(active) = ACTIVE.get() {
        // SAFETY: a query that starts has its text, if any, and both stay while it runs. What planning itself executes has
        // another text.
        let is_active = unsafe {
            let text = (*query).sourceText;
            !text.is_null() && CStr::from_ptr(text).to_bytes() == active.sql.as_bytes()
        };
        if is_active {
            ACTIVE.set(None);
            active.own.replace();
        }
    }
    // SAFETY: passes on what Postgres gave.
    unsafe {
        match OTHER_OF_STARTS.get() {
            Some(Some(other)) => other(query, flags),
            _ => standard_ExecutorStart(query, flags),
        }
    }
}

/// Whether a table or index counts as large: while a statement of ours is planned, where it is of schema topup.
fn counts_as_large(relation: pg_sys::Oid) -> bool {
    // SAFETY: asks the catalog. Postgres has no schema of that name of its own.
    ACTIVE.get().is_some()
        && relation.to_u32() >= pg_sys::FirstNormalObjectId
        && unsafe {
            pg_sys::get_rel_namespace(relation) == pg_sys::get_namespace_oid(c"topup".as_ptr(), true)
        }
}

/// Postgres asks here what it should make of a table and its indexes, after it has looked itself.
#[pg_guard]
extern "C-unwind" fn as_if_large(
    root: *mut pg_sys::PlannerInfo,
    table: pg_sys::Oid,
    is_parent: bool,
    info: *mut pg_sys::RelOptInfo,
) {
    // SAFETY: Postgres passes a table that it has described, with the list of its indexes, and keeps both while it plans.
    unsafe {
        if let Some(Some(other)) = OTHER.get() {
            pg_sys::ffi::pg_guard_ffi_boundary(|| other(root, table, is_parent, info));
        }
        if !counts_as_large(table) {
            return;
        }
        let info = &mut *info;
        enlarge(&mut info.tuples, &mut info.pages, ROWS_PER_PAGE);
        for index in PgList::<pg_sys::IndexOptInfo>::from_pg(info.indexlist).iter_ptr() {
            let index = &mut *index;
            enlarge(&mut index.tuples, &mut index.pages, ENTRIES_PER_PAGE);
        }
    }
}

/// Postgres asks here for what it knows of a column's values. Where it looked when there was one row, each column alone
/// seemed to be a key; where all rows were one tenant's, none but the last: of our tables nothing is known.
#[pg_guard]
extern "C-unwind" fn column_without_statistics(
    root: *mut pg_sys::PlannerInfo,
    range_table_entry: *mut pg_sys::RangeTblEntry,
    column: pg_sys::AttrNumber,
    statistics: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: Postgres passes an entry of the range table, and a place for statistics whose other fields it has set.
    unsafe {
        if counts_as_large((*range_table_entry).relid) {
            (*statistics).statsTuple = std::ptr::null_mut();
            return true;
        }
        match OTHER_OF_COLUMNS.get() {
            Some(Some(other)) => {
                pg_sys::ffi::pg_guard_ffi_boundary(|| other(root, range_table_entry, column, statistics))
            }
            _ => false,
        }
    }
}

/// The same of an index, and of the expressions in it.
#[pg_guard]
extern "C-unwind" fn index_without_statistics(
    root: *mut pg_sys::PlannerInfo,
    index: pg_sys::Oid,
    column: pg_sys::AttrNumber,
    statistics: *mut pg_sys::VariableStatData,
) -> bool {
    // SAFETY: as above.
    unsafe {
        if counts_as_large(index) {
            (*statistics).statsTuple = std::ptr::null_mut();
            return true;
        }
        match OTHER_OF_INDEXES.get() {
            Some(Some(other)) => {
                pg_sys::ffi::pg_guard_ffi_boundary(|| other(root, index, column, statistics))
            }
            _ => false,
        }
    }
}

fn enlarge(rows: &mut f64, pages: &mut pg_sys::BlockNumber, rows_per_page: f64) {
    *rows = rows.max(ROWS_MIN);
    *pages = (*pages).max((ROWS_MIN / rows_per_page) as pg_sys::BlockNumber);
}
