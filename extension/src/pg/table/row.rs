//! One row, found by a unique index; read, or locked and changed.

use std::ffi::{CStr, c_int};
use std::ops::Deref;

use pgrx::pg_sys::{self, Datum, Oid, TransactionId};
use pgrx::spi::SpiError;
use pgrx::{FromDatum, IntoDatum};

use super::unguarded::{self, guarded};
use super::value::Value;
use super::{Column, Open, Writer, goes_past_executor};
use crate::pg::db::DbResult;
use crate::value::amount::Amount;

/// The most columns of an index by which rows are found.
const KEY_MAX: usize = 4;

/// What came of looking for a row.
pub enum Found<R> {
    Row(R),
    NoRow,
    /// A statement is to ask: because of the table, of `topup.write_path`, or of a transaction that has one snapshot from its
    /// beginning.
    ByStatement,
}

/// Which unique index leads to a row.
#[derive(Clone, Copy)]
pub enum By {
    PrimaryKey,
    Index(&'static CStr),
}

/// A row as it was found.
pub struct Row {
    slot: *mut pg_sys::TupleTableSlot,
    table: Open,
}

/// A row that is locked until the transaction ends, as the last transaction before has left it.
pub struct LockedRow(Row);

/// Where a row is that this transaction has locked.
#[derive(Clone, Copy, Debug)]
pub struct Place(pg_sys::ItemPointerData);

/// A function of [`unguarded`] that gives a snapshot.
type TakeSnapshot = unsafe extern "C-unwind" fn() -> pg_sys::Snapshot;

/// Finds the row of a key, as the active snapshot sees it.
pub fn find(name: &'static CStr, by: By, key: &[Value]) -> Found<Row> {
    find_in(name, by, key, unguarded::GetActiveSnapshot)
}

/// Finds the row of a key as it is by now: for who holds a lock without which no such row is written, or can do with one that
/// comes a moment later.
pub fn find_latest(name: &'static CStr, by: By, key: &[Value]) -> Found<Row> {
    if has_one_snapshot() {
        return Found::ByStatement;
    }
    find_in(name, by, key, unguarded::GetLatestSnapshot)
}

fn find_in(name: &'static CStr, by: By, key: &[Value], snapshot: TakeSnapshot) -> Found<Row> {
    if !goes_past_executor() {
        return Found::ByStatement;
    }
    let table = Open::to_read(name);
    if !table.is_plain() {
        return Found::ByStatement;
    }
    let row = Row::of(table);
    let search = Search::begin(&row, by, key, pg_sys::AccessShareLock);
    let is_found = search.run(snapshot, |_| ()).is_some();
    search.end();
    if is_found { Found::Row(row) } else { Found::NoRow }
}

/// Locks the row of a primary key, once those who have it locked are done: `select for update`.
pub fn lock(name: &'static CStr, key: &[Value]) -> Found<LockedRow> {
    latest(name, key, Row::lock)
}

/// The row of a primary key that everybody who changes it has locked together with another one: [`lock`] for who holds that.
pub fn lock_along(name: &'static CStr, key: &[Value]) -> Found<LockedRow> {
    latest(name, key, |_, _| pg_sys::TM_Result::TM_Ok)
}

/// The row of a primary key as it is by now, once `take` has got it.
fn latest(
    name: &'static CStr,
    key: &[Value],
    take: fn(&Row, pg_sys::Snapshot) -> pg_sys::TM_Result::Type,
) -> Found<LockedRow> {
    if !goes_past_executor() {
        return Found::ByStatement;
    }
    let table = Open::to_write(name);
    if has_one_snapshot() || !table.takes_changes() {
        return Found::ByStatement;
    }
    // SAFETY: raises an error where nothing may be locked. What the transaction reads later is read with snapshots of its
    // own once it has an id, which a lock that it holds already would not give it.
    unsafe {
        pg_sys::PreventCommandIfReadOnly(c"SELECT FOR UPDATE".as_ptr());
        pg_sys::GetCurrentTransactionId();
    }
    let row = Row::of(table);
    // As it is locked to be written, lest it be locked twice.
    let search = Search::begin(&row, By::PrimaryKey, key, pg_sys::RowExclusiveLock);
    let found = loop {
        match search.run(unguarded::GetLatestSnapshot, |snapshot| take(&row, snapshot)) {
            None => break false,
            Some(pg_sys::TM_Result::TM_Ok) => break true,
            // It has gone, or moved, while it was waited for.
            Some(pg_sys::TM_Result::TM_Deleted | pg_sys::TM_Result::TM_Updated) => {}
            Some(other) => pgrx::error!("a row cannot be locked: {other}"),
        }
    };
    search.end();
    if found { Found::Row(LockedRow(row)) } else { Found::NoRow }
}

/// The row that this transaction has locked at a place: [`lock`] without a search. None where it was changed since then, and
/// so is elsewhere.
pub fn locked_at(name: &'static CStr, Place(mut place): Place) -> Option<LockedRow> {
    if !goes_past_executor() {
        return None;
    }
    let row = Row::of(Open::to_write(name));
    // SAFETY: the table is open and the slot is one of its kind. A row that is locked stays where it is.
    let is_there = row.table.takes_changes()
        && unsafe {
            let snapshot = &raw mut pg_sys::SnapshotSelfData;
            pg_sys::table_tuple_fetch_row_version(row.table.as_ptr(), &mut place, snapshot, row.slot)
        };
    is_there.then_some(LockedRow(row))
}

fn has_one_snapshot() -> bool {
    // SAFETY: reads a variable that only this backend has.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ as c_int }
}

/// A unique index that is searched for a key.
struct Search<'a> {
    row: &'a Row,
    index: pg_sys::Relation,
    keys: [pg_sys::ScanKeyData; KEY_MAX],
    /// What they point into.
    key: &'a [Value],
}

impl<'a> Search<'a> {
    fn begin(row: &'a Row, by: By, key: &'a [Value], lock: u32) -> Search<'a> {
        let table = row.table.as_ptr();
        // SAFETY: the table is open; an error is raised where there is no such index.
        let index = unsafe {
            guarded(|| {
                let id = match by {
                    By::PrimaryKey => unguarded::RelationGetPrimaryKeyIndex(table),
                    By::Index(name) => {
                        unguarded::get_relname_relid(name.as_ptr(), (*(*table).rd_rel).relnamespace)
                    }
                };
                unguarded::index_open(id, lock as pg_sys::LOCKMODE)
            })
        };
        let mut keys = [pg_sys::ScanKeyData::default(); KEY_MAX];
        // SAFETY: as above.
        unsafe { fill_keys(&mut keys, index, key) };
        Search { row, index, keys, key }
    }

    /// Puts the row to which the index leads into its slot, and says what `then` makes of it.
    fn run<T>(&self, snapshot: TakeSnapshot, then: impl FnOnce(pg_sys::Snapshot) -> T) -> Option<T> {
        let (table, keys, count) =
            (self.row.table.as_ptr(), self.keys.as_ptr().cast_mut(), self.key.len() as c_int);
        // SAFETY: the scan ends before what it reads from; the slot is one of this table.
        unsafe {
            let (snapshot, scan, is_found) = guarded(|| {
                let snapshot = unguarded::RegisterSnapshot(snapshot());
                let scan = unguarded::index_beginscan(table, self.index, snapshot, count, 0);
                unguarded::index_rescan(scan, keys, count, std::ptr::null_mut(), 0);
                let forward = pg_sys::ScanDirection::ForwardScanDirection;
                (snapshot, scan, unguarded::index_getnext_slot(scan, forward, self.row.slot))
            });
            let result = is_found.then(|| then(snapshot));
            guarded(|| {
                unguarded::index_endscan(scan);
                unguarded::UnregisterSnapshot(snapshot);
            });
            result
        }
    }

    fn end(self) {
        // SAFETY: it was opened once. Its lock stays.
        unsafe { pg_sys::index_close(self.index, pg_sys::NoLock as pg_sys::LOCKMODE) };
    }
}

impl Row {
    fn of(table: Open) -> Row {
        // SAFETY: the table is open, and a slot of its kind goes before it.
        let slot = unsafe {
            guarded(|| {
                let columns = (*table.as_ptr()).rd_att;
                unguarded::MakeSingleTupleTableSlot(columns, unguarded::table_slot_callbacks(table.as_ptr()))
            })
        };
        Row { slot, table }
    }

    /// Locks the latest version of the row that was found.
    fn lock(&self, snapshot: pg_sys::Snapshot) -> pg_sys::TM_Result::Type {
        // SAFETY: the slot holds a row of the table, which the lock replaces by its latest version.
        unsafe {
            let mut place = (*self.slot).tts_tid;
            let mut failure = pg_sys::TM_FailureData::default();
            pg_sys::table_tuple_lock(
                self.table.as_ptr(),
                &mut place,
                snapshot,
                self.slot,
                pg_sys::GetCurrentCommandId(false),
                pg_sys::LockTupleMode::LockTupleExclusive,
                pg_sys::LockWaitPolicy::LockWaitBlock,
                pg_sys::TUPLE_LOCK_FLAG_FIND_LAST_VERSION as u8,
                &mut failure,
            )
        }
    }

    fn datum(&self, column: &Column) -> Option<Datum> {
        // SAFETY: the slot holds a row of the table, and all its values once they are read.
        unsafe {
            if (*self.slot).tts_nvalid as usize <= column.position {
                pg_sys::slot_getallattrs(self.slot);
            }
            let is_null = *(*self.slot).tts_isnull.add(column.position);
            (!is_null).then(|| *(*self.slot).tts_values.add(column.position))
        }
    }

    /// What a column holds; none where it is null.
    pub fn maybe<T: FromDatum + IntoDatum>(&self, name: &'static str) -> DbResult<Option<T>> {
        let column = self.table.column(name);
        if !T::is_compatible_with(column.type_oid) {
            return Err(SpiError::InvalidPosition);
        }
        // SAFETY: the value is of the column's type, which is as expected, and not null.
        Ok(self
            .datum(&column)
            .and_then(|datum| unsafe { T::from_polymorphic_datum(datum, false, column.type_oid) }))
    }

    /// What a column holds that is never null.
    pub fn get<T: FromDatum + IntoDatum>(&self, name: &'static str) -> DbResult<T> {
        self.maybe(name)?.ok_or(SpiError::InvalidPosition)
    }

    pub fn is_null(&self, name: &'static str) -> bool {
        self.datum(&self.table.column(name)).is_none()
    }

    /// What a column holds, as its type writes it; none where it is null.
    pub fn text(&self, name: &'static str) -> Option<String> {
        let column = self.table.column(name);
        self.datum(&column).map(|datum| column.write(datum))
    }

    /// An amount; none where it is null.
    pub fn maybe_amount(&self, name: &'static str) -> DbResult<Option<Amount>> {
        let amount = self.text(name).map(|text| text.parse());
        amount.transpose().map_err(|_| SpiError::InvalidPosition)
    }

    /// An amount that is never null.
    pub fn amount(&self, name: &'static str) -> DbResult<Amount> {
        self.maybe_amount(name)?.ok_or(SpiError::InvalidPosition)
    }

    /// Who wrote it.
    pub fn writer(&self) -> TransactionId {
        let mut is_null = false;
        // SAFETY: a row out of a table has this column.
        let id = unsafe {
            pg_sys::slot_getsysattr(self.slot, pg_sys::MinTransactionIdAttributeNumber, &mut is_null)
        };
        TransactionId::from_inner(id.value() as u32)
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        // SAFETY: made with it, and used by nobody else. The table is closed after this.
        unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
    }
}

impl Deref for LockedRow {
    type Target = Row;
    fn deref(&self) -> &Row {
        &self.0
    }
}

impl LockedRow {
    pub fn place(&self) -> Place {
        // SAFETY: the slot holds a row of the table.
        Place(unsafe { (*self.slot).tts_tid })
    }

    /// Gives columns other values.
    pub fn update(self, changes: &[(&'static str, Value)]) {
        let mut writer = Writer::begin(&self.table);
        let old = self.slot;
        let change = |values: &mut [Datum], nulls: &mut [bool]| {
            // SAFETY: both slots are of this table, and the old one has all values once they are read.
            unsafe {
                pg_sys::slot_getallattrs(old);
                values.copy_from_slice(std::slice::from_raw_parts((*old).tts_values, values.len()));
                nulls.copy_from_slice(std::slice::from_raw_parts((*old).tts_isnull, nulls.len()));
            }
            for (name, value) in changes {
                let column = self.table.column(name);
                let datum = value.datum(&column);
                nulls[column.position] = datum.is_none();
                values[column.position] = datum.unwrap_or(Datum::from(0));
            }
        };
        // SAFETY: what it is given is ready; the old row is locked.
        unsafe {
            writer.row(change, |target, state, slot| {
                let mut recheck = pg_sys::EPQState::default();
                let none = std::ptr::null_mut();
                unguarded::EvalPlanQualInit(&mut recheck, state, none, std::ptr::null_mut(), -1);
                unguarded::ExecSimpleRelationUpdate(target, state, &mut recheck, old, slot);
            });
        }
        writer.end();
    }
}

/// Writes the values by which an index is searched, column by column.
///
/// # Safety
/// The index is open.
unsafe fn fill_keys(keys: &mut [pg_sys::ScanKeyData; KEY_MAX], index: pg_sys::Relation, key: &[Value]) {
    // SAFETY: the index describes its columns, and stays open.
    let columns = unsafe { pgrx::PgTupleDesc::from_pg_unchecked((*index).rd_att) };
    if columns.len() != key.len() {
        pgrx::error!("an index of {} columns, of which {} are given", columns.len(), key.len());
    }
    let mut values = [(pg_sys::Oid::INVALID, Datum::from(0)); KEY_MAX];
    for (n, (value, column)) in key.iter().zip(columns.iter()).enumerate() {
        let type_oid: Oid = column.atttypid;
        let equals = match type_oid {
            pg_sys::UUIDOID => pg_sys::F_UUID_EQ,
            pg_sys::DATEOID => pg_sys::F_DATE_EQ,
            pg_sys::BYTEAOID => pg_sys::F_BYTEAEQ,
            pg_sys::TEXTOID => pg_sys::F_TEXTEQ,
            // SAFETY: asks the catalog.
            other if unsafe { pg_sys::type_is_enum(other) } => pg_sys::F_ENUM_EQ,
            other => pgrx::error!("rows are not found by a key of type {other}"),
        };
        let datum = value.datum(&Column { position: n, type_oid, type_mod: -1 });
        values[n] = (equals.into(), datum.unwrap_or_else(|| pgrx::error!("a key is never null")));
    }
    // SAFETY: the entries are there, and so is the collation of each column.
    unsafe {
        guarded(|| {
            let equal = pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber;
            for (n, (entry, (equals, datum))) in keys.iter_mut().zip(values).take(key.len()).enumerate() {
                unguarded::ScanKeyInit(entry, n as pg_sys::AttrNumber + 1, equal, equals, datum);
                entry.sk_collation = *(*index).rd_indcollation.add(n);
            }
        });
    }
}
