//! The customer-wallet surface: assets, customers, their wallets, adjustments, charges and statements.

use super::{CREATED, NO_CONTENT, OK, WALLETS, WALLETS_KEYED};
use crate::operation::definition::{Example, Operation, of};
use crate::operation::response_format::ResponseFormat;
use crate::wallet::{
    account, adjust, asset_operation, asset_rate, charge, context, customer, customer_list, refund,
    statement, transaction,
};

pub static OPERATIONS: &[Operation] = &[
    Operation {
        http: Some(("GET", "/accounts/self")),
        surface: OK,
        summary: "Who this key speaks for",
        description: "The tenant and environment of the key.",
        comment: "The tenant, its name, and the environment (live or test) of the key.",
        example: Example {
            request: r#"{}"#,
            reply: r#"{"account_id":"acct_01kaj6s0hmfnttn2awnn5jfzv1","environment":"test","name":"Acme"}"#,
        },
        ..of::<context::Context>()
    },
    Operation {
        http: Some(("POST", "/assets")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Make an asset",
        description: "A unit of your own beside currencies: tokens, minutes, credits. A code is taken once (409).",
        comment: "Makes an asset of one's own: code (2 to 30 of A-Z, 0-9 and _), decimals 0 to 18 (2), rates \
                  [{source, rate or inverse_rate}]. Returns the envelope; 2006 where the code is taken.",
        example: Example {
            request: r#"{"code":"TOKENS","name":"Tokens","precision":0,"rates":[{"source":"USD","rate":0.001}]}"#,
            reply: r#"{"code":"TOKENS","created_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<asset_operation::Create>()
    },
    Operation {
        http: Some(("GET", "/assets")),
        surface: OK,
        summary: "List assets",
        description: "Your own assets, by code. Currencies are there without being listed.",
        comment: "The tenant's own assets by code: page_size 1 to 100 (20), page_offset.",
        example: Example {
            request: r#"{"limit":20}"#,
            reply: r#"{"items":[{"code":"TOKENS","name":"Tokens"}],"total_count":1,"limit":20,"offset":0}"#,
        },
        ..of::<asset_operation::List>()
    },
    Operation {
        http: Some(("GET", "/assets/{code}")),
        surface: OK,
        summary: "Look up an asset",
        description: "An asset of yours or a currency, with its rates by source. At most the 1,000 latest rates.",
        comment: "An asset or currency with its rates by source.",
        refuses: &[404],
        example: Example {
            request: r#"{"code":"TOKENS"}"#,
            reply: r#"{"code":"TOKENS","name":"Tokens","precision":0,"label":null,"symbol":null,"rates":[{
                "source":"USD","schedule":[{"valid_from":"2026-06-13T12:00:00.000Z","valid_to":null,"rate":0.001,
                "inverse_rate":1000}]}],"created_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<asset_operation::Get>()
    },
    Operation {
        http: Some(("POST", "/assets/{code}/rates")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Add a rate",
        description: "What one unit of the asset costs in the source, from now or a later time on.",
        comment: "Sets what one unit of an asset costs in the source, from valid_from (now) until valid_to. Of \
                  rates that overlap, the one that begins last counts.",
        refuses: &[404],
        example: Example {
            request: r#"{"code":"TOKENS","source":"USD","rate":0.002,"valid_from":"2036-01-01T00:00:00.000Z"}"#,
            reply: "",
        },
        ..of::<asset_rate::Add>()
    },
    Operation {
        http: Some(("POST", "/assets/{code}/quote")),
        surface: OK,
        summary: "Quote an exchange",
        description: "What an amount of the source buys, at the rate of now or another time. Writes nothing.",
        comment: "What an amount of the source buys of an asset at the rate of exchange_at (now), rounded \
                  half-even to its precision. Writes nothing.",
        refuses: &[404],
        example: Example {
            request: r#"{"code":"TOKENS","source":"USD","amount":10}"#,
            reply: r#"{"source":"USD","source_amount":10,"destination":"TOKENS","destination_amount":10000,
                "rate":0.001,"inverse_rate":1000}"#,
        },
        ..of::<asset_rate::Quote>()
    },
    Operation {
        http: Some(("POST", "/customers")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Make a customer",
        description: "An external_id or an email is one customer's only (409).",
        comment: "Makes a customer (cust_…). external_id and email are one customer's only: 2006 with the \
                  field. metadata: an object of texts, at most 4 KiB.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"name":"Ann Example","external_id":"user-17","email":"ann@example.com","metadata":{
                "plan":"pro"}}"#,
            reply: r#"{"id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","subscriptions":[]}"#,
        },
        ..of::<customer::Create>()
    },
    Operation {
        http: Some(("GET", "/customers")),
        surface: OK,
        summary: "List customers",
        description: "Newest first. The name is matched in part, everything else as a whole.",
        comment: "Customers, newest first, by customer_id, external_id, email, part of the name, status \
                  (active or inactive): page_size 1 to 100 (20), page_offset.",
        example: Example {
            request: r#"{"external_id":"user-17"}"#,
            reply: r#"{"items":[{"id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","external_id":"user-17","name":"Ann Example",
                "email":"ann@example.com","active_subscription_count":0}],"total_count":1,"limit":20,"offset":0}"#,
        },
        ..of::<customer_list::List>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}")),
        surface: OK,
        summary: "Look up a customer",
        description: "A customer with subscriptions and metadata.",
        comment: "A customer (cust_…) with subscriptions and metadata.",
        refuses: &[404],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7"}"#,
            reply: r#"{"id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","external_id":"user-17","name":"Ann Example",
                "email":"ann@example.com","active_subscription_count":0,"created_at":"2026-06-13T12:00:00.000Z",
                "metadata":{"plan":"pro"},"subscriptions":[],"external_accounts":null}"#,
        },
        ..of::<customer::Get>()
    },
    Operation {
        http: Some(("PATCH", "/customers/{customer_id}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Change a customer",
        description: "What is not given, or null, stays as it is.",
        comment: "Changes name, external_id or email of a customer; what is null stays.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","name":"Ann Smith"}"#,
            reply: "",
        },
        ..of::<customer::Update>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet")),
        surface: OK,
        summary: "Look up a wallet",
        description: "The accounts of a customer, oldest first, each with what it has to give.",
        comment: "The accounts of a customer (cust_…), each with what it has to give, in major units.",
        refuses: &[404],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7"}"#,
            reply: r#"{"accounts":[{"id":"default:USD","name":"default","asset":"USD","available":24}]}"#,
        },
        ..of::<account::Wallet>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/{account_id}")),
        surface: OK,
        summary: "Look up an account",
        description: "What one account has to give, what is on its way in, and what is held.",
        comment: "One account ({name}:{asset}) of a customer: available, pending_in (not yet effective), \
                  pending_out (held), in major units.",
        refuses: &[404],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","account_id":"default:USD"}"#,
            reply: r#"{"id":"default:USD","name":"default","asset":"USD","available":24,"pending_in":0,
                "pending_out":2.5}"#,
        },
        ..of::<account::Account>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/transactions/{transaction_id}")),
        surface: OK,
        summary: "Look up a transaction",
        description: "An adjustment, charge or refund by your own id of it.",
        comment: "An adjustment, charge or refund of a customer by the caller's own id of it.",
        refuses: &[404],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","transaction_id":"gift-1"}"#,
            reply: r#"{"id":"gift-1","type":"adjustment","account_id":"default:USD","asset":"USD","amount":25,
                "description":"Welcome","metadata":null,"created_at":"2026-06-13T12:00:00.000Z",
                "executed_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<transaction::Transaction>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/adjustments")),
        surface: CREATED,
        terms: WALLETS,
        summary: "Adjust a wallet",
        description: "Adds to or takes from a customer's account, once for each transaction_id. Never takes more than there is.",
        comment: "Adds to (or, if negative, takes from) a customer's account, or without customer_id the own \
                  wallet, once for each transaction_id. amount is in major units; reason: gift, \
                  external_topup, external_refund, other. Added credit may take effect later (effective_at) \
                  and expire (expires_at; a year after it takes effect for external_topup and \
                  external_refund). 2002 where the balance does not cover it.",
        refuses: &[402, 404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","transaction_id":"gift-1","asset":"USD",
                "amount":25,"reason":"gift","description":"Welcome","expires_at":"2036-01-01T00:00:00.000Z"}"#,
            reply: r#"{"id":"gift-1","account_id":"default:USD","asset":"USD","amount":25,"balance":25,
                "created_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<adjust::Adjust>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/charges")),
        surface: CREATED,
        terms: WALLETS,
        summary: "Charge a customer",
        description: "Takes what something cost, once for each transaction_id. Never takes more than there is.",
        comment: "Takes an amount in major units from a customer's account, once for each transaction_id. 2002 \
                  where the balance does not cover it. input_units to package_size are kept as told.",
        refuses: &[402, 404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","transaction_id":"call-17","asset":"USD",
                "amount":1.25,"subject":"gpt"}"#,
            reply: r#"{"id":"call-17","account_id":"default:USD","asset":"USD","amount":-1.25,"balance":23.75,
                "created_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<charge::Charge>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/charges/{charge_id}/refund")),
        surface: CREATED,
        terms: WALLETS,
        summary: "Refund a charge",
        description: "Gives back what a charge took, whole or in parts, to the credit that it came from.",
        comment: "Gives back a charge (charge_id: its transaction_id), whole or an amount in major units, once \
                  for each transaction_id (the charge's if null). 2006 where nothing is left of it.",
        refuses: &[404, 409],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","charge_id":"call-17",
                "transaction_id":"call-17-refund","amount":0.25}"#,
            reply: r#"{"id":"call-17-refund","account_id":"default:USD","asset":"USD","amount":0.25,"balance":24,
                "created_at":"2026-06-13T12:00:00.000Z"}"#,
        },
        ..of::<refund::Refund>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/{account_id}/statement")),
        surface: OK,
        summary: "Read a statement",
        description: "Opening balance, every entry with its cause, closing balance.",
        comment: "Opening balance, every entry with its cause, and closing balance of an account \
                  ({name}:{asset}) from period_from (its beginning) until before period_to (now); at most \
                  10,000 entries.",
        refuses: &[404],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","account_id":"default:USD"}"#,
            reply: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","account_id":"default:USD","from":null,
                "to":"2026-06-13T12:00:00.000Z","opening_balance":0,"closing_balance":24,"entries":[{
                "at":"2026-06-13T12:00:00.000Z","kind":"adjust","transaction_id":"txn_01kaj6s0hmfnttn2awnn5jy005",
                "reference":"gift-1","description":"Welcome","amount":25,"balance":25},{
                "at":"2026-06-13T12:00:00.000Z","kind":"charge","transaction_id":"txn_01kaj6s0hmfnttn2awnn5jy006",
                "reference":"call-17","description":null,"amount":-1.25,"balance":23.75},{
                "at":"2026-06-13T12:00:00.000Z","kind":"refund","transaction_id":"txn_01kaj6s0hmfnttn2awnn5jy007",
                "reference":"call-17-refund","description":null,"amount":0.25,"balance":24}]}"#,
        },
        ..of::<statement::Statement>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/{account_id}/statement.csv")),
        surface: ResponseFormat::Document { media_type: "text/csv; charset=utf-8" },
        summary: "Read a statement as CSV",
        description: "The same in lines: the opening balance, the entries, the closing balance.",
        comment: "The same as CSV, in the data of the envelope.",
        refuses: &[404],
        example: Example {
            request: r#"{"customer_id":"cust_01kaj6s0hmfnttn2awnn5jfzv7","account_id":"default:USD"}"#,
            reply: "at,kind,transaction_id,reference,description,amount,balance\r\n\
                    ,opening,,,,,0\r\n\
                    2026-06-13T12:00:00.000Z,adjust,txn_01kaj6s0hmfnttn2awnn5jy005,gift-1,Welcome,25,25\r\n\
                    2026-06-13T12:00:00.000Z,charge,txn_01kaj6s0hmfnttn2awnn5jy006,call-17,,-1.25,23.75\r\n\
                    2026-06-13T12:00:00.000Z,refund,txn_01kaj6s0hmfnttn2awnn5jy007,call-17-refund,,0.25,24\r\n\
                    2026-06-13T12:00:00.000Z,closing,,,,,24\r\n",
        },
        ..of::<statement::StatementCsv>()
    },
];
