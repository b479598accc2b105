//! The billing portal's pages: what a customer sees and does with its own credit. A link lets it in once, a cookie
//! keeps it in; everything else is in Postgres.

mod act;
mod auth;
mod chart;
mod enter;
mod form;
mod page;
mod show;
mod store;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub use auth::session;
pub use page::too_often;

use crate::app::App;

/// Every path below is the cookie's too.
const PATH: &str = "/portal";

/// The pages of the portal.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/portal/enter/{token}", get(enter::show).post(enter::submit))
        .route(PATH, get(show::overview))
        .route("/portal/history", get(show::history))
        .route("/portal/history.csv", get(show::csv))
        .route("/portal/", get(show::home))
        .route("/portal/top-up", post(act::top_up).get(show::home))
        .route("/portal/auto-top-up", post(act::auto_top_up).get(show::home))
        .route("/portal/card/remove", post(act::remove_card).get(show::home))
        .route("/portal/redeem", post(act::redeem).get(show::home))
        .route("/portal/leave", post(act::leave).get(show::home))
}
