//! The billing portal.

use super::{OK, WALLETS};
use crate::operation::{Operation, of};
use crate::portal::create::Create;

pub static OPERATIONS: &[Operation] = &[Operation {
    http: Some(("POST", "/billing-portal/sessions")),
    surface: OK,
    terms: WALLETS,
    summary: "Let a customer into the billing portal",
    description: "Gives an address that lets whoever opens it first into the customer's wallet: balances, top-ups, \
                  the saved card, auto top-up, history and vouchers. It is good once, for 10 minutes; the session \
                  then ends after 30 minutes without use, and after 12 hours.",
    ..of::<Create>()
}];
