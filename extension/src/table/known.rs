//! What is known of tables, by the constants that name them and their columns, until Postgres tells of a change of some
//! relation: to find it out costs as much as to insert a row.

use std::cell::{OnceCell, RefCell};
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::pg_sys::Oid;

use super::Column;
use crate::cache;

/// A table that had its name when it was last opened.
pub struct Known {
    pub id: Oid,
    /// Whether what [`super::Table`] has of it may be put into it without statements, as far as that is its own affair.
    pub takes_rows: OnceCell<bool>,
    /// The same of rows that are changed.
    pub takes_changes: OnceCell<bool>,
    columns: RefCell<Vec<(&'static str, Column)>>,
}

/// Tables as they were after so many changes. They are few.
#[derive(Default)]
struct Tables {
    changes: u64,
    known: Vec<(&'static CStr, Rc<Known>)>,
}

thread_local! {
    static TABLES: RefCell<Tables> = RefCell::default();
}

/// The table of a name, if it is known after so many changes.
pub fn find(name: &'static CStr, changes: u64) -> Option<Rc<Known>> {
    TABLES.with_borrow(|tables| {
        let mut known = tables.known.iter().filter(|_| tables.changes == changes);
        known.find(|(other, _)| std::ptr::eq(*other, name)).map(|(_, table)| Rc::clone(table))
    })
}

/// Keeps which table has a name. It is locked, so that the name is its own for now.
pub fn keep(name: &'static CStr, id: Oid) -> Rc<Known> {
    let (takes_rows, takes_changes) = Default::default();
    let table = Rc::new(Known { id, takes_rows, takes_changes, columns: RefCell::default() });
    let changes = cache::relation_changes();
    TABLES.with_borrow_mut(|tables| {
        if tables.changes != changes {
            *tables = Tables { changes, known: Vec::new() };
        }
        tables.known.push((name, Rc::clone(&table)));
    });
    table
}

impl Known {
    /// The column of a name, which `look_up` finds the first time.
    pub fn column(&self, name: &'static str, look_up: impl FnOnce() -> Column) -> Column {
        let found = self.columns.borrow().iter().find(|(other, _)| std::ptr::eq(*other, name)).copied();
        if let Some((_, column)) = found {
            return column;
        }
        let column = look_up();
        self.columns.borrow_mut().push((name, column));
        column
    }
}
