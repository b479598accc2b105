//! The customer-wallet surface: what a tenant does with the wallets of its customers.

use crate::adjust;
use crate::caller::Scope;
use crate::handler::Terms;
use crate::idempotency::Keeps;
use crate::operation::{Operation, of};
use crate::surface::Surface;
use crate::wallet::context;

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("GET", "/accounts/self")),
        surface: Surface::Credyt { success_status: 200 },
        summary: "Who this key speaks for",
        description: "The tenant and environment of the key.",
        ..of::<context::Context>()
    },
    Operation {
        terms: Terms { scope: Scope::Wallets, keeps: Keeps::Nothing },
        summary: "Adjust a wallet",
        description: "Adds to or takes from a customer's account, once for each transaction_id.",
        ..of::<adjust::Adjust>()
    },
];
