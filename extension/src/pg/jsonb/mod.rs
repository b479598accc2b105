//! `jsonb` in and out as text, so that numbers stay exact.

mod binary;
mod document;

use std::ffi::{CStr, CString};

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum, IntoDatum};
use pgrx::nullable::Nullable;
use pgrx::prelude::*;
use pgrx::{direct_function_call, direct_function_call_as_datum, impl_sql_translatable, pg_sys};

use crate::pg::bound::REQUEST_BYTES_MAX;

/// The text of a `jsonb` value.
pub struct JsonbText(pub String);

impl_sql_translatable!(JsonbText, "jsonb");

impl JsonbText {
    /// As Postgres stores it; none for what is left to Postgres: fractions, zero bytes, and what is not JSON.
    fn binary(&self) -> Option<Vec<u8>> {
        if self.0.contains("\\u0000") {
            return None;
        }
        binary::write(&serde_json::from_str(&self.0).ok()?)
    }
}

/// Copies a value that begins with room for its length.
fn varlena(bytes: &[u8]) -> pg_sys::Datum {
    // SAFETY: room for all of it, in the current memory context; its length is set as of a value of four bytes' header.
    unsafe {
        let value: *mut pg_sys::varlena = pg_sys::palloc(bytes.len()).cast();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast(), bytes.len());
        pgrx::set_varsize_4b(value, bytes.len() as i32);
        value.into()
    }
}

impl FromDatum for JsonbText {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the caller vouches that the datum is a jsonb, whose header tells its size.
        let size = unsafe { pg_sys::toast_raw_datum_size(datum) };
        if size as usize > REQUEST_BYTES_MAX {
            let message = format!("a jsonb argument may have {REQUEST_BYTES_MAX} bytes, and this has {size}");
            ereport!(ERROR, PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message);
        }
        // SAFETY: the caller vouches that the datum is a jsonb; jsonb_out detoasts it and returns a C string.
        let text = unsafe { direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(datum)]) }?;
        Some(JsonbText(text.to_string_lossy().into_owned()))
    }
}

impl IntoDatum for JsonbText {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        if let Some(bytes) = self.binary() {
            return Some(varlena(&bytes));
        }
        let text = CString::new(self.0).ok()?;
        // SAFETY: jsonb_in takes a C string, and raises an error where it is not JSON.
        unsafe { direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(text.as_ptr().into())]) }
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: passes through FromDatum, which handles null.
unsafe impl<'fcx> ArgAbi<'fcx> for JsonbText {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: SQL declares the argument as jsonb.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or_else(|| JsonbText("null".to_owned()))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: SQL declares the argument as jsonb.
        unsafe { arg.unbox_arg_using_from_datum().into() }
    }
}

// SAFETY: the datum is of the type that SQL declares.
unsafe impl BoxRet for JsonbText {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: as above.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}
