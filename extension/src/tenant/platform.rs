//! The platforms that credit can be sent for: few, and the same for all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::pg::cache::Cache;
use crate::pg::db::{self, DbResult, args};
use crate::value::amount::Cents;

/// What may be sent for a platform, and whether it is delivered at once.
pub struct Platform {
    pub min: Cents,
    pub max: Cents,
    pub is_instant: bool,
}

/// By name.
pub type Platforms = HashMap<String, Platform>;

thread_local! {
    static PLATFORMS: RefCell<Cache<(), Platforms>> = RefCell::default();
}

const ALL: &str = "select platform, min_cents, max_cents, delivery = 'instant' from topup.platform";

/// All of them.
pub fn all() -> DbResult<Rc<Platforms>> {
    let read = || {
        let rows = db::read(ALL, args![], |row| {
            let platform =
                Platform { min: Cents(row.get(2)?), max: Cents(row.get(3)?), is_instant: row.get(4)? };
            Ok((row.get::<String>(1)?, platform))
        })?;
        Ok(rows.into_iter().collect())
    };
    Cache::get(&PLATFORMS, (), read, |_| true)
}
