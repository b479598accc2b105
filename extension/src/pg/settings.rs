//! The settings of the extension (GUCs), all defined in one place.

use std::ffi::CString;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

use crate::pg::setting_stack::Setting;
use crate::value::book::Environment;

/// How long a key in `topup.api_key` speaks for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum KeyLifetime {
    /// No longer than the transaction that set it.
    #[name = c"transaction"]
    Transaction,
    /// As long as the session, which is warned once.
    #[name = c"warn"]
    Warn,
    /// As long as the session.
    #[name = c"session"]
    Session,
}

/// How rows are found, locked and written on the way of every send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub enum WritePath {
    /// Row by row, past the executor: the quicker one.
    #[name = c"rows"]
    Rows,
    /// By ordinary SQL statements.
    #[name = c"statements"]
    Statements,
}

static API_KEY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static API_KEY_LIFETIME: GucSetting<KeyLifetime> = GucSetting::<KeyLifetime>::new(KeyLifetime::Warn);
static ALLOW_PRIVATE_WEBHOOKS: GucSetting<bool> = GucSetting::<bool>::new(false);
static EARLY_LOCK_RELEASE: GucSetting<bool> = GucSetting::<bool>::new(true);
static WRITE_PATH: GucSetting<WritePath> = GucSetting::<WritePath>::new(WritePath::Rows);
static STAGING_CREDIT_CENTS: GucSetting<i32> = GucSetting::<i32>::new(100_000);
static PUBLIC_URL: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"http://127.0.0.1:8080"));
static PAYMENT_PROVIDER_STAGING: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(Some(c"test"));
static PAYMENT_PROVIDER_LIVE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c""));

/// Tells Postgres about the settings; called once, when the library is loaded.
pub fn define() {
    GucRegistry::define_string_guc(
        c"topup.api_key",
        c"The API key for which this session calls the functions of schema topup.",
        c"It goes before the key bound to the role, of whose tenant it must be. Not shown by SHOW ALL, not allowed in configuration files.",
        &API_KEY,
        GucContext::Userset,
        GucFlags::NO_SHOW_ALL | GucFlags::DISALLOW_IN_FILE,
    );
    GucRegistry::define_bool_guc(
        c"topup.allow_private_webhooks",
        c"Lets webhook URLs be http and lead to private addresses: for development.",
        c"The gateway that delivers has the last word, by its own --allow-private-webhooks.",
        &ALLOW_PRIVATE_WEBHOOKS,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"topup.staging_credit_cents",
        c"Play money, in cents, that the first staging key of a tenant finds in its staging wallet.",
        c"",
        &STAGING_CREDIT_CENTS,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"topup.early_lock_release",
        c"Lets the next send of a busy wallet go on while the one before it is written to disk.",
        c"Replies wait for the disk either way.",
        &EARLY_LOCK_RELEASE,
        GucContext::Suset,
        GucFlags::default(),
    );
    define_write_path();
    define_key_lifetime();
    define_payment();
}

fn define_write_path() {
    GucRegistry::define_enum_guc(
        c"topup.write_path",
        c"How calls find, lock and write rows: rows (past the executor, quicker) or statements (ordinary SQL).",
        c"Replies, rows, locks and errors are the same.",
        &WRITE_PATH,
        GucContext::Suset,
        GucFlags::default(),
    );
}

fn define_key_lifetime() {
    GucRegistry::define_enum_guc(
        c"topup.api_key_lifetime",
        c"How long a key in topup.api_key is taken: in the transaction that set it, or as long as the session.",
        c"Behind a pooler in transaction mode a session outlives its client: transaction refuses a key from before.",
        &API_KEY_LIFETIME,
        GucContext::Suset,
        GucFlags::default(),
    );
}

fn define_payment() {
    for (name, description, detail, setting) in [
        (
            c"topup.public_url",
            c"Where payers reach the gateway: addresses of checkouts begin with it.",
            c"",
            &PUBLIC_URL,
        ),
        (
            c"topup.payment_provider_staging",
            c"Who takes the money of staging: test (no real money), stripe, or nobody if empty.",
            c"",
            &PAYMENT_PROVIDER_STAGING,
        ),
        (
            c"topup.payment_provider_live",
            c"Who takes the money of live: stripe, or nobody if empty.",
            c"",
            &PAYMENT_PROVIDER_LIVE,
        ),
    ] {
        GucRegistry::define_string_guc(
            name,
            description,
            detail,
            setting,
            GucContext::Suset,
            GucFlags::default(),
        );
    }
}

/// The key set in this session, if any.
pub fn api_key() -> Option<String> {
    API_KEY.get().and_then(|key| key.into_string().ok()).filter(|key| !key.is_empty())
}

/// What the installation says of keys that outlive the transaction in which they were set.
pub fn api_key_lifetime() -> KeyLifetime {
    API_KEY_LIFETIME.get()
}

thread_local! {
    static API_KEY_SETTING: Setting = const { Setting::new(c"topup.api_key") };
}

/// Whether the key in this session was set in the running transaction.
pub fn is_api_key_of_transaction() -> bool {
    API_KEY_SETTING.with(Setting::is_set_in_transaction)
}

/// Whether http and private addresses pass at registration.
pub fn allow_private_webhooks() -> bool {
    ALLOW_PRIVATE_WEBHOOKS.get()
}

/// Whether others get a wallet before the send that held it is on disk.
pub fn early_lock_release() -> bool {
    EARLY_LOCK_RELEASE.get()
}

/// Whether rows may be found, locked and written past the executor.
pub fn writes_rows() -> bool {
    WRITE_PATH.get() == WritePath::Rows
}

/// Play money for a new tenant's staging wallet, in cents.
pub fn staging_credit_cents() -> i64 {
    STAGING_CREDIT_CENTS.get().into()
}

/// Where payers reach the gateway, without a slash at its end.
pub fn public_url() -> String {
    text(&PUBLIC_URL).trim_end_matches('/').to_owned()
}

/// The name of an environment's payment provider, empty where there is none.
pub fn payment_provider(environment: Environment) -> String {
    text(match environment {
        Environment::Staging => &PAYMENT_PROVIDER_STAGING,
        Environment::Live => &PAYMENT_PROVIDER_LIVE,
    })
}

fn text(setting: &'static GucSetting<Option<CString>>) -> String {
    setting.get().and_then(|text| text.into_string().ok()).unwrap_or_default()
}
