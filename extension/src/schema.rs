//! The schema: every SQL file of the extension, in reading order, with what must be there before it.

use pgrx::prelude::*;

extension_sql_file!("../../sql/schema/role.sql", name = "role", bootstrap);
extension_sql_file!("../../sql/schema/tenant.sql", name = "tenant", requires = ["role"]);
extension_sql_file!("../../sql/schema/ledger.sql", name = "ledger", requires = ["tenant"]);
extension_sql_file!("../../sql/schema/customer.sql", name = "customer", requires = ["ledger"]);
extension_sql_file!("../../sql/schema/idempotency.sql", name = "idempotency", requires = ["tenant"]);
extension_sql_file!("../../sql/schema/top_up.sql", name = "top_up", requires = ["customer", "idempotency"]);
extension_sql_file!(
    "../../sql/schema/asset.sql",
    name = "asset",
    requires = ["top_up", ledger::asset::is_currency]
);
extension_sql_file!("../../sql/schema/grant.sql", name = "grant", requires = ["ledger"]);
extension_sql_file!("../../sql/schema/hold.sql", name = "hold", requires = ["grant"]);
extension_sql_file!("../../sql/schema/product.sql", name = "product", requires = ["asset"]);
extension_sql_file!("../../sql/schema/subscription.sql", name = "subscription", requires = ["product"]);
extension_sql_file!("../../sql/schema/usage_event.sql", name = "usage_event", requires = ["subscription"]);
extension_sql_file!("../../sql/schema/payment.sql", name = "payment", requires = ["grant"]);
extension_sql_file!("../../sql/schema/portal.sql", name = "portal", requires = ["customer"]);
extension_sql_file!("../../sql/schema/payment_refund.sql", name = "payment_refund", requires = ["payment"]);
extension_sql_file!("../../sql/schema/payment_dispute.sql", name = "payment_dispute", requires = ["payment"]);
extension_sql_file!(
    "../../sql/schema/auto_top_up.sql",
    name = "auto_top_up",
    requires =
        ["payment", payment::auto::fire::begin_auto_top_up, payment::auto::fire::auto_top_up_not_begun,]
);
extension_sql_file!(
    "../../sql/schema/webhook.sql",
    name = "webhook",
    requires = ["asset", event::outbox::sql_delivery_ids, top_up::send::body::send_body]
);
extension_sql_file!(
    "../../sql/schema/cache.sql",
    name = "cache",
    requires = ["webhook", pg::cache::invalidate_cached]
);
extension_sql_file!(
    "../../sql/function/argument.sql",
    name = "argument",
    requires = ["tenant", api::sql::id::sql_parse_id]
);
extension_sql_file!(
    "../../sql/function/admin.sql",
    name = "admin",
    requires = ["webhook", "cache", "argument"]
);
extension_sql_file!(
    "../../sql/function/view.sql",
    name = "view",
    requires = [
        "admin",
        "usage_event",
        tenant::visible::visible,
        api::sql::id::sql_format_id,
        wallet::position::due_changes
    ]
);
extension_sql_file!(
    "../../sql/function/statement.sql",
    name = "statement",
    requires = ["view", api::sql::id::sql_parse_id]
);
extension_sql_file!(
    "../../sql/audit/grant.sql",
    name = "grant_check",
    requires = ["hold", "admin", api::sql::id::sql_format_id, admin::account::system_account_id]
);
extension_sql_file!(
    "../../sql/audit/billing.sql",
    name = "billing_check",
    requires = ["usage_event", "admin", api::sql::id::sql_format_id]
);
extension_sql_file!(
    "../../sql/audit/payment.sql",
    name = "payment_check",
    requires = [
        "payment",
        "webhook",
        api::sql::id::sql_format_id,
        admin::account::system_account_id,
        admin::account::customer_account_id
    ]
);
extension_sql_file!(
    "../../sql/audit/payment_refund.sql",
    name = "payment_refund_check",
    requires = ["payment_refund", "payment_check"]
);
extension_sql_file!(
    "../../sql/audit/payment_dispute.sql",
    name = "payment_dispute_check",
    requires = ["payment_dispute", "payment_check"]
);
extension_sql_file!(
    "../../sql/audit/auto_top_up.sql",
    name = "auto_top_up_check",
    requires = ["auto_top_up"]
);
extension_sql_file!(
    "../../sql/audit/restore.sql",
    name = "restore_check",
    requires = ["auto_top_up", "cache"]
);
extension_sql_file!(
    "../../sql/audit/ledger.sql",
    name = "ledger_check",
    requires = [
        "webhook",
        admin::account::founding_accounts,
        admin::account::system_account_id,
        admin::account::customer_account_id,
    ]
);
extension_sql_file!(
    "../../sql/audit/check.sql",
    name = "check",
    requires = [
        "restore_check",
        "statement",
        "grant_check",
        "billing_check",
        "payment_check",
        "auto_top_up_check",
        "payment_refund_check",
        "payment_dispute_check",
        "ledger_check",
    ]
);
extension_sql_file!(
    "../../sql/plan.sql",
    name = "plan",
    requires = [
        "view",
        "statement",
        "subscription",
        webhook::queue::claim_effects,
        webhook::settle::settle_effects,
        api::due::run_due,
        payment::settle::settle_payments,
        payment::report::report_payment,
    ]
);
extension_sql_file!("../../sql/access.sql", name = "access", finalize);
