//! The customer-wallet surface, billing: products, subscriptions and usage.

use super::{CREATED, NO_CONTENT, OK, WALLETS, WALLETS_KEYED};
use crate::billing::{product, product_read, record_usage, simulate, subscription, usage_event_read};
use crate::operation::{Operation, of};

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", "/products")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Create a product",
        description: "Makes a product with its first version, a draft unless publish is true.",
        ..of::<product::CreateProduct>()
    },
    Operation {
        http: Some(("GET", "/products")),
        surface: OK,
        summary: "List products",
        description: "Newest first.",
        ..of::<product_read::ListProducts>()
    },
    Operation {
        http: Some(("GET", "/products/{product_id}")),
        surface: OK,
        summary: "Look up a product",
        description: "With its versions, and the prices of the default one.",
        ..of::<product_read::GetProduct>()
    },
    Operation {
        http: Some(("DELETE", "/products/{product_id}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Delete a product",
        description: "Refused with 409 while customers are subscribed to it.",
        ..of::<product::DeleteProduct>()
    },
    Operation {
        http: Some(("POST", "/products/{product_id}")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Create a version",
        description: "Makes the next version of a product. A price with the id of an earlier one goes on as the same price.",
        ..of::<product::CreateVersion>()
    },
    Operation {
        http: Some(("GET", "/products/{product_id}/{version}")),
        surface: OK,
        summary: "Look up a version",
        description: "A version of a product with its prices and entitlements.",
        ..of::<product_read::GetVersion>()
    },
    Operation {
        http: Some(("PATCH", "/products/{product_id}/{version}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Publish a version, or make it the default",
        description: "The first version that is published becomes the default; a later one when make_default is true.",
        ..of::<product::UpdateVersion>()
    },
    Operation {
        http: Some(("DELETE", "/products/{product_id}/{version}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Archive a version",
        description: "It can no longer be subscribed to; who is subscribed stays so. The default version is refused with 409.",
        ..of::<product::ArchiveVersion>()
    },
    Operation {
        http: Some(("POST", "/products/{product_id}/{version}/simulate-usage")),
        surface: OK,
        summary: "Simulate usage",
        description: "What events would cost a customer that has used nothing yet, by the very code that bills. Writes nothing.",
        ..of::<simulate::Simulate>()
    },
    Operation {
        http: Some(("GET", "/products/{product_id}/subscribers")),
        surface: OK,
        summary: "List the subscribers of a product",
        description: "Newest first.",
        ..of::<product_read::Subscribers>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/subscriptions")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Subscribe a customer",
        description: "To versions of products, now or from a later time on. Fixed prices are collected from the balance; \
                      where it does not cover them, the status is action_required until it does.",
        ..of::<subscription::Create>()
    },
    Operation {
        http: Some(("PATCH", "/customers/{customer_id}/subscriptions/{subscription_id}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "End or resume a subscription",
        description: "inactive ends it now; active resumes it, or tries at once to collect what is owed.",
        ..of::<subscription::Update>()
    },
    Operation {
        http: Some((
            "PATCH",
            "/customers/{customer_id}/subscriptions/{subscription_id}/products/{product_id}",
        )),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Change the version of a product",
        description: "From now on; what occurred before is priced as it was.",
        ..of::<subscription::UpdateProduct>()
    },
    Operation {
        http: Some(("POST", "/events")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Record usage",
        description: "A batch of events of one customer, taken whole or not at all, each id once for good. Priced by what the \
                      customer was subscribed to at occurred_at, and always booked; what nothing prices is kept and free.",
        ..of::<record_usage::RecordUsage>()
    },
    Operation {
        http: Some(("GET", "/events")),
        surface: OK,
        summary: "List usage events",
        description: "Newest first.",
        ..of::<usage_event_read::ListEvents>()
    },
    Operation {
        http: Some(("GET", "/events/{event_id}")),
        surface: OK,
        summary: "Look up a usage event",
        description: "With its fees.",
        ..of::<usage_event_read::GetEvent>()
    },
];
