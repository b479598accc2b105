//! Rows of a small table that no index leads to, whether or not they are committed.

use pgrx::datum::FromDatum;
use pgrx::pg_sys::{self, Datum};

use super::{Open, goes_past_executor};

/// Whether a column has a value, in some row, that passes; rows that are about to be committed count as well, which no
/// statement can see. None where rows are to be read by statements alone.
pub fn any_uncommitted<T: FromDatum>(
    name: &'static std::ffi::CStr,
    column: &'static str,
    passes: impl Fn(T) -> bool,
) -> Option<bool> {
    if !goes_past_executor() {
        return None;
    }
    let table = Open::to_read(name);
    if !table.is_plain() {
        return None;
    }
    let column = table.column(column);
    let mut snapshot =
        pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY, ..Default::default() };
    // SAFETY: the table is open until after the scan, and each tuple is read before the next one comes. An error in between
    // leaves the scan to the end of the transaction.
    unsafe {
        let (relation, none) = (table.as_ptr(), pg_sys::Oid::INVALID);
        let scan = pg_sys::systable_beginscan(relation, none, false, &mut snapshot, 0, std::ptr::null_mut());
        let mut is_found = false;
        while !is_found {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            let mut is_null = false;
            let attribute = column.position as i32 + 1;
            let value: Datum = pg_sys::heap_getattr(tuple, attribute, (*relation).rd_att, &mut is_null);
            is_found = T::from_polymorphic_datum(value, is_null, column.type_oid).is_some_and(&passes);
        }
        pg_sys::systable_endscan(scan);
        Some(is_found)
    }
}
