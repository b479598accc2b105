//! Holds and grants of customers' accounts.

use super::{CREATED, OK, WALLETS, WALLETS_KEYED};
use crate::operation::{Operation, of};
use crate::wallet::grant_list::GrantList;
use crate::wallet::hold::finish::{Look, Release, Settle};
use crate::wallet::hold::reserve::Reserve;

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/{account_id}/grants")),
        surface: OK,
        summary: "Credit grants of an account",
        description: "Credit that expires or begins later, newest first, with what can be spent of each now.",
        ..of::<GrantList>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/holds")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Hold credit",
        description: "Sets an amount aside before it is known what a call costs. Never overdraws; released by itself at \
                      expires_at; once for each transaction_id, if one is given.",
        ..of::<Reserve>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/holds/{hold_id}/settle")),
        surface: OK,
        terms: WALLETS,
        summary: "Settle a hold",
        description: "Books what was really used and gives back the rest, to the grants it came from. More than was held \
                      only with allow_over, and as far as the available balance covers it. Twice with one amount is fine.",
        ..of::<Settle>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/holds/{hold_id}/release")),
        surface: OK,
        terms: WALLETS,
        summary: "Release a hold",
        description: "Gives all of it back. Twice, or after it has expired, is fine.",
        ..of::<Release>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/holds/{hold_id}")),
        surface: OK,
        summary: "Look up a hold",
        description: "The hold as it stands now: open, settled, released or expired.",
        ..of::<Look>()
    },
];
