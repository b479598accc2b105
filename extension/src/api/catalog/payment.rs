//! Top-ups that customers pay for.

use super::{CREATED, OK, WALLETS_KEYED};
use crate::operation::definition::{Example, Operation, of};
use crate::operation::handler::OperationTerms;
use crate::operation::idempotency::Keeps;
use crate::payment::auto::change;
use crate::payment::create::Create as CreateTopUp;
use crate::payment::get::Get;
use crate::payment::refund::create::Create as CreateRefund;
use crate::tenant::caller::Scope;

/// For what charges saved cards, or sends money back.
const FUNDING: OperationTerms = OperationTerms { scope: Scope::Funding, keeps: Keeps::Nothing };
const FUNDING_KEYED: OperationTerms = OperationTerms { scope: Scope::Funding, keeps: Keeps::ADay };

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", "/top-ups")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Begin a top-up",
        description: "Gives the address of a checkout at which the customer pays within 24 hours. The credit is there \
                      when the payment provider says that it is paid, and once; wallet.topup.succeeded or \
                      wallet.topup.failed tells the end.",
        comment: "Begins a top-up (top_…) that a customer pays for: amount in major units of currency, \
                  destination {account_name, asset, exchange_rate}. Returns the envelope with redirect_url, \
                  the checkout. Nothing is credited before the payment provider says paid.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","amount":25.5,"currency":"USD",
                "description":"Credits","return_url":"https://shop.example/paid",
                "failure_url":"https://shop.example/cart"}"#,
            reply: r#"{"id":"top_01kaj6s0hmfnttn2awnn5jfzv6","status":"initiated",
                "redirect_url":"https://topup.example/checkout/a79P1pQavMUeYsSEBftlmF53uUOfrQ40LzUsQ8fxymI",
                "created_at":"2026-06-13T12:00:00.000Z","expires_at":"2026-06-14T12:00:00.000Z"}"#,
        },
        ..of::<CreateTopUp>()
    },
    Operation {
        http: Some(("GET", "/top-ups/{top_up_id}")),
        surface: OK,
        summary: "Look up a top-up",
        description: "The top-up as it stands: initiated, pending, succeeded, failed or expired.",
        comment: "A customer's top-up (top_…) as it stands: initiated, pending, succeeded, failed or expired.",
        refuses: &[404],
        example: Example {
            request: r#"{"top_up_id":"top_01kaj6s0hmfnttn2awnn5jfzv6"}"#,
            reply: r#"{"id":"top_01kaj6s0hmfnttn2awnn5jfzv6","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
                "amount":25.5,"currency":"USD","destination":{"account_name":"default","asset":"USD",
                "exchange_rate":1},"credit":25.5,"refunded":0,"dispute":null,"status":"initiated","failure":null,
                "created_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<Get>()
    },
    Operation {
        http: Some(("POST", "/top-ups/{top_up_id}/refund")),
        surface: CREATED,
        terms: FUNDING_KEYED,
        summary: "Refund a top-up",
        description: "Takes back what is left of the credit that the top-up bought, never other credit, and has the \
                      payment provider send the money back; if that refuses, the credit is given back.",
        comment: "Refunds a top-up (top_…): amount in major units of its currency, all that is left of it if \
                  null. Takes back what is left of the credit that it bought, never other credit, and has the \
                  provider send the money back. Returns the envelope with refunded_credit and not_recovered, \
                  in major units of the asset.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"top_up_id":"top_01kaj6s0hmfnttn2awnn5jfzw5","amount":5.5}"#,
            reply: r#"{"id":"re_01kaj6s0hmfnttn2awnn5jy00b","top_up_id":"top_01kaj6s0hmfnttn2awnn5jfzw5",
                "status":"pending","amount":5.5,"currency":"USD","asset":"USD","refunded_credit":5.5,
                "not_recovered":0,"created_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<CreateRefund>()
    },
    Operation {
        terms: FUNDING,
        summary: "Set an auto top-up",
        description: "Fills an account from the payer's saved card when its balance falls below a threshold.",
        comment: "Fills an account by itself: when its balance is below threshold (major units of asset) as a \
                  transaction commits, the payer's saved card is charged amount (major units of currency). \
                  customer_id null: your own wallet. At most max_purchases in any window_s seconds. Setting it \
                  again arms it again. Returns the envelope.",
        ..of::<change::Set>()
    },
    Operation {
        terms: FUNDING,
        summary: "Remove an auto top-up",
        description: "Ends it. Twice is fine.",
        comment: "Ends the auto top-up of an account; twice is fine. A charge under way goes on.",
        ..of::<change::Remove>()
    },
    Operation {
        summary: "Look up an auto top-up",
        description: "The auto top-up of an account as it stands; all null where none is set.",
        comment: "The auto top-up of an account as it stands, all null where none is set: disabled_reason, \
                  error and last_failed_at tell of declines.",
        ..of::<change::Show>()
    },
];
