//! The top-up surface: what a reseller does with its wallet.

use crate::operation::definition::{Example, Operation, of, shaped};
use crate::operation::handler::OperationTerms;
use crate::operation::idempotency::Keeps;
use crate::operation::tool;
use crate::tenant::caller::Scope;
use crate::top_up::balance;
use crate::top_up::cancel;
use crate::top_up::fulfil;
use crate::top_up::history;
use crate::top_up::model::TopUpData;
use crate::top_up::redeem;
use crate::top_up::send;
use crate::top_up::validate;

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", "/api/public/v1/topup/send")),
        terms: OperationTerms { scope: Scope::Send, keeps: Keeps::ForGood },
        batched: true,
        mcp_tool: Some(&tool::SEND_TOPUP),
        summary: "Send a top-up",
        description: "Debits the wallet at the key's wholesale price and delivers AI credit: to a recipient's wallet, or as a \
                      voucher where no recipient is named. A platform with deferred delivery answers 1002 (pending).",
        comment: "Sends a top-up: amount_cents is list price in US cents, the wallet pays the tier's price. \
                  Returns the envelope (1001 delivered, 1002 pending, or a refusal, which writes nothing). The \
                  same idempotency_key is the same top-up, for good.",
        refuses: &[402, 422],
        example: Example {
            request: r#"{"platform":"claude","amount_cents":1000,"recipient_email":"user@example.com"}"#,
            reply: r#"{"success":true,"code":1001,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4",
                "status":"delivered","timestamp":"2026-06-13T12:00:00.000Z","data":{
                "voucher_code":"ATU-4K9D-81QZ-M2XV-7CHR","platform":"claude","amount_cents":1000,
                "new_balance_cents":99000,"cost_cents":1000,"discount_bps":0,"recipient_email":"user@example.com"}}"#,
        },
        ..shaped::<send::SendRequest, TopUpData>(send::NAME, send::run)
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/validate")),
        terms: OperationTerms { scope: Scope::Send, keeps: Keeps::Nothing },
        summary: "Dry-run a payload",
        description: "Answers what send would: the price and the balance after it, or the very refusal. Writes nothing.",
        comment: "Answers what send would: 1000 with the price and the balance after it in US cents, or the \
                  very refusal. Writes nothing.",
        refuses: &[402, 422],
        example: Example {
            request: r#"{"platform":"claude","amount_cents":1000,"recipient_email":"user@example.com"}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"valid":true,"platform":"claude","amount_cents":1000,
                "cost_cents":1000,"discount_bps":0,"new_balance_cents":98000}}"#,
        },
        ..of::<validate::Validate>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/cancel")),
        terms: OperationTerms { scope: Scope::Cancel, keeps: Keeps::ADay },
        mcp_tool: Some(&tool::CANCEL_TOPUP),
        summary: "Cancel a pending top-up",
        description: "Returns the cost to the wallet and takes it out of the key's cap. Cancelling twice is fine. What another key \
                      sent takes the scope cancel_any.",
        comment: "Cancels a pending top-up (txn_…): 3001 with refunded_cents and new_balance_cents, 3002 if \
                  delivered, 3004 if failed, 3003 if unknown. Cancelling twice is 3001.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzva"}"#,
            reply: r#"{"success":true,"code":3001,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzva",
                "status":"cancelled","timestamp":"2026-06-13T12:00:00.000Z","data":{"refunded_cents":1000,
                "new_balance_cents":96000}}"#,
        },
        ..of::<cancel::Cancel>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/status/{transaction_id}")),
        mcp_tool: Some(&tool::GET_STATUS),
        summary: "Look up a top-up",
        description: "The top-up as it stands now; its code follows its status.",
        comment: "The envelope of a top-up (txn_…) as it stands now; 3003 if unknown.",
        refuses: &[404],
        example: Example {
            request: r#"{"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4"}"#,
            reply: r#"{"success":true,"code":1001,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4",
                "status":"delivered","timestamp":"2026-06-13T12:00:00.000Z","data":{
                "voucher_code":"ATU-4K9D-81QZ-M2XV-7CHR","platform":"claude","amount_cents":1000,
                "new_balance_cents":99000,"cost_cents":1000,"discount_bps":0,"recipient_email":"user@example.com"}}"#,
        },
        ..of::<history::Status>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/balance")),
        mcp_tool: Some(&tool::CHECK_BALANCE),
        summary: "Wallet and key cap snapshot",
        description: "The wallet's balance, the key's tier and what is left of its cap in the current period.",
        comment: "The wallet in US cents, and the key's tier, cap, use and margin.",
        example: Example {
            request: r#"{}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"balance_cents":96000,"currency":"USD",
                "low_balance_threshold_cents":1000,"environment":"staging","key":{
                "id":"key_01kaj6s0hmfnttn2awnn5jy001","name":"Shop","tier":"standard","discount_bps":0,
                "cap_cents":null,"cap_period":"month","cap_used_cents":4000,"cap_remaining_cents":null,
                "month_volume_cents":4000,"margin_cents":0}}}"#,
        },
        ..of::<balance::Balance>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/topup/history")),
        summary: "Recent top-ups",
        description: "Newest first, in pages of up to 50; pass next_cursor as cursor for the next page.",
        comment: "Top-ups, newest first: page_size 1 to 50 (50), cursor from the page before, status, \
                  platform.",
        example: Example {
            request: r#"{"limit":1}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"transactions":[{
                "transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4","status":"delivered","code":1001,
                "created_at":"2026-06-13T12:00:00.000Z","voucher_code":"ATU-4K9D-81QZ-M2XV-7CHR","platform":"claude",
                "amount_cents":1000,"new_balance_cents":99000,"cost_cents":1000,"discount_bps":0,
                "recipient_email":"user@example.com"}],"next_cursor":"txn_01kaj6s0hmfnttn2awnn5jfzv4"}}"#,
        },
        ..of::<history::History>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/redeem")),
        terms: OperationTerms { scope: Scope::Redeem, keeps: Keeps::ADay },
        summary: "Redeem a voucher",
        description: "Credits the bearer of an unredeemed voucher, named by customer_id or by email.",
        comment: "Credits an unredeemed voucher to its bearer, named by customer_id or email. 3005 unknown, \
                  3006 redeemed before.",
        refuses: &[404, 409, 422],
        example: Example {
            request: r#"{"voucher_code":"ATU-7Q3X-0M5Z-K8TB-2WHV","email":"bob@example.com"}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jy002",
                "status":"delivered","timestamp":"2026-06-13T12:00:00.000Z","data":{
                "voucher_code":"ATU-7Q3X-0M5Z-K8TB-2WHV","platform":"claude","amount_cents":1000,
                "customer_id":"cust_01kaj6s0hmfnttn2awnn5jy003","account_id":"claude:USD",
                "account_balance_cents":1000}}"#,
        },
        ..of::<redeem::Redeem>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/deliver")),
        terms: OperationTerms { scope: Scope::Fulfil, keeps: Keeps::ADay },
        summary: "End a pending top-up: delivered",
        description: "For platforms with deferred delivery. Takes the platform's own voucher code, or makes one.",
        comment: "Ends a pending top-up as delivered, with the platform's voucher_code or a new one. Needs \
                  scope fulfil.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzvb"}"#,
            reply: r#"{"success":true,"code":1001,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzvb",
                "status":"delivered","timestamp":"2026-06-13T12:00:00.000Z","data":{
                "voucher_code":"ATU-4K9D-81QZ-M2XV-7CHR","platform":"claude","amount_cents":1000,
                "new_balance_cents":98000,"cost_cents":1000,"discount_bps":0,
                "recipient_email":"ann+pending@example.com"}}"#,
        },
        ..of::<fulfil::Deliver>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/topup/fail")),
        terms: OperationTerms { scope: Scope::Fulfil, keeps: Keeps::ADay },
        summary: "End a pending top-up: failed",
        description: "For platforms with deferred delivery. The cost goes back to the wallet and out of the key's cap.",
        comment: "Ends a pending top-up as failed, and returns its cost. Needs scope fulfil.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzvc","reason":"out of stock"}"#,
            reply: r#"{"success":false,"code":1003,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzvc",
                "status":"failed","timestamp":"2026-06-13T12:00:00.000Z","data":{"voucher_code":null,
                "platform":"claude","amount_cents":1000,"new_balance_cents":97000,"cost_cents":1000,"discount_bps":0,
                "recipient_email":"ann+pending@example.com","failure_reason":"out of stock"}}"#,
        },
        ..of::<fulfil::Fail>()
    },
];
