//! What rows hold, on its way into them.

use std::borrow::Cow;
use std::ffi::{c_char, c_int};

use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum};
use uuid::Uuid;

use super::Column;
use crate::value::pg_timestamp::PgTimestamp;

/// What a row holds in a column.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Uuid(Uuid),
    Uuids(Vec<Uuid>),
    SmallInt(i16),
    BigInt(i64),
    Integer(i32),
    Time(PgTimestamp),
    Bytes(Vec<u8>),
    /// Days since 2000.
    Day(i32),
    /// As the column's type reads it.
    Text(Cow<'static, str>),
}

macro_rules! value_from {
    ($($type:ty => |$value:ident| $made:expr),* $(,)?) => { $(
        impl From<$type> for Value {
            fn from($value: $type) -> Value { $made }
        }
        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Value { value.map_or(Value::Null, Value::from) }
        }
    )* };
}
value_from! {
    Uuid => |value| Value::Uuid(value),
    Vec<Uuid> => |value| Value::Uuids(value),
    i64 => |value| Value::BigInt(value),
    i32 => |value| Value::Integer(value),
    PgTimestamp => |value| Value::Time(value),
    [u8; 32] => |value| Value::Bytes(value.to_vec()),
    Vec<u8> => |value| Value::Bytes(value),
    i16 => |value| Value::SmallInt(value),
    bool => |value| Value::Text(Cow::Borrowed(if value { "true" } else { "false" })),
    &'static str => |value| Value::Text(Cow::Borrowed(value)),
    String => |value| Value::Text(Cow::Owned(value)),
}

impl Value {
    /// As its type reads it.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Value::Null => return None,
            Value::Uuid(id) => id.to_string().into(),
            Value::Uuids(ids) => {
                let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
                format!("{{{}}}", ids.join(",")).into()
            }
            Value::SmallInt(number) => number.to_string().into(),
            Value::BigInt(number) => number.to_string().into(),
            Value::Integer(number) => number.to_string().into(),
            Value::Time(at) => at.request_text().into(),
            Value::Bytes(bytes) => {
                bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")).into()
            }
            Value::Day(day) => pgrx::datum::Date::saturating_from_raw(*day).to_string().into(),
            Value::Text(text) => Cow::Borrowed(text),
        })
    }

    /// As the column holds it: in the current memory context, or in this value, and so no longer than both are there.
    pub(super) fn datum(&self, column: &Column) -> Option<Datum> {
        if column.type_mod != -1 {
            return self.text().map(|text| column.read(&text));
        }
        match (self, column.type_oid) {
            (Value::Uuid(id), pg_sys::UUIDOID) => Some(bytes_of(id)),
            (Value::Uuids(ids), pg_sys::UUIDARRAYOID) => Some(array(ids)),
            (Value::SmallInt(number), pg_sys::INT2OID) => number.into_datum(),
            (Value::BigInt(number), pg_sys::INT8OID) => number.into_datum(),
            (Value::Integer(number), pg_sys::INT4OID) => number.into_datum(),
            (Value::Time(at), pg_sys::TIMESTAMPTZOID) => at.datum().into_datum(),
            (Value::Bytes(bytes), pg_sys::BYTEAOID) => bytes.as_slice().into_datum(),
            (Value::Day(day), pg_sys::DATEOID) => day.into_datum(),
            (Value::Text(text), pg_sys::TEXTOID) => text.as_ref().into_datum(),
            _ => self.text().map(|text| column.read(&text)),
        }
    }
}

/// An id as Postgres has it: a pointer to its 16 bytes.
fn bytes_of(id: &Uuid) -> Datum {
    Datum::from(id.as_bytes().as_ptr())
}

fn array(ids: &[Uuid]) -> Datum {
    let mut elements: Vec<Datum> = ids.iter().map(bytes_of).collect();
    let (count, length) = (ids.len() as c_int, size_of::<Uuid>() as c_int);
    // SAFETY: copies so many ids, of 16 bytes that may stand anywhere.
    unsafe {
        let align = pg_sys::TYPALIGN_CHAR as c_char;
        pg_sys::construct_array(elements.as_mut_ptr(), count, pg_sys::UUIDOID, length, false, align).into()
    }
}

/// The values of a row: `row![a, b, c]`.
macro_rules! row {
    ($($value:expr),* $(,)?) => { [$($crate::pg::table::Value::from($value)),*] };
}
pub(crate) use row;
