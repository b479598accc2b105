//! Runs SQL from Rust: one plan for each statement, kept for the session, and typed rows back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use pgrx::datum::{DatumWithOid, FromDatum, IntoDatum, TimestampWithTimeZone};
use pgrx::pg_sys::PgOid;
use pgrx::spi::{OwnedPreparedStatement, Spi, SpiClient, SpiError, SpiHeapTupleData};
use uuid::Uuid;

use crate::pg::interrupt;
use crate::pg::planner::{Plan, Planning};
use crate::value::amount::Amount;
use crate::value::book::{Book, Environment};
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::Failure;
use crate::value::wire_time::WireTime;

/// A value on its way into a statement.
pub type Arg<'a> = DatumWithOid<'a>;

/// What a statement may fail with; always a fault, never a refusal.
pub type DbResult<T> = Result<T, SpiError>;

impl From<SpiError> for Failure {
    fn from(error: SpiError) -> Self {
        Failure::Fault(error.to_string())
    }
}

thread_local! {
    static PLANS: RefCell<HashMap<(*const str, bool), Rc<OwnedPreparedStatement>>> = RefCell::default();
}

/// Runs a statement that only reads. Until the transaction writes, it sees the snapshot of the calling
/// statement: what must be seen after a lock was waited for is read with [`write()`].
pub fn read<T>(sql: &'static str, args: &[Arg], map: impl Fn(&Row) -> DbResult<T>) -> DbResult<Vec<T>> {
    run(sql, args, false, Some(Plan::ByKey), map)
}

/// Whether nothing can be written or locked here: the server is a standby, or the transaction is for reading only.
pub fn only_reads() -> bool {
    // SAFETY: reads a variable that only this backend has.
    unsafe { pgrx::pg_sys::XactReadOnly }
}

/// Runs a statement that writes or locks what it finds by keys, with a snapshot of its own, by a plan that is made once
/// for all.
pub fn write<T>(sql: &'static str, args: &[Arg], map: impl Fn(&Row) -> DbResult<T>) -> DbResult<Vec<T>> {
    run(sql, args, true, Some(Plan::OnceForAll), map)
}

/// [`read`] of a page of a list, or of how many there are: by indexes, planned for the filters that are given.
pub fn read_page<T>(sql: &'static str, args: &[Arg], map: impl Fn(&Row) -> DbResult<T>) -> DbResult<Vec<T>> {
    run(sql, args, false, Some(Plan::ForThisCall), map)
}

/// [`write()`] of what no key names, such as a range. Postgres plans it as it sees fit.
pub fn write_range<T>(
    sql: &'static str,
    args: &[Arg],
    map: impl Fn(&Row) -> DbResult<T>,
) -> DbResult<Vec<T>> {
    run(sql, args, true, None, map)
}

/// Runs a statement that writes and gives nothing back.
pub fn execute(sql: &'static str, args: &[Arg]) -> DbResult<()> {
    write(sql, args, |_| Ok(())).map(drop)
}

/// [`read`] by a plan that is made once for all: for what is found by its key, however many keys there are.
pub fn read_by_key<T>(
    sql: &'static str,
    args: &[Arg],
    map: impl Fn(&Row) -> DbResult<T>,
) -> DbResult<Vec<T>> {
    run(sql, args, false, Some(Plan::OnceForAll), map)
}

/// The rows that a statement takes as columns, each an array: `(3, "uuid", "account_id")` is a column of `$3`, of that
/// type and name.
macro_rules! rows {
    (($n:literal, $type:literal, $name:literal) $(, ($more_n:literal, $more_type:literal, $more_name:literal))*) => {
        concat!(
            "unnest($", $n, "::", $type, "[]" $(, ", $", $more_n, "::", $more_type, "[]")*,
            ") as r (", $name $(, ", ", $more_name)*, ")"
        )
    };
}
pub(crate) use rows;

fn run<T>(
    sql: &'static str,
    args: &[Arg],
    writes: bool,
    plan_as: Option<Plan>,
    map: impl Fn(&Row) -> DbResult<T>,
) -> DbResult<Vec<T>> {
    if writes {
        // A standby would say that it has no transaction ids to give, as if that were a fault of ours.
        // SAFETY: raises an error there, as a statement that writes does (25006), and does nothing elsewhere.
        unsafe { pgrx::pg_sys::PreventCommandDuringRecovery(c"INSERT".as_ptr()) };
    }
    let _planning = plan_as.map(|plan| Planning::begin(sql, plan));
    Spi::connect_mut(|client| {
        let plan = plan(client, sql, args, writes)?;
        let table =
            if writes { client.update(&*plan, None, args)? } else { client.select(&*plan, None, args)? };
        table
            .map(|tuple| {
                interrupt::check();
                map(&Row(tuple))
            })
            .collect()
    })
}

/// The statement's plan, made on first use. It is shared out, not lent: what the statement runs may
/// run statements of its own.
fn plan(
    client: &SpiClient,
    sql: &'static str,
    args: &[Arg],
    writes: bool,
) -> DbResult<Rc<OwnedPreparedStatement>> {
    PLANS.with_borrow_mut(|plans| match plans.entry((std::ptr::from_ref(sql), writes)) {
        Entry::Occupied(kept) => Ok(Rc::clone(kept.get())),
        Entry::Vacant(place) => {
            let types: Vec<PgOid> = args.iter().map(|arg| PgOid::from(arg.oid())).collect();
            let plan = if writes { client.prepare_mut(sql, &types)? } else { client.prepare(sql, &types)? };
            Ok(Rc::clone(place.insert(Rc::new(plan.keep()))))
        }
    })
}

/// One row of a result; columns count from 1, in the order of the statement's select list.
pub struct Row<'conn>(SpiHeapTupleData<'conn>);

impl Row<'_> {
    /// A column that the statement never leaves null.
    pub fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> DbResult<T> {
        self.0.get(column)?.ok_or(SpiError::InvalidPosition)
    }

    /// A column that may be null.
    pub fn maybe<T: FromDatum + IntoDatum>(&self, column: usize) -> DbResult<Option<T>> {
        self.0.get(column)
    }

    /// An amount that the database wrote as text, never null.
    pub fn amount(&self, column: usize) -> DbResult<Amount> {
        self.maybe_amount(column)?.ok_or(SpiError::InvalidPosition)
    }

    /// An amount that may be null.
    pub fn maybe_amount(&self, column: usize) -> DbResult<Option<Amount>> {
        let text = self.maybe::<String>(column)?;
        text.map(|text| text.parse().map_err(|_| SpiError::InvalidPosition)).transpose()
    }

    /// A time that is never null.
    pub fn timestamp(&self, column: usize) -> DbResult<PgTimestamp> {
        self.maybe_timestamp(column)?.ok_or(SpiError::InvalidPosition)
    }

    /// A time that may be null.
    pub fn maybe_timestamp(&self, column: usize) -> DbResult<Option<PgTimestamp>> {
        Ok(self.maybe::<TimestampWithTimeZone>(column)?.map(PgTimestamp::from))
    }

    /// Tenant, environment and wallet: the first three columns.
    pub fn book(&self) -> DbResult<Book> {
        let environment = Environment::parse(&self.get::<String>(2)?).ok_or(SpiError::InvalidPosition)?;
        Ok(Book { tenant_id: self.uuid(1)?, environment, wallet_id: self.uuid(3)? })
    }

    /// An id that is never null.
    pub fn uuid(&self, column: usize) -> DbResult<Uuid> {
        self.get::<pgrx::Uuid>(column).map(from_pg)
    }

    /// An id that may be null.
    pub fn maybe_uuid(&self, column: usize) -> DbResult<Option<Uuid>> {
        Ok(self.maybe::<pgrx::Uuid>(column)?.map(from_pg))
    }
}

/// An id as Postgres holds it.
pub fn pg_uuid(id: Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(id.into_bytes())
}

/// An id as Rust holds it.
pub fn from_pg(id: pgrx::Uuid) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// The argument list of a statement: `args![a, b, c]`, ids and all.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::pg::db::IntoArg::into_arg($value)),*] };
}
pub(crate) use args;

/// Whatever can be an argument of a statement.
pub trait IntoArg<'a> {
    /// The value with its SQL type.
    fn into_arg(self) -> Arg<'a>;
}

macro_rules! plain_args {
    ($($type:ty),*) => { $(
        impl<'a> IntoArg<'a> for $type {
            fn into_arg(self) -> Arg<'a> { self.into() }
        }
        impl<'a> IntoArg<'a> for Option<$type> {
            fn into_arg(self) -> Arg<'a> { self.into() }
        }
    )* };
}
plain_args!(bool, i16, i32, i64, &'a str, &'a [u8], String, TimestampWithTimeZone, pgrx::Inet);
plain_args!(Vec<String>, Vec<i32>, Vec<i64>, Vec<Option<String>>, Vec<pgrx::Uuid>);

impl<'a> IntoArg<'a> for Uuid {
    fn into_arg(self) -> Arg<'a> {
        pg_uuid(self).into()
    }
}

impl<'a> IntoArg<'a> for Option<Uuid> {
    fn into_arg(self) -> Arg<'a> {
        self.map(pg_uuid).into()
    }
}

impl<'a> IntoArg<'a> for &[Uuid] {
    fn into_arg(self) -> Arg<'a> {
        self.iter().copied().map(pg_uuid).collect::<Vec<_>>().into()
    }
}

impl<'a> IntoArg<'a> for PgTimestamp {
    fn into_arg(self) -> Arg<'a> {
        self.datum().into()
    }
}

impl<'a> IntoArg<'a> for Option<PgTimestamp> {
    fn into_arg(self) -> Arg<'a> {
        self.map(PgTimestamp::datum).into()
    }
}

impl<'a> IntoArg<'a> for WireTime {
    fn into_arg(self) -> Arg<'a> {
        PgTimestamp::from(self).into_arg()
    }
}

impl<'a> IntoArg<'a> for Option<WireTime> {
    fn into_arg(self) -> Arg<'a> {
        self.map(PgTimestamp::from).into_arg()
    }
}
