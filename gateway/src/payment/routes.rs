//! The pages of payments, and where providers report.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::{checkout, stripe_event};
use crate::app::App;

/// Routes beside the API.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/checkout/{token}", get(checkout::show).post(checkout::submit))
        .route("/payments/stripe/webhook", post(stripe_event::receive))
}
