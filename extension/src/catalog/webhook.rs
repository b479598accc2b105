//! Webhooks, and the log of what was delivered to them.

use crate::caller::Scope;
use crate::handler::Terms;
use crate::idempotency::Keeps;
use crate::operation::{Operation, of};
use crate::{delivery, ping, webhook};

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/register")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        resolves: Some("url"),
        summary: "Register a webhook URL",
        description: "The reply is the only place where the signing secret is shown.",
        ..of::<webhook::Register>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/webhooks")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "List webhooks",
        description: "Every endpoint of this environment, without secrets.",
        ..of::<webhook::List>()
    },
    Operation {
        http: Some(("DELETE", "/api/public/v1/webhooks/{id}")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Delete a webhook",
        description: "Nothing more is delivered to it; its log stays.",
        ..of::<webhook::Delete>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/rotate")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Rotate a signing secret",
        description: "Gives a new secret; the old one goes on signing beside it until the overlap ends.",
        ..of::<webhook::Rotate>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/test")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        completes_with: Some("webhook_test_result"),
        summary: "Send a ping now",
        description: "Delivers a ping and waits for it: 1000, or 5001 with what the receiver said.",
        ..of::<ping::Test>()
    },
    Operation {
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "The result of a ping",
        description: "1002 while the ping is under way, then 1000 or 5001.",
        ..of::<ping::TestResult>()
    },
    Operation {
        http: Some(("GET", "/api/public/v1/webhooks/deliveries")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::Nothing },
        summary: "The delivery log",
        description: "Deliveries newest first, each with all its attempts.",
        ..of::<delivery::Log>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/deliveries/{id}/replay")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Replay a delivery",
        description: "Attempts it again now, with the same event id and body.",
        ..of::<delivery::Replay>()
    },
    Operation {
        http: Some(("POST", "/api/public/v1/webhooks/{id}/replay")),
        terms: Terms { scope: Scope::Webhooks, keeps: Keeps::ADay },
        summary: "Replay a range of deliveries",
        description: "Attempts again what was to be delivered to this endpoint since a time.",
        ..of::<delivery::ReplayRange>()
    },
];
