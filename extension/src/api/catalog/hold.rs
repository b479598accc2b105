//! Holds and grants of customers' accounts.

use super::{CREATED, OK, WALLETS, WALLETS_KEYED};
use crate::operation::definition::{Example, Operation, of};
use crate::wallet::grant_list::GrantList;
use crate::wallet::hold::finish::{Get, Release, Settle};
use crate::wallet::hold::reserve::Reserve;

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/{account_id}/grants")),
        surface: OK,
        summary: "Credit grants of an account",
        description: "Credit that expires or begins later, newest first, with what can be spent of each now.",
        comment: "The credit grants of a customer's account ({name}:{asset}), newest first, with what can be \
                  spent of each now: page_size 1 to 100 (20), page_offset, and filters, each time range from \
                  its start to before its end.",
        refuses: &[404],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","account_id":"default:USD"}"#,
            reply: r#"{"items":[{"id":"grant_01kaj6s0hmfnttn2awnn5jy008","available":24,
                "effective_at":"2026-06-13T12:00:00.000Z","expires_at":"2036-01-01T00:00:00.000Z",
                "purpose":"promotional","created_at":"2026-06-13T12:00:00.000Z","amount":25,"priority":0}],
                "total_count":1,"limit":20,"offset":0}"#,
        },
        ..of::<GrantList>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/holds")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Hold credit",
        description: "Sets an amount aside before it is known what a call costs. Never overdraws; released by itself at \
                      expires_at; once for each transaction_id, if one is given.",
        comment: "Sets amount (major units of asset) of a customer's account aside until expires_at (at most \
                  31 days ahead), once for each transaction_id if one is given. Returns the envelope with the \
                  hold (hold_…): 2002 where the available balance does not cover it.",
        refuses: &[402, 404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","asset":"USD","amount":2.5,
                "expires_at":"{soon}","transaction_id":"call-18"}"#,
            reply: r#"{"id":"hold_01kaj6s0hmfnttn2awnn5jfzve","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
                "account_id":"default:USD","asset":"USD","amount":2.5,"status":"open","settled_amount":null,
                "transaction_id":"call-18","description":null,"expires_at":"{soon}",
                "created_at":"2026-06-13T12:00:00.000Z","ended_at":null}"#,
        },
        ..of::<Reserve>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/holds/{hold_id}/settle")),
        surface: OK,
        terms: WALLETS,
        summary: "Settle a hold",
        description: "Books what was really used and gives back the rest, to the grants it came from. More than was held \
                      only with allow_over, and as far as the available balance covers it. Twice with one amount is fine.",
        comment: "Ends a hold with what was really used, in major units of its asset, and gives back the rest \
                  to the grants it came from. More than was held: 2005, or with allow_over as far as the \
                  available balance covers it (2002). Twice with one amount is one settlement; another amount, \
                  or a hold that was released or expired: 2006.",
        refuses: &[402, 404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","hold_id":"hold_01kaj6s0hmfnttn2awnn5jfzve",
                "amount":1.75}"#,
            reply: r#"{"id":"hold_01kaj6s0hmfnttn2awnn5jfzve","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
                "account_id":"default:USD","asset":"USD","amount":2.5,"status":"settled","settled_amount":1.75,
                "transaction_id":"call-18","description":null,"expires_at":"{soon}",
                "created_at":"2026-06-13T12:00:00.000Z","ended_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<Settle>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/holds/{hold_id}/release")),
        surface: OK,
        terms: WALLETS,
        summary: "Release a hold",
        description: "Gives all of it back. Twice, or after it has expired, is fine.",
        comment: "Ends a hold and gives all of it back. Twice, or after it expired, is fine; 2006 for a \
                  settled one.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","hold_id":"hold_01kaj6s0hmfnttn2awnn5jfzvf"}"#,
            reply: r#"{"id":"hold_01kaj6s0hmfnttn2awnn5jfzvf","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
                "account_id":"default:USD","asset":"USD","amount":1,"status":"released","settled_amount":null,
                "transaction_id":null,"description":null,"expires_at":"{soon}",
                "created_at":"2026-06-13T12:00:00.000Z","ended_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<Release>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/holds/{hold_id}")),
        surface: OK,
        summary: "Look up a hold",
        description: "The hold as it stands now: open, settled, released or expired.",
        comment: "A hold as it stands now: open, settled, released or expired. hold_id is its hold_…, or your \
                  own transaction_id of it; so it is for settle and release.",
        refuses: &[404],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","hold_id":"hold_01kaj6s0hmfnttn2awnn5jfzve"}"#,
            reply: r#"{"id":"hold_01kaj6s0hmfnttn2awnn5jfzve","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
                "account_id":"default:USD","asset":"USD","amount":2.5,"status":"settled","settled_amount":1.75,
                "transaction_id":"call-18","description":null,"expires_at":"{soon}",
                "created_at":"2026-06-13T12:00:00.000Z","ended_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<Get>()
    },
];
