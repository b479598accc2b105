//! Tells a session that a reply is the first one to an earlier request: what the header Idempotent-Replayed is over HTTP. The
//! reply itself stays as it was, to the byte.

use std::cell::Cell;

use pgrx::prelude::*;

use crate::value::reply::Rendered;

thread_local! {
    /// Whether the last call had a reply that was given before; none before the first call.
    static LAST: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Notes what became of a call, and says so where something of it was asked before.
pub fn report(replies: &[Rendered]) {
    let replayed = replies.iter().filter(|reply| reply.replayed).count();
    LAST.set(Some(replayed > 0));
    match (replayed, replies.len()) {
        (0, _) => {}
        (_, 1) => {
            notice!("this request was made before: its first reply is given again, and nothing was done")
        }
        (_, count) => notice!(
            "{replayed} of {count} requests were made before: their first replies are given again, and nothing was done for them"
        ),
    }
}

/// Whether the last operation that this session called by SQL was one that was carried out before.
#[pg_extern(schema = "topup", volatile, parallel_restricted)]
#[search_path(pg_catalog, pg_temp)]
fn replayed() -> Option<bool> {
    LAST.get()
}
