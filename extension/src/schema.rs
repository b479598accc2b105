//! The schema: every SQL file of the extension, in reading order, with what must be there before it.

use pgrx::prelude::*;

extension_sql_file!("../../sql/schema/role.sql", name = "role", bootstrap);
extension_sql_file!("../../sql/schema/tenant.sql", name = "tenant", requires = ["role"]);
extension_sql_file!("../../sql/schema/ledger.sql", name = "ledger", requires = ["tenant"]);
extension_sql_file!("../../sql/schema/customer.sql", name = "customer", requires = ["ledger"]);
extension_sql_file!("../../sql/schema/top_up.sql", name = "top_up", requires = ["customer"]);
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
        admin::account::founding_accounts,
        admin::account::system_account_id,
        admin::account::customer_account_id,
    ]
);
extension_sql_file!(
    "../../sql/comment/wallet.sql",
    name = "wallet_comment",
    requires = [
        "check",
        "statement",
        api::sql::wallet::asset_create,
        api::sql::wallet::asset_list,
        api::sql::wallet::asset_get,
        api::sql::wallet::asset_add_rate,
        api::sql::wallet::asset_quote,
        api::sql::wallet::customer_create,
        api::sql::wallet::customer_list,
        api::sql::wallet::customer_get,
        api::sql::wallet::customer_update,
        api::sql::wallet::wallet,
        api::sql::wallet::wallet_account,
        api::sql::wallet::wallet_transaction,
        api::sql::wallet::adjust,
        api::sql::wallet::charge,
        api::sql::wallet::refund,
        api::sql::wallet::statement,
        api::sql::wallet::statement_csv,
    ]
);
extension_sql_file!(
    "../../sql/comment/hold.sql",
    name = "hold_comment",
    requires = [
        "check",
        api::sql::hold::hold,
        api::sql::hold::settle,
        api::sql::hold::release,
        api::sql::hold::hold_status,
        api::sql::hold::grant_list,
        wallet::position::due_changes,
    ]
);
extension_sql_file!(
    "../../sql/comment/billing.sql",
    name = "billing_comment",
    requires = [
        "billing_check",
        billing::renewal::renew,
        api::sql::billing::product_create,
        api::sql::billing::product_list,
        api::sql::billing::product_get,
        api::sql::billing::product_delete,
        api::sql::billing::product_version_create,
        api::sql::billing::product_version_get,
        api::sql::billing::product_version_update,
        api::sql::billing::product_version_archive,
        api::sql::billing::simulate_usage,
        api::sql::billing::product_subscribers,
        api::sql::billing::subscription_create,
        api::sql::billing::subscription_update,
        api::sql::billing::subscription_product_update,
        api::sql::billing::record_usage,
        api::sql::billing::usage_event_list,
        api::sql::billing::usage_event_get,
    ]
);
extension_sql_file!(
    "../../sql/comment/payment.sql",
    name = "payment_comment",
    requires = [
        "payment_check",
        api::sql::payment::top_up_create,
        api::sql::payment::top_up_get,
        payment::checkout::checkout_view,
        payment::checkout::checkout_begin,
        payment::report::report_payment,
        payment::claim::claim_payments,
        payment::settle::settle_payments,
        payment::claim::next_payment_due,
    ]
);
extension_sql_file!(
    "../../sql/comment/portal.sql",
    name = "portal_comment",
    requires = [
        "portal",
        "statement",
        api::sql::portal::portal_session_create,
        portal::enter::portal_link,
        portal::enter::portal_enter,
        portal::enter::portal_leave,
        portal::view::portal_view,
        portal::history::portal_history,
        portal::history::portal_csv,
        portal::act::portal_act,
    ]
);
extension_sql_file!(
    "../../sql/comment/auto_top_up.sql",
    name = "auto_top_up_comment",
    requires = [
        "auto_top_up_check",
        api::sql::payment::set_auto_top_up,
        api::sql::payment::remove_auto_top_up,
        api::sql::payment::auto_top_up,
    ]
);
extension_sql_file!(
    "../../sql/comment/funding.sql",
    name = "funding_comment",
    requires = [
        "check",
        api::sql::funding::funding_top_up,
        api::sql::funding::funding_top_up_status,
        api::sql::funding::funding_config_get,
        api::sql::funding::funding_config_set,
        api::sql::funding::funding_config_delete,
        api::sql::funding::credit_balance,
        api::sql::funding::payment_methods,
        api::sql::funding::payment_method_replace,
        api::sql::funding::payment_method_remove,
        api::sql::funding::invoice_history,
        api::sql::funding::invoice_preview,
        api::sql::funding::usage_history,
        api::sql::funding::spending_limit_get,
        api::sql::funding::spending_limit_set,
        api::sql::funding::spending_limit_delete,
    ]
);
extension_sql_file!(
    "../../sql/comment/payment_refund.sql",
    name = "payment_refund_comment",
    requires = ["payment_refund_check", api::sql::payment::top_up_refund]
);
extension_sql_file!(
    "../../sql/comment/payment_dispute.sql",
    name = "payment_dispute_comment",
    requires = ["payment_dispute_check"]
);
extension_sql_file!("../../sql/access.sql", name = "access", finalize);
