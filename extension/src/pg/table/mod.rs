//! Rows of tables that every send writes, without statements: to start one costs as much as what it does. Rows are written as
//! logical replication writes them, with row triggers, constraints and indexes. A table that somebody has made more of
//! than that is written by statements, and so are all tables where `topup.write_path` is `statements`: everything here that
//! goes past the executor asks [`goes_past_executor`] first.

mod index;
mod insert;
mod known;
mod row;
mod scan;
mod unguarded;
mod value;

use std::ffi::{CStr, CString};
use std::rc::Rc;

use pgrx::memcxt::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum, LOCKMODE, Oid};
use pgrx::{PgRelation, PgTupleDesc};

use crate::pg::{cache, settings};

use index::Indexes;
use known::KnownTable;
use unguarded::guarded;

pub use insert::{NewRow, Table};
pub use row::{By, Found, LockedRow, Place, Row, find, find_latest, lock, lock_along, locked_at};
pub use scan::any_uncommitted;
pub use value::Value;
pub(crate) use value::row;

/// Whether rows may be found, locked and written without statements.
fn goes_past_executor() -> bool {
    settings::writes_rows()
}

/// A table of schema topup that is open. Its lock stays until the transaction ends, as after a statement.
struct Open {
    relation: PgRelation,
    known: Rc<KnownTable>,
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    Insert,
    Update,
}

impl Open {
    fn to_read(name: &'static CStr) -> Open {
        Open::by_name(name, pg_sys::AccessShareLock)
    }

    /// For rows to be put, or to be locked and changed.
    fn to_write(name: &'static CStr) -> Open {
        Open::by_name(name, pg_sys::RowExclusiveLock)
    }

    /// The table that has the name once the lock is held.
    fn by_name(name: &'static CStr, lock: u32) -> Open {
        let (lock, none) = (lock as LOCKMODE, pg_sys::NoLock as LOCKMODE);
        let changes = cache::catalog_changes();
        if let Some(known) = known::find(name, changes) {
            // SAFETY: whoever locks hears what has changed by then. If nothing has, the table is there, and has the name.
            let relation = unsafe {
                guarded(|| {
                    unguarded::LockRelationOid(known.id, lock);
                    if cache::catalog_changes() == changes {
                        return unguarded::relation_open(known.id, none);
                    }
                    unguarded::UnlockRelationOid(known.id, lock);
                    std::ptr::null_mut()
                })
            };
            if !relation.is_null() {
                // SAFETY: it is open.
                return Open { relation: unsafe { PgRelation::from_pg_owned(relation) }, known };
            }
        }
        // SAFETY: raises an error where there is no such table; the names are only read.
        let relation = unsafe {
            let name = pg_sys::makeRangeVar(c"topup".as_ptr().cast_mut(), name.as_ptr().cast_mut(), -1);
            PgRelation::from_pg_owned(pg_sys::table_openrv(name, lock))
        };
        let known = known::keep(name, relation.oid());
        Open { relation, known }
    }

    /// Postgres's own description of it.
    fn as_ptr(&self) -> pg_sys::Relation {
        self.relation.as_ptr()
    }

    fn columns(&self) -> PgTupleDesc<'_> {
        self.relation.tuple_desc()
    }

    fn column(&self, name: &'static str) -> Column {
        self.known.column(name, || {
            let columns = self.columns();
            let mut all = columns.iter().enumerate();
            let found = all.find(|(_, column)| !column.attisdropped && column.name() == name);
            let (position, column) = found.unwrap_or_else(|| pgrx::error!("there is no column {name}"));
            Column { position, type_oid: column.atttypid, type_mod: column.atttypmod }
        })
    }

    /// Whether its rows are in it alone, and for all to see: not where it has parts, heirs or row security.
    fn is_plain(&self) -> bool {
        // SAFETY: the table is open.
        let class = unsafe { &*(*self.as_ptr()).rd_rel };
        class.relkind == pg_sys::RELKIND_RELATION as i8 && !class.relhassubclass && !class.relrowsecurity
    }

    /// Whether rows may be changed without a statement.
    fn takes_changes(&self) -> bool {
        goes_past_executor()
            && self.grants(pg_sys::ACL_UPDATE)
            && *self.known.takes_changes.get_or_init(|| self.expects_rows(Change::Update))
    }

    /// Whether rows are all that the table expects: not where rules, row security or triggers expect statements, where
    /// rows go to its parts, or where Citus has spread it (and watches for truncation).
    fn expects_rows(&self, change: Change) -> bool {
        // SAFETY: the table is open, and what describes it stays where it is.
        let (table, triggers) = unsafe { (&*self.as_ptr(), (*self.as_ptr()).trigdesc.as_ref()) };
        self.is_plain()
            && table.rd_rules.is_null()
            && !triggers.is_some_and(|triggers| expect_statements(triggers, change))
    }

    /// Whether the role that this runs as has a right.
    fn grants(&self, right: u32) -> bool {
        // SAFETY: asks the catalog.
        let may =
            unsafe { guarded(|| unguarded::pg_class_aclcheck(self.known.id, unguarded::GetUserId(), right)) };
        may == pg_sys::AclResult::ACLCHECK_OK
    }
}

/// Whether some of a table's triggers fire for statements, or for the columns that a statement names.
fn expect_statements(triggers: &pg_sys::TriggerDesc, change: Change) -> bool {
    triggers.trig_truncate_after_statement
        || match change {
            Change::Insert => {
                triggers.trig_insert_before_statement
                    || triggers.trig_insert_after_statement
                    || triggers.trig_insert_new_table
            }
            Change::Update => {
                // SAFETY: so many there are.
                let all = unsafe {
                    std::slice::from_raw_parts(triggers.triggers, triggers.numtriggers.max(0) as usize)
                };
                triggers.trig_update_before_statement
                    || triggers.trig_update_after_statement
                    || triggers.trig_update_old_table
                    || triggers.trig_update_new_table
                    || all.iter().any(|trigger| trigger.tgnattr > 0)
            }
        }
}

/// A column as its table has it.
#[derive(Clone, Copy)]
struct Column {
    /// Counts from 0.
    position: usize,
    type_oid: Oid,
    /// -1: every value of the type fits as it is.
    type_mod: i32,
}

impl Column {
    /// The value of a text, as the column's type reads it.
    fn read(&self, text: &str) -> Datum {
        known::label(self.type_oid, text, || (self.read_anew(text), self.is_enum()))
    }

    fn read_anew(&self, text: &str) -> Datum {
        let text = CString::new(text).unwrap_or_else(|_| pgrx::error!("a text with a zero byte"));
        let (mut input, mut parameter) = (Oid::INVALID, Oid::INVALID);
        // SAFETY: every type of a column has an input function, which takes a C string.
        unsafe {
            pg_sys::getTypeInputInfo(self.type_oid, &mut input, &mut parameter);
            pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, self.type_mod)
        }
    }

    /// None of those that Postgres comes with is one.
    fn is_enum(&self) -> bool {
        // SAFETY: asks the catalog.
        self.type_oid.to_u32() >= pg_sys::FirstNormalObjectId
            && unsafe { pg_sys::type_is_enum(self.type_oid) }
    }

    /// A value as the column's type writes it.
    fn write(&self, value: Datum) -> String {
        let (mut output, mut is_varlena) = (Oid::INVALID, false);
        // SAFETY: every type of a column has an output function, which gives a C string.
        unsafe {
            pg_sys::getTypeOutputInfo(self.type_oid, &mut output, &mut is_varlena);
            CStr::from_ptr(pg_sys::OidOutputFunctionCall(output, value)).to_string_lossy().into_owned()
        }
    }

    fn type_name(&self) -> String {
        // SAFETY: gives a C string for every type.
        unsafe { CStr::from_ptr(pg_sys::format_type_be_qualified(self.type_oid)) }
            .to_string_lossy()
            .into_owned()
    }
}

/// What Postgres needs around the writing of rows. An error leaves all of it to the transaction's end, like whatever else
/// is open by then.
struct Writer<'a> {
    indexes: &'a Indexes,
    state: *mut pg_sys::EState,
    target: *mut pg_sys::ResultRelInfo,
    /// For the row that is written.
    slot: *mut pg_sys::TupleTableSlot,
    row_context: *mut pg_sys::ExprContext,
}

impl<'a> Writer<'a> {
    fn begin(table: &'a Open) -> Writer<'a> {
        let indexes = table.known.indexes.get_or_init(|| Indexes::of(table.as_ptr()));
        // SAFETY: the table is open, and stays so until the writer has ended.
        unsafe {
            guarded(|| {
                let state = unguarded::CreateExecutorState();
                (*state).es_output_cid = unguarded::GetCurrentCommandId(true);
                let row_context = unguarded::MakePerTupleExprContext(state);
                let before = pg_sys::CurrentMemoryContext;
                pg_sys::CurrentMemoryContext = (*state).es_query_cxt;
                let target: *mut pg_sys::ResultRelInfo =
                    unguarded::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast();
                unguarded::InitResultRelInfo(target, table.as_ptr(), 0, std::ptr::null_mut(), 0);
                // So that triggers find it.
                (*state).es_opened_result_relations = unguarded::lappend(std::ptr::null_mut(), target.cast());
                indexes.open(target);
                let columns = (*table.as_ptr()).rd_att;
                let slot = unguarded::MakeSingleTupleTableSlot(columns, &raw const pg_sys::TTSOpsVirtual);
                pg_sys::CurrentMemoryContext = before;
                unguarded::AfterTriggerBeginQuery();
                Writer { indexes, state, target, slot, row_context }
            })
        }
    }

    /// Changes the values of the slot, given as they were with their marks for null, and then writes it. Values live until
    /// then, and so does what they point to.
    ///
    /// # Safety
    /// `write` can be [`guarded`].
    unsafe fn row(
        &mut self,
        change: impl FnOnce(&mut [Datum], &mut [bool]),
        write: impl FnOnce(*mut pg_sys::ResultRelInfo, *mut pg_sys::EState, *mut pg_sys::TupleTableSlot),
    ) {
        let Writer { indexes, state, target, slot, row_context } = *self;
        // SAFETY: a slot has a value and a mark for each column of its table; it is empty before and after.
        unsafe {
            let memory = (*row_context).ecxt_per_tuple_memory;
            PgMemoryContexts::For(memory).switch_to(|_| {
                let count = (*(*slot).tts_tupleDescriptor).natts as usize;
                change(
                    std::slice::from_raw_parts_mut((*slot).tts_values, count),
                    std::slice::from_raw_parts_mut((*slot).tts_isnull, count),
                );
                guarded(|| {
                    unguarded::ExecStoreVirtualTuple(slot);
                    indexes.open_for(target, row_context, slot);
                    write(target, state, slot);
                    unguarded::ExecClearTuple(slot);
                    unguarded::MemoryContextReset(memory);
                });
            });
        }
    }

    /// Fires the triggers. Statements that come later see the rows.
    fn end(self) {
        // SAFETY: ends what was begun, in the order in which Postgres does.
        unsafe {
            guarded(|| {
                unguarded::ExecCloseIndices(self.target);
                unguarded::AfterTriggerEndQuery(self.state);
                // Those in which triggers were shown rows.
                unguarded::ExecResetTupleTable((*self.state).es_tupleTable, false);
                unguarded::ExecDropSingleTupleTableSlot(self.slot);
                unguarded::FreeExecutorState(self.state);
                unguarded::CommandCounterIncrement();
            });
        }
    }
}
