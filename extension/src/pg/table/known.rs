//! What is known of tables, by the constants that name them and their columns, and of enums, until Postgres tells of a change
//! of some of them: to find it out costs as much as to insert a row.

use std::cell::{OnceCell, RefCell};
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::pg_sys::{Datum, Oid};

use super::Column;
use super::index::Indexes;
use crate::pg::cache;

/// A table that had its name when it was last opened.
pub struct KnownTable {
    pub id: Oid,
    /// Where [`super::Table`] has its values.
    pub row_columns: OnceCell<Box<[Column]>>,
    /// Whether what [`super::Table`] has of it may be put into it without statements, as far as that is its own affair.
    pub takes_rows: OnceCell<bool>,
    /// The same of rows that are changed.
    pub takes_changes: OnceCell<bool>,
    pub indexes: OnceCell<Indexes>,
    columns: RefCell<Vec<(&'static str, Column)>>,
}

/// Tables and enums as they were after so many changes. They are few.
#[derive(Default)]
struct Catalog {
    changes: u64,
    tables: Vec<(&'static CStr, Rc<KnownTable>)>,
    labels: Vec<(Oid, String, Datum)>,
}

thread_local! {
    static CATALOG: RefCell<Catalog> = RefCell::default();
}

impl Catalog {
    /// With nothing in it that is older.
    fn after(&mut self, changes: u64) -> &mut Catalog {
        if self.changes != changes {
            *self = Catalog { changes, ..Catalog::default() };
        }
        self
    }
}

/// The table of a name, if it is known after so many changes.
pub fn find(name: &'static CStr, changes: u64) -> Option<Rc<KnownTable>> {
    CATALOG.with_borrow_mut(|catalog| {
        let mut tables = catalog.after(changes).tables.iter();
        tables.find(|(other, _)| std::ptr::eq(*other, name)).map(|(_, table)| Rc::clone(table))
    })
}

/// Keeps which table has a name. It is locked, so that the name is its own for now.
pub fn keep(name: &'static CStr, id: Oid) -> Rc<KnownTable> {
    let table = Rc::new(KnownTable {
        id,
        row_columns: OnceCell::new(),
        takes_rows: OnceCell::new(),
        takes_changes: OnceCell::new(),
        indexes: OnceCell::new(),
        columns: RefCell::default(),
    });
    let changes = cache::catalog_changes();
    CATALOG.with_borrow_mut(|catalog| catalog.after(changes).tables.push((name, Rc::clone(&table))));
    table
}

/// The value of an enum's label, which `read` finds the first time; or of what else it says is no such label.
pub fn label(type_id: Oid, text: &str, read: impl FnOnce() -> (Datum, bool)) -> Datum {
    let changes = cache::catalog_changes();
    let found = CATALOG.with_borrow_mut(|catalog| {
        let mut labels = catalog.after(changes).labels.iter();
        labels.find(|(id, label, _)| *id == type_id && label == text).map(|(_, _, value)| *value)
    });
    if let Some(value) = found {
        return value;
    }
    let (value, is_label) = read();
    if is_label && cache::catalog_changes() == changes {
        CATALOG
            .with_borrow_mut(|catalog| catalog.after(changes).labels.push((type_id, text.to_owned(), value)));
    }
    value
}

impl KnownTable {
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
