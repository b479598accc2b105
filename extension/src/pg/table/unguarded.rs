//! Functions of Postgres for rows, without the jump point that pgrx sets around the call of each: some three hundred a send
//! would be a sixteenth of its work. What belongs together is called within one, [`guarded`].

use std::ffi::{c_char, c_int, c_void};
use std::mem::needs_drop;

use pgrx::pg_sys::*;

/// Runs calls of the functions here. An error that Postgres raises in them jumps out to this, and goes on from here as a panic.
///
/// # Safety
/// Nothing in it is left to be dropped when a call does not return, and nothing in it panics. That neither what `calls` holds
/// nor its result is to be dropped is checked as it is compiled; what it makes on its way is not.
pub unsafe fn guarded<T, F: FnOnce() -> T>(calls: F) -> T {
    const { assert!(!needs_drop::<F>() && !needs_drop::<T>(), "an error would jump over a drop") };
    // SAFETY: as this function's own.
    unsafe { ffi::pg_guard_ffi_boundary(calls) }
}

/// Declares functions, of the same types as pgrx's.
macro_rules! functions {
    ($($(#[$link:meta])? fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        unsafe extern "C-unwind" {
            $($(#[$link])? pub fn $name($($argument: $type),*) $(-> $result)?;)*
        }
        $(const _: unsafe fn($($type),*) $(-> $result)? = pgrx::pg_sys::$name;)*
    };
}

// Tables and their indexes.
functions! {
    fn LockRelationOid(relation: Oid, mode: LOCKMODE);
    fn UnlockRelationOid(relation: Oid, mode: LOCKMODE);
    fn relation_open(relation: Oid, mode: LOCKMODE) -> Relation;
    fn index_open(relation: Oid, mode: LOCKMODE) -> Relation;
    fn RelationGetPrimaryKeyIndex(relation: Relation) -> Oid;
    fn get_relname_relid(name: *const c_char, schema: Oid) -> Oid;
    fn GetUserId() -> Oid;
    fn pg_class_aclcheck(table: Oid, role: Oid, mode: AclMode) -> AclResult::Type;
}

// Rows in memory.
functions! {
    fn palloc(size: Size) -> *mut c_void;
    fn palloc0(size: Size) -> *mut c_void;
    fn MemoryContextReset(context: MemoryContext);
    fn table_slot_callbacks(table: Relation) -> *const TupleTableSlotOps;
    fn MakeSingleTupleTableSlot(columns: TupleDesc, callbacks: *const TupleTableSlotOps) -> *mut TupleTableSlot;
    fn ExecDropSingleTupleTableSlot(slot: *mut TupleTableSlot);
    #[link_name = "ExecClearTuple__pgrx_cshim"]
    fn ExecClearTuple(slot: *mut TupleTableSlot) -> *mut TupleTableSlot;
    fn ExecStoreVirtualTuple(slot: *mut TupleTableSlot) -> *mut TupleTableSlot;
}

// Searches.
functions! {
    fn GetActiveSnapshot() -> Snapshot;
    fn GetLatestSnapshot() -> Snapshot;
    fn RegisterSnapshot(snapshot: Snapshot) -> Snapshot;
    fn UnregisterSnapshot(snapshot: Snapshot);
    fn ScanKeyInit(
        key: ScanKey,
        attribute: AttrNumber,
        strategy: StrategyNumber,
        procedure: RegProcedure,
        argument: Datum,
    );
    fn index_beginscan(
        table: Relation,
        index: Relation,
        snapshot: Snapshot,
        keys: c_int,
        order_bys: c_int,
    ) -> IndexScanDesc;
    fn index_rescan(scan: IndexScanDesc, keys: ScanKey, count: c_int, order_bys: ScanKey, order_by_count: c_int);
    fn index_getnext_slot(scan: IndexScanDesc, direction: ScanDirection::Type, slot: *mut TupleTableSlot) -> bool;
    fn index_endscan(scan: IndexScanDesc);
}

// Writing.
functions! {
    fn CreateExecutorState() -> *mut EState;
    fn FreeExecutorState(state: *mut EState);
    fn MakePerTupleExprContext(state: *mut EState) -> *mut ExprContext;
    fn GetCurrentCommandId(is_used: bool) -> CommandId;
    fn CommandCounterIncrement();
    fn lappend(list: *mut List, element: *mut c_void) -> *mut List;
    fn InitResultRelInfo(
        target: *mut ResultRelInfo,
        table: Relation,
        position: Index,
        root: *mut ResultRelInfo,
        instruments: c_int,
    );
    fn ExecCloseIndices(target: *mut ResultRelInfo);
    fn ExecResetTupleTable(slots: *mut List, frees: bool);
    fn AfterTriggerBeginQuery();
    fn AfterTriggerEndQuery(state: *mut EState);
    fn ExecSimpleRelationInsert(target: *mut ResultRelInfo, state: *mut EState, slot: *mut TupleTableSlot);
    fn EvalPlanQualInit(
        recheck: *mut EPQState,
        state: *mut EState,
        plan: *mut Plan,
        row_marks: *mut List,
        parameter: c_int,
    );
    fn ExecSimpleRelationUpdate(
        target: *mut ResultRelInfo,
        state: *mut EState,
        recheck: *mut EPQState,
        old: *mut TupleTableSlot,
        new: *mut TupleTableSlot,
    );
}
