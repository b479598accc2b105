//! Webhooks, and the log of what was delivered to them.

use crate::operation::definition::{Example, Operation, of};
use crate::operation::handler::OperationTerms;
use crate::operation::idempotency::Keeps;
use crate::tenant::caller::Scope;
use crate::webhook::delivery;
use crate::webhook::endpoint;
use crate::webhook::endpoint_secret;
use crate::webhook::endpoint_update;
use crate::webhook::ping;

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/register")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        resolves: Some("url"),
        summary: "Register a webhook URL",
        description: "The reply is the only place where the signing secret is shown.",
        comment: "Registers a webhook URL: https, public. The reply alone shows the secret. events: types, all \
                  if null; retry_schedule_s: seconds after the first attempt, {0,5,30} if null. 5002 for a URL \
                  that may not be.",
        refuses: &[422],
        example: Example {
            request: r#"{"url":"https://shop.example/hooks/topup","events":["topup.delivered","topup.failed"],
                "description":"Shop"}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9",
                "url":"https://shop.example/hooks/topup","events":["topup.delivered","topup.failed"],
                "secret":"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
                "created_at":"2026-06-13T12:00:00.000Z"}}"#,
        },
        ..of::<endpoint::Register>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/webhooks")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "List webhooks",
        description: "Every endpoint of this environment, without secrets.",
        comment: "The webhooks of this environment, without secrets.",
        example: Example {
            request: r#"{}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"webhooks":[{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9",
                "url":"https://shop.example/hooks/topup","events":["topup.delivered","topup.failed"],
                "description":"Shop","retry_schedule_s":[0,5,30],"created_at":"2026-06-13T12:00:00.000Z",
                "disabled_at":null,"disabled_reason":null}]}}"#,
        },
        ..of::<endpoint::List>()
    },
    Operation {
        http: Some(("PATCH", "/api/public/v1/webhooks/{id}")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        resolves: Some("url"),
        summary: "Change a webhook, or switch it on again",
        description: "Id and secret stay. What happens while it is off is in the log as `skipped` (for 30 days), and delivered \
                      only by a replay.",
        comment: "Changes a webhook (whk_…); what is null stays. enabled false switches it off, true on again: \
                  what happened meanwhile is kept for a replay. 5004 if unknown.",
        refuses: &[404, 422],
        example: Example {
            request: r#"{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9","enabled":true}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9",
                "url":"https://shop.example/hooks/topup","events":["topup.delivered","topup.failed"],
                "description":"Shop","retry_schedule_s":[0,5,30],"created_at":"2026-06-13T12:00:00.000Z",
                "disabled_at":null,"disabled_reason":null}}"#,
        },
        ..of::<endpoint_update::Update>()
    },
    Operation {
        http: Some(("DELETE", "/api/public/v1/webhooks/{id}")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Delete a webhook",
        description: "Nothing more is delivered to it; its log stays.",
        comment: "Deletes a webhook (whk_…); 5004 if unknown.",
        refuses: &[404],
        example: Example {
            request: r#"{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9"}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9","deleted":true}}"#,
        },
        ..of::<endpoint::Delete>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/rotate")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Rotate a signing secret",
        description: "Gives a new secret; the old one goes on signing beside it until the overlap ends.",
        comment: "Gives a webhook a new secret; the old one signs too for overlap_seconds (86,400).",
        refuses: &[404],
        example: Example {
            request: r#"{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9","overlap_seconds":3600}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9",
                "secret":"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
                "overlap_ends_at":"2026-06-13T13:00:00.000Z"}}"#,
        },
        ..of::<endpoint_secret::Rotate>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/test")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        completes_with: Some("webhook_test_result"),
        summary: "Send a ping now",
        description: "Delivers a ping and waits for it: 1000, or 5001 with what the receiver said. HTTP 200 both, for the test was \
                      carried out. Of one key, few tests at a time.",
        comment: "Queues a ping to a webhook: 1002 with its delivery_id, for webhook_test_result.",
        refuses: &[404],
        example: Example {
            request: r#"{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9"}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"delivery_id":"dlv_01kaj6s0hmfnttn2awnn5jfzvd"}}"#,
        },
        ..of::<ping::Test>()
    },
    Operation {
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "The result of a ping",
        description: "1002 while the ping is under way, then 1000 or 5001.",
        comment: "How a ping went: 1002 under way, 1000 delivered, 5001 with what the receiver said.",
        ..of::<ping::TestResult>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/webhooks/deliveries")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "The delivery log",
        description: "Deliveries newest first, each with all its attempts.",
        comment: "The delivery log, newest first, each with its attempts: status pending, succeeded, failed or \
                  skipped (the webhook was off); event type; page_size 1 to 50; cursor.",
        example: Example {
            request: r#"{"limit":1}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"deliveries":[{"id":"dlv_01kaj6s0hmfnttn2awnn5jfzvd",
                "event_id":"evt_01kaj6s0hmfnttn2awnn5jy004","event":"ping",
                "webhook_id":"whk_01kaj6s0hmfnttn2awnn5jfzv9","url":"https://shop.example/hooks/topup",
                "status":"succeeded","created_at":"2026-06-13T12:00:00.000Z","next_attempt_at":null,"attempts":[{
                "number":1,"attempted_at":"2026-06-13T12:00:00.000Z","duration_ms":42,"http_status":200,"error":null,
                "response":"ok"}]}],"next_cursor":null}}"#,
        },
        ..of::<delivery::Log>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/deliveries/{id}/replay")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Replay a delivery",
        description: "Attempts it again now, with the same event id and body.",
        comment: "Attempts a delivery (dlv_…) again, with the same event id and body.",
        refuses: &[404],
        example: Example {
            request: r#"{"id":"dlv_01kaj6s0hmfnttn2awnn5jfzvd"}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"delivery_id":"dlv_01kaj6s0hmfnttn2awnn5jfzvd",
                "event_id":"evt_01kaj6s0hmfnttn2awnn5jy004"}}"#,
        },
        ..of::<delivery::Replay>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/replay")),
        terms: OperationTerms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Replay a range of deliveries",
        description: "Attempts again what was to be delivered to this endpoint since a time.",
        comment: "Attempts again what was to be delivered to a webhook from since until before until, at most \
                  10,000; data.replayed says how many.",
        refuses: &[404],
        example: Example {
            request: r#"{"id":"whk_01kaj6s0hmfnttn2awnn5jfzv9","since":"2026-01-01T00:00:00.000Z"}"#,
            reply: r#"{"success":true,"code":1000,"transaction_id":null,"status":null,
                "timestamp":"2026-06-13T12:00:00.000Z","data":{"replayed":1}}"#,
        },
        ..of::<delivery::ReplayRange>()
    },
];
