//! What webhooks are told: each type of event, what it means, and a body as it is sent.

use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::Value;

use crate::event::{BalanceLow, Pinged, WebhookDisabled};
use crate::ledger::due::CreditExpired;
use crate::operation::definition::schema_of;
use crate::payment::auto::end::Disabled;
use crate::payment::dispute::event::DisputeEvent;
use crate::payment::event::PaymentEvent;
use crate::top_up::model::TopUpData;

/// A type of event.
struct EventType {
    name: &'static str,
    meaning: &'static str,
    /// What the envelope in the body has as its `data`.
    data_schema: fn() -> Value,
    /// The body.
    example: &'static str,
}

static EVENTS: &[EventType] = &[
    EventType {
        name: "topup.delivered",
        meaning: "A top-up is delivered: at once, or after it was pending.",
        data_schema: schema_of::<TopUpData>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"topup.delivered","created_at":"2026-06-13T12:00:00.000Z",
            "environment":"staging","data":{"success":true,"code":1001,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4",
            "status":"delivered","timestamp":"2026-06-13T12:00:00.000Z","data":{"voucher_code":"ATU-7Q3X-0M5Z-K8TB-2WHV",
            "platform":"claude","amount_cents":1000,"new_balance_cents":99000,"cost_cents":1000,"discount_bps":0,
            "recipient_email":"user@example.com"}}}"#,
    },
    EventType {
        name: "topup.failed",
        meaning: "A pending top-up failed; its cost is back in the wallet.",
        data_schema: schema_of::<TopUpData>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"topup.failed","created_at":"2026-06-13T12:00:00.000Z",
            "environment":"staging","data":{"success":false,"code":1003,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4",
            "status":"failed","timestamp":"2026-06-13T12:00:00.000Z","data":{"voucher_code":null,"platform":"claude",
            "amount_cents":1000,"new_balance_cents":100000,"cost_cents":1000,"discount_bps":0,
            "recipient_email":"user@example.com","failure_reason":"out of stock"}}}"#,
    },
    EventType {
        name: "topup.cancelled",
        meaning: "A pending top-up was cancelled; its cost is back in the wallet.",
        data_schema: schema_of::<TopUpData>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"topup.cancelled","created_at":"2026-06-13T12:00:00.000Z",
            "environment":"staging","data":{"success":true,"code":3001,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4",
            "status":"cancelled","timestamp":"2026-06-13T12:00:00.000Z","data":{"voucher_code":null,"platform":"claude",
            "amount_cents":1000,"new_balance_cents":100000,"cost_cents":1000,"discount_bps":0,
            "recipient_email":"user@example.com"}}}"#,
    },
    EventType {
        name: "topup.pending",
        meaning: "A top-up is paid for and waits for the platform.",
        data_schema: schema_of::<TopUpData>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"topup.pending","created_at":"2026-06-13T12:00:00.000Z",
            "environment":"staging","data":{"success":true,"code":1002,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4",
            "status":"pending","timestamp":"2026-06-13T12:00:00.000Z","data":{"voucher_code":null,"platform":"claude",
            "amount_cents":1000,"new_balance_cents":99000,"cost_cents":1000,"discount_bps":0,
            "recipient_email":"user+pending@example.com"}}}"#,
    },
    EventType {
        name: "balance.low",
        meaning: "Your wallet fell below its threshold. Once, until it has been above it again.",
        data_schema: schema_of::<BalanceLow>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"balance.low","created_at":"2026-06-13T12:00:00.000Z",
            "environment":"staging","data":{"success":true,"code":1000,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4",
            "status":null,"timestamp":"2026-06-13T12:00:00.000Z","data":{"balance_cents":900,
            "low_balance_threshold_cents":1000,"currency":"USD"}}}"#,
    },
    EventType {
        name: "wallet.topup.succeeded",
        meaning: "A payment is made, and what it bought is credited.",
        data_schema: schema_of::<PaymentEvent>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"wallet.topup.succeeded",
            "created_at":"2026-06-13T12:00:00.000Z","environment":"staging","data":{"success":true,"code":1000,
            "transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4","status":"succeeded","timestamp":"2026-06-13T12:00:00.000Z",
            "data":{"id":"top_01kaj6s0hmfnttn2awnn5jfzv6","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
            "account_id":"default:USD","asset":"USD","credit":25.5,"amount":25.5,"currency":"USD","origin":"manual",
            "failure":null}}}"#,
    },
    EventType {
        name: "wallet.topup.failed",
        meaning: "A payment was not made: declined, given up, or its checkout ended.",
        data_schema: schema_of::<PaymentEvent>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"wallet.topup.failed",
            "created_at":"2026-06-13T12:00:00.000Z","environment":"staging","data":{"success":true,"code":1000,
            "transaction_id":null,"status":"failed","timestamp":"2026-06-13T12:00:00.000Z",
            "data":{"id":"top_01kaj6s0hmfnttn2awnn5jfzv6","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
            "account_id":"default:USD","asset":"USD","credit":25.5,"amount":25.5,"currency":"USD","origin":"auto",
            "failure":{"code":"card_declined","message":"Your card was declined."}}}}"#,
    },
    EventType {
        name: "wallet.topup.disputed",
        meaning: "A payer's bank asks for the money back; what is left of the credit is taken, but for an inquiry.",
        data_schema: schema_of::<DisputeEvent>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"wallet.topup.disputed",
            "created_at":"2026-06-13T12:00:00.000Z","environment":"staging","data":{"success":true,"code":1000,
            "transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4","status":"open","timestamp":"2026-06-13T12:00:00.000Z",
            "data":{"id":"top_01kaj6s0hmfnttn2awnn5jfzv6","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
            "account_id":"default:USD","asset":"USD","credit":25.5,"amount":25.5,"currency":"USD","origin":"manual",
            "dispute":{"id":"dp_01kaj6s0hmfnttn2awnn5jfzx1","provider_dispute_id":"dp_1QxExample","status":"open",
            "amount":25.5,"reason":"fraudulent","taken_credit":20,"returned_credit":0}}}}"#,
    },
    EventType {
        name: "wallet.topup.dispute.won",
        meaning: "A dispute is won; the credit that was taken is given back.",
        data_schema: schema_of::<DisputeEvent>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"wallet.topup.dispute.won",
            "created_at":"2026-06-13T12:00:00.000Z","environment":"staging","data":{"success":true,"code":1000,
            "transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4","status":"won","timestamp":"2026-06-13T12:00:00.000Z",
            "data":{"id":"top_01kaj6s0hmfnttn2awnn5jfzv6","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
            "account_id":"default:USD","asset":"USD","credit":25.5,"amount":25.5,"currency":"USD","origin":"manual",
            "dispute":{"id":"dp_01kaj6s0hmfnttn2awnn5jfzx1","provider_dispute_id":"dp_1QxExample","status":"won",
            "amount":25.5,"reason":"fraudulent","taken_credit":0,"returned_credit":20}}}}"#,
    },
    EventType {
        name: "wallet.topup.dispute.lost",
        meaning: "A dispute is lost; the credit that was taken stays taken.",
        data_schema: schema_of::<DisputeEvent>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"wallet.topup.dispute.lost",
            "created_at":"2026-06-13T12:00:00.000Z","environment":"staging","data":{"success":true,"code":1000,
            "transaction_id":null,"status":"lost","timestamp":"2026-06-13T12:00:00.000Z",
            "data":{"id":"top_01kaj6s0hmfnttn2awnn5jfzv6","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
            "account_id":"default:USD","asset":"USD","credit":25.5,"amount":25.5,"currency":"USD","origin":"manual",
            "dispute":{"id":"dp_01kaj6s0hmfnttn2awnn5jfzx1","provider_dispute_id":"dp_1QxExample","status":"lost",
            "amount":25.5,"reason":"fraudulent","taken_credit":20,"returned_credit":0}}}}"#,
    },
    EventType {
        name: "wallet.auto_topup.disabled",
        meaning: "An auto top-up is switched off after three declines.",
        data_schema: schema_of::<Disabled>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"wallet.auto_topup.disabled",
            "created_at":"2026-06-13T12:00:00.000Z","environment":"staging","data":{"success":true,"code":1000,
            "transaction_id":null,"status":null,"timestamp":"2026-06-13T12:00:00.000Z",
            "data":{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","account_id":"default:USD","asset":"USD","amount":25,
            "currency":"USD","threshold":5,"reason":"three_declines","error":"Your card was declined.",
            "last_failed_at":"2026-06-13T12:00:00.000Z"}}}"#,
    },
    EventType {
        name: "credit.expired",
        meaning: "Credit of a customer expired before it was used.",
        data_schema: schema_of::<CreditExpired>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"credit.expired","created_at":"2026-06-13T12:00:00.000Z",
            "environment":"staging","data":{"success":true,"code":1000,"transaction_id":"txn_01kaj6s0hmfnttn2awnn5jfzv4",
            "status":null,"timestamp":"2026-06-13T12:00:00.000Z","data":{"grant_id":"grant_01kaj6s0hmfnttn2awnn5jfzv8",
            "customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","account_id":"default:USD","asset":"USD","amount":2.5,
            "expired_at":"2026-06-13T12:00:00.000Z"}}}"#,
    },
    EventType {
        name: "webhook.disabled",
        meaning: "Another endpoint is switched off, because its receiver answered 410.",
        data_schema: schema_of::<WebhookDisabled>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"webhook.disabled","created_at":"2026-06-13T12:00:00.000Z",
            "environment":"staging","data":{"success":true,"code":1000,"transaction_id":null,"status":null,
            "timestamp":"2026-06-13T12:00:00.000Z","data":{"webhook_id":"whk_01kaj6s0hmfnttn2awnn5jfzv9",
            "url":"https://shop.example/hooks/topup","disabled_at":"2026-06-13T12:00:00.000Z",
            "reason":"The receiver answered 410 (gone)."}}}"#,
    },
    EventType {
        name: "ping",
        meaning: "A test that you asked for.",
        data_schema: schema_of::<Pinged>,
        example: r#"{"id":"evt_01kaj6s0hmfnttn2awnn5jfzv5","type":"ping","created_at":"2026-06-13T12:00:00.000Z",
            "environment":"staging","data":{"success":true,"code":1000,"transaction_id":null,"status":null,
            "timestamp":"2026-06-13T12:00:00.000Z","data":{"webhook_id":"whk_01kaj6s0hmfnttn2awnn5jfzv9"}}}"#,
    },
];

#[pg_extern(schema = "topup", stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn event_types() -> TableIterator<
    'static,
    (name!(name, String), name!(meaning, String), name!(data_schema, JsonB), name!(example, String)),
> {
    TableIterator::new(EVENTS.iter().map(|event| {
        let own = |text: &str| text.to_owned();
        (own(event.name), own(event.meaning), JsonB((event.data_schema)()), own(event.example))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_can_be_asked_for_is_described() {
        let described: Vec<&str> = EVENTS.iter().map(|event| event.name).collect();
        assert_eq!(described, crate::event::TYPES);
    }
}
