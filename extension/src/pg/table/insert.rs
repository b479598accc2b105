//! New rows.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;

use pgrx::pg_sys::{self, Datum};

use super::value::Value;
use super::{Change, Column, Open, Writer, goes_past_executor, unguarded};
use crate::pg::db::{self, Arg, DbResult, IntoArg};

/// A row, column by column.
pub type NewRow<const N: usize> = [Value; N];

/// A table of schema topup, and the columns that its new rows give. The others are null.
pub struct Table<const N: usize> {
    pub name: &'static CStr,
    pub columns: [&'static str; N],
}

impl<const N: usize> Table<N> {
    /// Puts rows into it. Where it expects statements, each row is one.
    pub fn insert(&self, rows: &[NewRow<N>]) -> DbResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let table = Open::to_write(self.name);
        let columns =
            table.known.row_columns.get_or_init(|| self.columns.map(|name| table.column(name)).into());
        if table.takes_rows(columns) {
            table.put(columns, rows);
            return Ok(());
        }
        let sql = self.statement(columns);
        for row in rows {
            let texts = row.each_ref().map(Value::text);
            let arguments: Vec<Arg> = texts.iter().map(|text| text.as_deref().into_arg()).collect();
            db::execute(sql, &arguments)?;
        }
        Ok(())
    }

    /// The statement that puts a row into it, written once for the session.
    fn statement(&self, columns: &[Column]) -> &'static str {
        thread_local! {
            static STATEMENTS: RefCell<HashMap<&'static CStr, &'static str>> = RefCell::default();
        }
        let write = || -> &'static str {
            let cast = |(n, column): (usize, &Column)| format!("${}::{}", n + 1, column.type_name());
            let casts: Vec<String> = columns.iter().enumerate().map(cast).collect();
            let (table, names) = (self.name.to_string_lossy(), self.columns.join(", "));
            format!("insert into topup.{table} ({names}) values ({})", casts.join(", ")).leak()
        };
        STATEMENTS.with_borrow_mut(|statements| *statements.entry(self.name).or_insert_with(write))
    }
}

impl Open {
    /// Whether rows with these columns may be put into it without a statement.
    fn takes_rows(&self, columns: &[Column]) -> bool {
        let takes = || self.expects_rows(Change::Insert) && !self.fills_others(columns);
        goes_past_executor() && self.grants(pg_sys::ACL_INSERT) && *self.known.takes_rows.get_or_init(takes)
    }

    /// Whether columns that are not given would fill themselves, or a domain has a say in what they hold.
    fn fills_others(&self, given: &[Column]) -> bool {
        let columns = self.columns();
        let mut others = (0..columns.len()).filter(|n| given.iter().all(|column| column.position != *n));
        others.any(|n| {
            columns.get(n).is_some_and(|column| {
                // SAFETY: asks the catalog.
                let is_domain =
                    || unsafe { pg_sys::get_typtype(column.atttypid) } == pg_sys::TYPTYPE_DOMAIN as i8;
                !column.attisdropped && (column.atthasdef || column.attidentity != 0 || is_domain())
            })
        })
    }

    fn put<const N: usize>(&self, columns: &[Column], rows: &[NewRow<N>]) {
        // SAFETY: raises an error where nothing may be written.
        unsafe { pg_sys::PreventCommandIfReadOnly(c"INSERT".as_ptr()) };
        let mut writer = Writer::begin(self);
        for row in rows {
            let fill = |values: &mut [Datum], nulls: &mut [bool]| {
                nulls.fill(true);
                for (column, value) in columns.iter().zip(row) {
                    if let Some(datum) = value.datum(column) {
                        (values[column.position], nulls[column.position]) = (datum, false);
                    }
                }
            };
            // SAFETY: what it is given is ready.
            unsafe {
                writer.row(fill, |target, state, slot| {
                    unguarded::ExecSimpleRelationInsert(target, state, slot)
                });
            }
        }
        writer.end();
    }
}
