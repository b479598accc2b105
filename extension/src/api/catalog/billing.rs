//! The customer-wallet surface, billing: products, subscriptions and usage.

use super::{CREATED, NO_CONTENT, OK, WALLETS, WALLETS_KEYED};
use crate::billing::{product, product_read, record_usage, simulate, subscription, usage_event_read};
use crate::operation::definition::{Example, Operation, of};

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("POST", "/products")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Create a product",
        description: "Makes a product with its first version, a draft unless publish is true.",
        comment: "Makes a product with its first version, a draft unless publish is true. prices and \
                  entitlements are JSON arrays in the shapes of the API, amounts in major units of their \
                  asset. 2000 names what is wrong by its path, or the code if another product has it.",
        refuses: &[409],
        example: Example {
            request: r#"{"name":"Chat","code":"chat","prices":[{"name":"Tokens","type":"usage_based","billing_model":{
                "type":"real_time"},"usage_calculation":{"event_type":"chat","usage_type":"volume",
                "volume_field":"tokens"},"pricing":[{"asset":"USD","values":[{"volume_rate":1.5,
                "package_size":1000000}]}]}],"entitlements":[{"name":"Welcome","asset":"USD","amount":5,
                "purpose":"promotion","lifecycle":{"duration":"month"}}],"publish":true}"#,
            reply: r#"{"id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","code":"chat","version":1,"status":"published",
                "is_default":true}"#,
        },
        ..of::<product::CreateProduct>()
    },
    Operation {
        http: Some(("GET", "/products")),
        surface: OK,
        summary: "List products",
        description: "Newest first.",
        comment: "Products, newest first: code, page_offset, page_size 1 to 100 (20).",
        example: Example {
            request: r#"{"limit":20}"#,
            reply: r#"{"items":[{"id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","code":"chat","name":"Chat"},{
                "id":"prod_01kaj6s0hmfnttn2awnn5jfzw3","code":"other","name":"Other"}],"total_count":2,"limit":20,
                "offset":0}"#,
        },
        ..of::<product_read::ListProducts>()
    },
    Operation {
        http: Some(("GET", "/products/{product_id}")),
        surface: OK,
        summary: "Look up a product",
        description: "With its versions, and the prices of the default one.",
        comment: "A product (prod_…) with its versions, and the prices of the default one.",
        refuses: &[404],
        example: Example {
            request: r#"{"product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1"}"#,
            reply: r#"{"id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","code":"chat","name":"Chat","default_version":{
                "version":1,"entitlements":[{"name":"Welcome","asset":"USD","amount":5,"purpose":"promotion",
                "lifecycle":{"duration":"month"}}],"prices":[{"id":"price_01kaj6s0hmfnttn2awnn5jy009","name":"Tokens",
                "type":"usage_based","billing_model":{"type":"real_time"},"usage_calculation":{"event_type":"chat",
                "usage_type":"volume","volume_field":"tokens"},"pricing":[{"asset":"USD","values":[{"volume_rate":1.5,
                "package_size":1000000}]}]}]},"versions":[{"version":1,"created_at":"2026-06-13T12:00:00.000Z",
                "status":"published"}]}"#,
        },
        ..of::<product_read::GetProduct>()
    },
    Operation {
        http: Some(("DELETE", "/products/{product_id}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Delete a product",
        description: "Refused with 409 while customers are subscribed to it.",
        comment: "Deletes a product; refused while customers are subscribed to it.",
        refuses: &[404, 409],
        example: Example { request: r#"{"product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw3"}"#, reply: "" },
        ..of::<product::DeleteProduct>()
    },
    Operation {
        http: Some(("POST", "/products/{product_id}")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Create a version",
        description: "Makes the next version of a product. A price with the id of an earlier one goes on as the same price.",
        comment: "Makes the next version of a product. A price that has the id of an earlier one goes on as \
                  the same price: its tiers and renewals are not begun anew.",
        refuses: &[404],
        example: Example {
            request: r#"{"product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","prices":[{"name":"Tokens",
                "type":"usage_based","billing_model":{"type":"real_time"},"usage_calculation":{"event_type":"chat",
                "usage_type":"volume","volume_field":"tokens"},"pricing":[{"asset":"USD","values":[{"volume_rate":1.5,
                "package_size":1000000}]}]}],"publish":true}"#,
            reply: r#"{"id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","code":"chat","version":2,"status":"published",
                "is_default":false}"#,
        },
        ..of::<product::CreateVersion>()
    },
    Operation {
        http: Some(("GET", "/products/{product_id}/{version}")),
        surface: OK,
        summary: "Look up a version",
        description: "A version of a product with its prices and entitlements.",
        comment: "A version of a product with its prices and entitlements.",
        refuses: &[404],
        example: Example {
            request: r#"{"product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","version":1}"#,
            reply: r#"{"id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","version":1,"code":"chat","name":"Chat","prices":[{
                "id":"price_01kaj6s0hmfnttn2awnn5jy009","name":"Tokens","type":"usage_based","billing_model":{
                "type":"real_time"},"usage_calculation":{"event_type":"chat","usage_type":"volume",
                "volume_field":"tokens"},"pricing":[{"asset":"USD","values":[{"volume_rate":1.5,
                "package_size":1000000}]}]}],"entitlements":[{"name":"Welcome","asset":"USD","amount":5,
                "purpose":"promotion","lifecycle":{"duration":"month"}}],"status":"published","is_default":true}"#,
        },
        ..of::<product_read::GetVersion>()
    },
    Operation {
        http: Some(("PATCH", "/products/{product_id}/{version}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Publish a version, or make it the default",
        description: "The first version that is published becomes the default; a later one when make_default is true.",
        comment: "Publishes a draft, or makes a published version the default. The first one published becomes \
                  it by itself.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","version":1,"make_default":true}"#,
            reply: "",
        },
        ..of::<product::UpdateVersion>()
    },
    Operation {
        http: Some(("DELETE", "/products/{product_id}/{version}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Archive a version",
        description: "It can no longer be subscribed to; who is subscribed stays so. The default version is refused with 409.",
        comment: "Archives a version: it can no longer be subscribed to. The default version is refused.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","version":2}"#,
            reply: "",
        },
        ..of::<product::ArchiveVersion>()
    },
    Operation {
        http: Some(("POST", "/products/{product_id}/{version}/simulate-usage")),
        surface: OK,
        summary: "Simulate usage",
        description: "What events would cost a customer that has used nothing yet, by the very code that bills. Writes nothing.",
        comment: "What events (a JSON array, 1 to 1,000) would cost a customer that has used nothing yet: fees \
                  in major units, and warnings for what nothing prices. Writes nothing.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","version":1,"events":[{"id":"call-1",
                "event_type":"chat","occurred_at":"2026-06-13T12:00:00.000Z","data":{"model":"large","tokens":1200}}]}"#,
            reply: r#"{"fees":[{"usage_id":"call-1","event_type":"chat","price_id":"price_01kaj6s0hmfnttn2awnn5jy009",
                "price_name":"Tokens","currency":"USD","dimensions":null,"usage_type":"volume",
                "volume_field":"tokens","input_volume":1200,"unit_price":null,"volume_rate":1.5,
                "package_size":1000000,"description":null,"amount":0.0018}],"warnings":[]}"#,
        },
        ..of::<simulate::Simulate>()
    },
    Operation {
        http: Some(("GET", "/products/{product_id}/subscribers")),
        surface: OK,
        summary: "List the subscribers of a product",
        description: "Newest first.",
        comment: "Who is subscribed to a product, newest first.",
        refuses: &[404],
        example: Example {
            request: r#"{"product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1"}"#,
            reply: r#"{"items":[{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","customer_name":"Ann Smith",
                "external_id":"user-17","email":"ann@example.com","subscription_id":"sub_01kaj6s0hmfnttn2awnn5jfzw2",
                "subscription_status":"active","started_at":"2026-06-01T00:00:00.000Z","renews_at":null,
                "product_rate_plan_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1:1","version":1}],"total_count":1,"limit":20,
                "offset":0}"#,
        },
        ..of::<product_read::Subscribers>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/subscriptions")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Subscribe a customer",
        description: "To versions of products, now or from a later time on. Fixed prices are collected from the balance; \
                      where it does not cover them, the status is action_required until it does.",
        comment: "Subscribes a customer to products, a JSON array of {id or code, version}, from starts_at on \
                  (now if null). Fixed prices are collected from the balance at once and at each renewal; not \
                  covered, the status is action_required until they are.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","products":[{"code":"chat"}],
                "starts_at":"2026-06-01T00:00:00.000Z"}"#,
            reply: r#"{"id":"sub_01kaj6s0hmfnttn2awnn5jfzw2","started_at":"2026-06-01T00:00:00.000Z","renews_at":null,
                "status":"active","products":[{"id":"prod_01kaj6s0hmfnttn2awnn5jfzw1","code":"chat","version":1}],
                "required_actions":[]}"#,
        },
        ..of::<subscription::Create>()
    },
    Operation {
        http: Some(("PATCH", "/customers/{customer_id}/subscriptions/{subscription_id}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "End or resume a subscription",
        description: "inactive ends it now; active resumes it, or tries at once to collect what is owed.",
        comment: "inactive ends a subscription (sub_…) now; active resumes it, or tries at once to collect \
                  what is owed.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
                "subscription_id":"sub_01kaj6s0hmfnttn2awnn5jfzw2","status":"active"}"#,
            reply: "",
        },
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
        comment: "Changes the version of a product in a subscription from now on; the default version if null.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
                "subscription_id":"sub_01kaj6s0hmfnttn2awnn5jfzw2","product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1",
                "version":"default"}"#,
            reply: "",
        },
        ..of::<subscription::UpdateProduct>()
    },
    Operation {
        http: Some(("POST", "/events")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Record usage",
        description: "A batch of events of one customer, taken whole or not at all, each id once for good. Priced by what the \
                      customer was subscribed to at occurred_at, and always booked; what nothing prices is kept and free.",
        comment: "Records usage events of a customer (a JSON array, 1 to 1,000) in the caller's own \
                  transaction: whole or not at all, each id once for good. Priced by what the customer was \
                  subscribed to at occurred_at; an account may fall below zero. Returns how many were new, how \
                  many repeated, how many of the new nothing priced, and the fees in major units of each \
                  asset. 2000 names events[i].field; 2006 an id used for other content.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","events":[{"id":"call-1","event_type":"chat",
                "occurred_at":"2026-06-13T12:00:00.000Z","data":{"model":"large","tokens":1200}}]}"#,
            reply: "",
        },
        ..of::<record_usage::RecordUsage>()
    },
    Operation {
        http: Some(("GET", "/events")),
        surface: OK,
        summary: "List usage events",
        description: "Newest first.",
        comment: "Usage events, newest first: of a customer, an id, a subject, days (UTC), types with commas \
                  between them, with or without fees; page_offset, page_size 1 to 100 (20).",
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","limit":20}"#,
            reply: r#"{"items":[{"id":"call-1","customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7",
                "external_id":"user-17","event_type":"chat","subject":null,"description":null,
                "occurred_at":"2026-06-13T12:00:00.000Z","created_at":"2026-06-13T12:00:00.000Z","total_fees":0.0018,
                "fee_currency":"USD","has_fees":true}],"total_count":1,"limit":20,"offset":0}"#,
        },
        ..of::<usage_event_read::ListEvents>()
    },
    Operation {
        http: Some(("GET", "/events/{event_id}")),
        surface: OK,
        summary: "Look up a usage event",
        description: "With its fees.",
        comment: "A usage event by your own id of it, with its fees.",
        refuses: &[404],
        example: Example {
            request: r#"{"event_id":"call-1"}"#,
            reply: r#"{"id":"call-1","event_type":"chat","occurred_at":"2026-06-13T12:00:00.000Z","subject":null,
                "description":null,"data":{"model":"large","tokens":1200},
                "customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","created_at":"2026-06-13T12:00:00.000Z",
                "priced":true,"fees":[{"id":"fee_01kaj6s0hmfnttn2awnn5jy00a","product_id":"prod_01kaj6s0hmfnttn2awnn5jfzw1",
                "product_code":"chat","product_version":1,"price_id":"price_01kaj6s0hmfnttn2awnn5jy009",
                "price_name":"Tokens","currency":"USD","dimensions":null,"usage_type":"volume",
                "volume_field":"tokens","input_volume":1200,"unit_price":null,"volume_rate":1.5,
                "package_size":1000000,"description":null,"amount":0.0018}]}"#,
        },
        ..of::<usage_event_read::GetEvent>()
    },
];
