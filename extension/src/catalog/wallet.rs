//! The customer-wallet surface: assets, customers, their wallets, adjustments, charges and statements.

use super::{CREATED, NO_CONTENT, OK, WALLETS, WALLETS_KEYED};
use crate::operation::{Operation, of};
use crate::surface::Surface;
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
        ..of::<context::Context>()
    },
    Operation {
        http: Some(("POST", "/assets")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Make an asset",
        description: "A unit of your own beside currencies: tokens, minutes, credits. A code is taken once (409).",
        ..of::<asset_operation::Create>()
    },
    Operation {
        http: Some(("GET", "/assets")),
        surface: OK,
        summary: "List assets",
        description: "Your own assets, by code. Currencies are there without being listed.",
        ..of::<asset_operation::List>()
    },
    Operation {
        http: Some(("GET", "/assets/{code}")),
        surface: OK,
        summary: "Look up an asset",
        description: "An asset of yours or a currency, with its rates by source. At most the 1,000 latest rates.",
        ..of::<asset_operation::Get>()
    },
    Operation {
        http: Some(("POST", "/assets/{code}/rates")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Add a rate",
        description: "What one unit of the asset costs in the source, from now or a later time on.",
        ..of::<asset_rate::Add>()
    },
    Operation {
        http: Some(("POST", "/assets/{code}/quote")),
        surface: OK,
        summary: "Quote an exchange",
        description: "What an amount of the source buys, at the rate of now or another time. Writes nothing.",
        ..of::<asset_rate::Quote>()
    },
    Operation {
        http: Some(("POST", "/customers")),
        surface: CREATED,
        terms: WALLETS_KEYED,
        summary: "Make a customer",
        description: "An external_id or an email is one customer's only (409).",
        ..of::<customer::Create>()
    },
    Operation {
        http: Some(("GET", "/customers")),
        surface: OK,
        summary: "List customers",
        description: "Newest first. The name is matched in part, everything else as a whole.",
        ..of::<customer_list::List>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}")),
        surface: OK,
        summary: "Look up a customer",
        description: "A customer with subscriptions and metadata.",
        ..of::<customer::Get>()
    },
    Operation {
        http: Some(("PATCH", "/customers/{customer_id}")),
        surface: NO_CONTENT,
        terms: WALLETS,
        summary: "Change a customer",
        description: "What is not given, or null, stays as it is.",
        ..of::<customer::Update>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet")),
        surface: OK,
        summary: "Look up a wallet",
        description: "The accounts of a customer, oldest first, each with what it has to give.",
        ..of::<account::Wallet>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/{account_id}")),
        surface: OK,
        summary: "Look up an account",
        description: "What one account has to give, what is on its way in, and what is held.",
        ..of::<account::Account>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/transactions/{transaction_id}")),
        surface: OK,
        summary: "Look up a transaction",
        description: "An adjustment, charge or refund by your own id of it.",
        ..of::<transaction::Transaction>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/adjustments")),
        surface: CREATED,
        terms: WALLETS,
        summary: "Adjust a wallet",
        description: "Adds to or takes from a customer's account, once for each transaction_id. Never takes more than there is.",
        ..of::<adjust::Adjust>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/charges")),
        surface: CREATED,
        terms: WALLETS,
        summary: "Charge a customer",
        description: "Takes what something cost, once for each transaction_id. Never takes more than there is.",
        ..of::<charge::Charge>()
    },
    Operation {
        http: Some(("POST", "/customers/{customer_id}/wallet/charges/{charge_id}/refund")),
        surface: CREATED,
        terms: WALLETS,
        summary: "Refund a charge",
        description: "Gives back what a charge took, whole or in parts, to the credit that it came from.",
        ..of::<refund::Refund>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/{account_id}/statement")),
        surface: OK,
        summary: "Read a statement",
        description: "Opening balance, every entry with its cause, closing balance.",
        ..of::<statement::Statement>()
    },
    Operation {
        http: Some(("GET", "/customers/{customer_id}/wallet/{account_id}/statement.csv")),
        surface: Surface::Document { media_type: "text/csv; charset=utf-8" },
        summary: "Read a statement as CSV",
        description: "The same in lines: the opening balance, the entries, the closing balance.",
        ..of::<statement::StatementCsv>()
    },
];
