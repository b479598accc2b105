//! Bounds of what SQL callers give: each is checked before anything is allocated by it.

use std::fmt;
use std::marker::PhantomData;

use pgrx::datum::UnboxDatum;
use pgrx::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Bytes of one request, and of any `jsonb` argument: sixteen times what the gateway takes unless told otherwise.
pub const REQUEST_BYTES_MAX: usize = 1 << 24;

/// Ends the statement because of an argument that it cannot take.
pub fn refuse_argument(message: String) -> ! {
    ereport!(ERROR, PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message);
}

/// The elements of an array argument, which has at most so many.
pub fn elements<'a, T: UnboxDatum>(
    name: &str,
    array: &'a Array<'_, T>,
    count_max: usize,
) -> Vec<Option<T::As<'a>>> {
    if array.len() > count_max {
        refuse_argument(format!("{name} has {} elements and may have {count_max}", array.len()));
    }
    array.iter().collect()
}

/// A JSON array of at most `MAX` values. A longer one is not read to its end.
pub struct AtMost<T, const MAX: usize>(pub Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AtMostVisitor(PhantomData))
    }
}

struct AtMostVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for AtMostVisitor<T, MAX> {
    type Value = AtMost<T, MAX>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "an array of at most {MAX} values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            if values.len() == MAX {
                return Err(A::Error::custom(format!("more than {MAX} values")));
            }
            values.push(value);
        }
        Ok(AtMost(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_too_long_is_refused_before_its_end() {
        let read = |text: &str| serde_json::from_str::<AtMost<u8, 2>>(text).map(|list| list.0);
        assert!(read("[]").unwrap().is_empty());
        assert_eq!(read("[1,2]").unwrap(), [1, 2]);
        assert!(read("[1,2,3, and no JSON").unwrap_err().to_string().starts_with("more than 2 values"));
        assert!(read("{}").unwrap_err().to_string().contains("an array of at most 2 values"));
    }
}
