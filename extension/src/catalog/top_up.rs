//! The top-up surface: what a reseller does with its wallet.

use crate::caller::Scope;
use crate::handler::Terms;
use crate::idempotency::Keeps;
use crate::operation::{Operation, of, shaped};
use crate::tool;
use crate::top_up::TopUpData;
use crate::{balance, cancel, fulfil, history, redeem, send, validate};

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", "/api/public/v1/topup/send")),
        terms: Terms { scope: Scope::Send, keeps: Keeps::ForGood },
        mcp_tool: Some(&tool::SEND_TOPUP),
        summary: "Send a top-up",
        description: "Debits the wallet at the key's wholesale price and delivers AI credit: to a recipient's wallet, or as a \
                      voucher where no recipient is named. A platform with deferred delivery answers 1002 (pending).",
        ..shaped::<send::SendRequest, TopUpData>(send::NAME, send::run)
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/validate")),
        terms: Terms { scope: Scope::Send, keeps: Keeps::Nothing },
        summary: "Dry-run a payload",
        description: "Answers what send would: the price and the balance after it, or the very refusal. Writes nothing.",
        ..of::<validate::Validate>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/cancel")),
        terms: Terms { scope: Scope::Cancel, keeps: Keeps::ADay },
        mcp_tool: Some(&tool::CANCEL_TOPUP),
        summary: "Cancel a pending top-up",
        description: "Returns the cost to the wallet and takes it out of the key's cap. Cancelling twice is fine. What another key \
                      sent takes the scope cancel_any.",
        ..of::<cancel::Cancel>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/status/{transaction_id}")),
        mcp_tool: Some(&tool::GET_STATUS),
        summary: "Look up a top-up",
        description: "The top-up as it stands now; its code follows its status.",
        ..of::<history::Status>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/balance")),
        mcp_tool: Some(&tool::CHECK_BALANCE),
        summary: "Wallet and key cap snapshot",
        description: "The wallet's balance, the key's tier and what is left of its cap in the current period.",
        ..of::<balance::Balance>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/history")),
        summary: "Recent top-ups",
        description: "Newest first, in pages of up to 50; pass next_cursor as cursor for the next page.",
        ..of::<history::History>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/redeem")),
        terms: Terms { scope: Scope::Redeem, keeps: Keeps::ADay },
        summary: "Redeem a voucher",
        description: "Credits the bearer of an unredeemed voucher, named by customer_id or by email.",
        ..of::<redeem::Redeem>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/deliver")),
        terms: Terms { scope: Scope::Fulfil, keeps: Keeps::ADay },
        summary: "End a pending top-up: delivered",
        description: "For platforms with deferred delivery. Takes the platform's own voucher code, or makes one.",
        ..of::<fulfil::Deliver>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/fail")),
        terms: Terms { scope: Scope::Fulfil, keeps: Keeps::ADay },
        summary: "End a pending top-up: failed",
        description: "For platforms with deferred delivery. The cost goes back to the wallet and out of the key's cap.",
        ..of::<fulfil::Fail>()
    },
];
