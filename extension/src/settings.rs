//! The settings of the extension (GUCs), all defined in one place.

use std::ffi::CString;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

static API_KEY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ALLOW_PRIVATE_WEBHOOKS: GucSetting<bool> = GucSetting::<bool>::new(false);
static STAGING_CREDIT_CENTS: GucSetting<i32> = GucSetting::<i32>::new(100_000);

/// Tells Postgres about the settings; called once, when the library is loaded.
pub fn define() {
    GucRegistry::define_string_guc(
        c"topup.api_key",
        c"The API key for which this session calls the functions of schema topup.",
        c"It goes before the key bound to the role. Not shown by SHOW ALL, not allowed in configuration files.",
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
}

/// The key set in this session, if any.
pub fn api_key() -> Option<String> {
    API_KEY.get().and_then(|key| key.into_string().ok()).filter(|key| !key.is_empty())
}

/// Whether http and private addresses pass at registration.
pub fn allow_private_webhooks() -> bool {
    ALLOW_PRIVATE_WEBHOOKS.get()
}

/// Play money for a new tenant's staging wallet, in cents.
pub fn staging_credit_cents() -> i64 {
    STAGING_CREDIT_CENTS.get().into()
}
