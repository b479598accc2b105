//! The billing portal.

use super::{OK, WALLETS};
use crate::operation::definition::{Example, Operation, of};
use crate::portal::create::Create;

pub static OPERATIONS: &[Operation] = &[Operation {
    http: Some(("POST", "/billing-portal/sessions")),
    surface: OK,
    terms: WALLETS,
    summary: "Let a customer into the billing portal",
    description: "Gives an address that lets whoever opens it first into the customer's wallet: balances, top-ups, \
                  the saved card, auto top-up, history and vouchers. It is good once, for 10 minutes; the session \
                  then ends after 30 minutes without use, and after 12 hours.",
    refuses: &[404],
    comment: "Makes a link into the billing portal for a customer: good once, for 10 minutes. return_url \
                  is where the portal leads back, failure_url where a link that is over does. Returns the \
                  envelope with redirect_url, which is shown only here.",
    example: Example {
        request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","return_url":"https://shop.example/account",
            "failure_url":"https://shop.example/account"}"#,
        reply: r#"{"redirect_url":"https://topup.example/portal/enter/JWRmdxiSQM9mTxbkwrwo7oAhOAzCVKdEUtJoUoecpKe",
            "expires_at":"2026-06-13T12:10:00.000Z"}"#,
    },
    ..of::<Create>()
}];
