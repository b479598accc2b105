//! The schema: every SQL file of the extension, in reading order, with what must be there before it.

use pgrx::prelude::*;

extension_sql_file!("../../sql/role.sql", name = "role", bootstrap);
extension_sql_file!("../../sql/tenant.sql", name = "tenant", requires = ["role"]);
extension_sql_file!("../../sql/ledger.sql", name = "ledger", requires = ["tenant"]);
extension_sql_file!("../../sql/customer.sql", name = "customer", requires = ["ledger"]);
extension_sql_file!("../../sql/top_up.sql", name = "top_up", requires = ["customer"]);
extension_sql_file!("../../sql/asset.sql", name = "asset", requires = ["top_up", ledger::asset::is_currency]);
extension_sql_file!("../../sql/grant.sql", name = "grant", requires = ["ledger"]);
extension_sql_file!("../../sql/hold.sql", name = "hold", requires = ["grant"]);
extension_sql_file!("../../sql/product.sql", name = "product", requires = ["asset"]);
extension_sql_file!("../../sql/subscription.sql", name = "subscription", requires = ["product"]);
extension_sql_file!("../../sql/usage_event.sql", name = "usage_event", requires = ["subscription"]);
extension_sql_file!("../../sql/payment.sql", name = "payment", requires = ["grant"]);
extension_sql_file!("../../sql/portal.sql", name = "portal", requires = ["customer"]);
extension_sql_file!("../../sql/payment_refund.sql", name = "payment_refund", requires = ["payment"]);
extension_sql_file!("../../sql/payment_dispute.sql", name = "payment_dispute", requires = ["payment"]);
extension_sql_file!(
    "../../sql/auto_top_up.sql",
    name = "auto_top_up",
    requires =
        ["payment", payment::auto::fire::begin_auto_top_up, payment::auto::fire::auto_top_up_not_begun,]
);
extension_sql_file!(
    "../../sql/webhook.sql",
    name = "webhook",
    requires = ["asset", event::outbox::sql_delivery_ids, top_up::send::body::send_body]
);
extension_sql_file!(
    "../../sql/cache.sql",
    name = "cache",
    requires = ["webhook", pg::cache::invalidate_cached]
);
extension_sql_file!(
    "../../sql/argument.sql",
    name = "argument",
    requires = ["tenant", value::id::sql_parse_id]
);
extension_sql_file!("../../sql/admin.sql", name = "admin", requires = ["webhook", "cache", "argument"]);
extension_sql_file!(
    "../../sql/view.sql",
    name = "view",
    requires =
        ["admin", "usage_event", admin::admin::visible, value::id::sql_format_id, standing::due_changes]
);
extension_sql_file!(
    "../../sql/statement.sql",
    name = "statement",
    requires = ["view", value::id::sql_parse_id]
);
extension_sql_file!(
    "../../sql/grant_check.sql",
    name = "grant_check",
    requires = ["hold", "admin", value::id::sql_format_id, admin::admin::system_account_id]
);
extension_sql_file!(
    "../../sql/billing_check.sql",
    name = "billing_check",
    requires = ["usage_event", "admin", value::id::sql_format_id]
);
extension_sql_file!(
    "../../sql/payment_check.sql",
    name = "payment_check",
    requires = [
        "payment",
        "webhook",
        value::id::sql_format_id,
        admin::admin::system_account_id,
        admin::admin::customer_account_id
    ]
);
extension_sql_file!(
    "../../sql/payment_refund_check.sql",
    name = "payment_refund_check",
    requires = ["payment_refund", "payment_check"]
);
extension_sql_file!(
    "../../sql/payment_dispute_check.sql",
    name = "payment_dispute_check",
    requires = ["payment_dispute", "payment_check"]
);
extension_sql_file!(
    "../../sql/auto_top_up_check.sql",
    name = "auto_top_up_check",
    requires = ["auto_top_up"]
);
extension_sql_file!(
    "../../sql/restore_check.sql",
    name = "restore_check",
    requires = ["auto_top_up", "cache"]
);
extension_sql_file!(
    "../../sql/check.sql",
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
        admin::admin::founding_accounts,
        admin::admin::system_account_id,
        admin::admin::customer_account_id,
    ]
);
extension_sql_file!(
    "../../sql/wallet_comment.sql",
    name = "wallet_comment",
    requires = [
        "check",
        "statement",
        face::wallet::asset_create,
        face::wallet::asset_list,
        face::wallet::asset_get,
        face::wallet::asset_add_rate,
        face::wallet::asset_quote,
        face::wallet::customer_create,
        face::wallet::customer_list,
        face::wallet::customer_get,
        face::wallet::customer_update,
        face::wallet::wallet,
        face::wallet::wallet_account,
        face::wallet::wallet_transaction,
        face::wallet::adjust,
        face::wallet::charge,
        face::wallet::refund,
        face::wallet::statement,
        face::wallet::statement_csv,
    ]
);
extension_sql_file!(
    "../../sql/hold_comment.sql",
    name = "hold_comment",
    requires = [
        "check",
        face::hold::hold,
        face::hold::settle,
        face::hold::release,
        face::hold::hold_status,
        face::hold::grant_list,
        standing::due_changes,
    ]
);
extension_sql_file!(
    "../../sql/billing_comment.sql",
    name = "billing_comment",
    requires = [
        "billing_check",
        billing::renewal::renew,
        face::billing::product_create,
        face::billing::product_list,
        face::billing::product_get,
        face::billing::product_delete,
        face::billing::product_version_create,
        face::billing::product_version_get,
        face::billing::product_version_update,
        face::billing::product_version_archive,
        face::billing::simulate_usage,
        face::billing::product_subscribers,
        face::billing::subscription_create,
        face::billing::subscription_update,
        face::billing::subscription_product_update,
        face::billing::record_usage,
        face::billing::usage_event_list,
        face::billing::usage_event_get,
    ]
);
extension_sql_file!(
    "../../sql/payment_comment.sql",
    name = "payment_comment",
    requires = [
        "payment_check",
        face::payment::top_up_create,
        face::payment::top_up_get,
        payment::checkout::checkout_view,
        payment::checkout::checkout_begin,
        payment::report::report_payment,
        payment::work::claim_payments,
        payment::work::settle_payments,
        payment::work::next_payment_due,
    ]
);
extension_sql_file!(
    "../../sql/portal_comment.sql",
    name = "portal_comment",
    requires = [
        "portal",
        "statement",
        face::portal::portal_session_create,
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
    "../../sql/auto_top_up_comment.sql",
    name = "auto_top_up_comment",
    requires = [
        "auto_top_up_check",
        face::payment::set_auto_top_up,
        face::payment::remove_auto_top_up,
        face::payment::auto_top_up,
    ]
);
extension_sql_file!(
    "../../sql/funding_comment.sql",
    name = "funding_comment",
    requires = [
        "check",
        face::funding::funding_top_up,
        face::funding::funding_top_up_status,
        face::funding::funding_config_get,
        face::funding::funding_config_set,
        face::funding::funding_config_delete,
        face::funding::credit_balance,
        face::funding::payment_methods,
        face::funding::payment_method_replace,
        face::funding::payment_method_remove,
        face::funding::invoice_history,
        face::funding::invoice_preview,
        face::funding::usage_history,
        face::funding::spending_limit_get,
        face::funding::spending_limit_set,
        face::funding::spending_limit_delete,
    ]
);
extension_sql_file!(
    "../../sql/payment_refund_comment.sql",
    name = "payment_refund_comment",
    requires = ["payment_refund_check", face::payment::top_up_refund]
);
extension_sql_file!(
    "../../sql/payment_dispute_comment.sql",
    name = "payment_dispute_comment",
    requires = ["payment_dispute_check"]
);
extension_sql_file!("../../sql/access.sql", name = "access", finalize);
