//! What the gateway is asked to do at a provider, and how long and how often.

use serde::Serialize;
use uuid::Uuid;

use crate::value::amount::Amount;

/// A charge is repeated under its key for so long; after that a provider may have forgotten the key, and is
/// only asked what became of it.
pub const REPEAT_S: i32 = 20 * 3600;
/// When to ask again after so many attempts without an answer; then hourly.
pub const PAUSES_S: [i32; 4] = [5, 30, 120, 600];
pub const PAUSE_S: i32 = 3600;
/// After so long without an answer it is worth a line in the server's log, each time.
pub const STUCK_S: i32 = 86_400;

/// What the gateway is to do, and all that it needs for it.
#[derive(Serialize)]
pub struct ProviderRequest {
    pub action: &'static str,
    pub provider: String,
    pub environment: String,
    pub idempotency_key: String,
    pub payment_id: String,
    pub tenant_id: String,
    pub customer_id: Option<String>,
    pub method: String,
    pub amount: Amount,
    pub amount_minor: Option<i64>,
    pub currency: String,
    pub description: Option<String>,
    pub provider_customer_id: Option<String>,
    pub provider_method_id: Option<String>,
    pub provider_payment_id: Option<String>,
    pub refund_id: Option<Uuid>,
}
