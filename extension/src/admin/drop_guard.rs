//! Stands before DROP EXTENSION: a ledger with entries is not dropped by accident.

use std::ffi::CStr;

use pgrx::prelude::*;
use pgrx::{PgList, pg_sys};

use crate::pg::db::{self, args};

/// Dropping the language of its trigger functions would take the extension along.
const TAKES_LEDGER_ALONG: [&CStr; 2] = [c"pg_topup", c"plpgsql"];

const HAS_ENTRIES: &str = "select exists (select from topup.entry)";

const OWNS_EXTENSION: &str = "
    select exists (select from pg_catalog.pg_extension e join pg_catalog.pg_roles r on r.oid = e.extowner
                    where e.extname = 'pg_topup' and r.rolname = any ($1))";

/// The event trigger's function. Postgres passes the parsed statement, so that the extension's name is
/// read from it and not guessed from the statement's text.
#[pg_extern(sql = "
    create function topup.refuse_drop() returns event_trigger
        language c security definer set search_path = pg_catalog, pg_temp
        as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
    create event trigger topup_refuse_drop on ddl_command_start
        when tag in ('DROP EXTENSION', 'DROP LANGUAGE', 'DROP OWNED') execute function topup.refuse_drop();
    alter event trigger topup_refuse_drop enable always;
")]
fn refuse_drop(fcinfo: pg_sys::FunctionCallInfo) {
    // SAFETY: an event trigger's function is called with EventTriggerData as its context.
    let parsed = unsafe {
        let data = (*fcinfo).context.cast::<pg_sys::EventTriggerData>();
        if data.is_null() || (*data).type_ != pg_sys::NodeTag::T_EventTriggerData {
            error!("topup.refuse_drop() is an event trigger");
        }
        (*data).parsetree
    };
    if drops_extension(parsed) && has_entries() {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
            "pg_topup holds a ledger with entries and is not dropped",
            "Dump the database first. To drop the ledger all the same, a superuser runs: \
             ALTER EVENT TRIGGER topup_refuse_drop DISABLE; and then DROP EXTENSION pg_topup CASCADE;"
        );
    }
}

fn drops_extension(statement: *mut pg_sys::Node) -> bool {
    // SAFETY: the node's tag says what it is; lists in it hold the node types of Postgres' grammar.
    unsafe {
        match (*statement).type_ {
            pg_sys::NodeTag::T_DropStmt => {
                let drop = statement.cast::<pg_sys::DropStmt>();
                let kind = (*drop).removeType;
                let is_of_kind = kind == pg_sys::ObjectType::OBJECT_EXTENSION
                    || kind == pg_sys::ObjectType::OBJECT_LANGUAGE;
                is_of_kind
                    && PgList::<pg_sys::Node>::from_pg((*drop).objects)
                        .iter_ptr()
                        .filter_map(|node| text_of(node))
                        .any(|name| TAKES_LEDGER_ALONG.contains(&name))
            }
            pg_sys::NodeTag::T_DropOwnedStmt => {
                let owned = statement.cast::<pg_sys::DropOwnedStmt>();
                let roles: Vec<String> = PgList::<pg_sys::RoleSpec>::from_pg((*owned).roles)
                    .iter_ptr()
                    .map(|role| pg_sys::get_rolespec_name(role))
                    .map(|name| CStr::from_ptr(name).to_string_lossy().into_owned())
                    .collect();
                matches!(db::read(OWNS_EXTENSION, args![roles], |row| row.get(1)).as_deref(), Ok([true]))
            }
            _ => false,
        }
    }
}

/// The text of a String node.
unsafe fn text_of<'a>(node: *mut pg_sys::Node) -> Option<&'a CStr> {
    // SAFETY: the caller passes a node of the statement; the tag is checked before the cast.
    unsafe {
        if (*node).type_ != pg_sys::NodeTag::T_String {
            return None;
        }
        Some(CStr::from_ptr((*node.cast::<pg_sys::String>()).sval))
    }
}

fn has_entries() -> bool {
    match db::read(HAS_ENTRIES, args![], |row| row.get(1)) {
        Ok(rows) => rows.contains(&true),
        Err(fault) => error!("{fault}"),
    }
}
