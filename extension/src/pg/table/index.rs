//! A table's indexes as its new rows need them. For every statement Postgres describes and opens each, and makes the predicates
//! of partial ones ready: together that costs more than to insert a row.

use pgrx::pg_sys::{self, Oid};
use pgrx::{PgList, PgMemoryContexts};

use super::unguarded;

/// The indexes of a table, until the catalog changes.
pub struct Indexes {
    all: Vec<(Oid, *const pg_sys::IndexInfo)>,
    /// Its memory holds them.
    state: *mut pg_sys::EState,
    /// Whether rows are stored as they are given. Else nobody knows beforehand which partial indexes have them.
    takes_rows_as_given: bool,
}

impl Indexes {
    /// Those of a table that is open and locked, so that none goes and what a new one indexes is waited for.
    pub fn of(table: pg_sys::Relation) -> Indexes {
        // SAFETY: what is built goes along with this transaction's memory if Postgres raises an error before the end.
        unsafe {
            let state = pg_sys::CreateExecutorState();
            let mut memory = PgMemoryContexts::For((*state).es_query_cxt);
            let all = memory.switch_to(|_| {
                let ids = PgList::<Oid>::from_pg(pg_sys::RelationGetIndexList(table));
                ids.iter_oid().map(|id| (id, describe(id, state))).collect()
            });
            pg_sys::MemoryContextSetParent(memory.value(), pg_sys::CacheMemoryContext);
            Indexes { all, state, takes_rows_as_given: takes_rows_as_given(table) }
        }
    }

    /// Opens them for rows to be written, in place of `ExecOpenIndices`; partial ones once [`Indexes::open_for`] meets a row
    /// of theirs.
    ///
    /// # Safety
    /// They are those of the target, whose statement's memory is the current one. To be [`guarded`](super::guarded).
    pub unsafe fn open(&self, target: *mut pg_sys::ResultRelInfo) {
        // SAFETY: each is written before it is counted, and lives as long as the target.
        unsafe {
            let count = self.all.len();
            let relations: *mut pg_sys::Relation = room(count);
            let infos: *mut *mut pg_sys::IndexInfo = room(count);
            let copies: *mut pg_sys::IndexInfo = room(count);
            for (n, (id, info)) in self.all.iter().enumerate() {
                let is_partial = !(**info).ii_PredicateState.is_null();
                let waits = is_partial && self.takes_rows_as_given;
                *relations.add(n) = if waits { std::ptr::null_mut() } else { open(*id) };
                // What an index keeps for the length of a statement goes into the copy.
                *copies.add(n) = **info;
                (*copies.add(n)).ii_Context = pg_sys::CurrentMemoryContext;
                *infos.add(n) = copies.add(n);
            }
            (*target).ri_NumIndices = count as i32;
            (*target).ri_IndexRelationDescs = relations;
            (*target).ri_IndexRelationInfo = infos;
        }
    }

    /// Opens the partial ones that are to have the row in a slot.
    ///
    /// # Safety
    /// The target is as [`Indexes::open`] left it, and `context` the one in which its rows are judged. To be
    /// [`guarded`](super::guarded).
    pub unsafe fn open_for(
        &self,
        target: *mut pg_sys::ResultRelInfo,
        context: *mut pg_sys::ExprContext,
        slot: *mut pg_sys::TupleTableSlot,
    ) {
        // SAFETY: so many relations the target has.
        unsafe {
            (*context).ecxt_scantuple = slot;
            for (n, (id, info)) in self.all.iter().enumerate() {
                let relation = (*target).ri_IndexRelationDescs.add(n);
                let waits = (*relation).is_null() && (**info).ii_ReadyForInserts;
                if waits && is_true((**info).ii_PredicateState, context) {
                    *relation = open(*id);
                }
            }
        }
    }
}

/// Whether a table stores rows as they are given: no trigger and no generated column changes them.
///
/// # Safety
/// The table is open.
unsafe fn takes_rows_as_given(table: pg_sys::Relation) -> bool {
    // SAFETY: what describes an open table stays where it is.
    let (triggers, constraints) = unsafe { ((*table).trigdesc.as_ref(), (*(*table).rd_att).constr.as_ref()) };
    !triggers.is_some_and(|triggers| triggers.trig_insert_before_row || triggers.trig_update_before_row)
        && !constraints.is_some_and(|constraints| constraints.has_generated_stored)
}

/// Whether a predicate is true of the row in the context.
///
/// # Safety
/// The predicate is ready. To be [`guarded`](super::guarded).
unsafe fn is_true(predicate: *mut pg_sys::ExprState, context: *mut pg_sys::ExprContext) -> bool {
    let mut is_null = false;
    // SAFETY: a predicate that is ready has its function.
    let value = unsafe { (*predicate).evalfunc.map(|evaluate| evaluate(predicate, context, &mut is_null)) };
    value.is_none_or(|value| value.value() != 0 && !is_null)
}

/// An index, for rows to be put into it.
///
/// # Safety
/// To be [`guarded`](super::guarded).
unsafe fn open(id: Oid) -> pg_sys::Relation {
    // SAFETY: an error is raised where there is no such index.
    unsafe { unguarded::index_open(id, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE) }
}

/// Memory for so many.
///
/// # Safety
/// To be [`guarded`](super::guarded).
unsafe fn room<T>(count: usize) -> *mut T {
    // SAFETY: an error is raised where there is none.
    unsafe { unguarded::palloc(count * size_of::<T>()).cast() }
}

/// An index, with its predicate ready; but for one that looks at the row as a whole, which keeps what it finds out in the
/// statement's memory: Postgres makes that ready each time.
///
/// # Safety
/// Its table is locked; the memory of `state` is the current one.
unsafe fn describe(id: Oid, state: *mut pg_sys::EState) -> *const pg_sys::IndexInfo {
    // SAFETY: the index is open while it is described. Its lock stays.
    unsafe {
        let index = pg_sys::index_open(id, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE);
        let info = pg_sys::BuildIndexInfo(index);
        let mut attributes = std::ptr::null_mut();
        pg_sys::pull_varattnos((*info).ii_Predicate.cast(), 1, &mut attributes);
        let is_of_whole_rows = pg_sys::bms_is_member(-pg_sys::FirstLowInvalidHeapAttributeNumber, attributes);
        if !(*info).ii_Predicate.is_null() && !is_of_whole_rows {
            (*info).ii_PredicateState = pg_sys::ExecPrepareQual((*info).ii_Predicate, state);
        }
        pg_sys::index_close(index, pg_sys::NoLock as pg_sys::LOCKMODE);
        info
    }
}

impl Drop for Indexes {
    fn drop(&mut self) {
        // SAFETY: nothing else refers to it: a writer holds what is known of its table.
        unsafe { pg_sys::FreeExecutorState(self.state) };
    }
}
