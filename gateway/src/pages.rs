//! What is not an operation: health, documentation and metrics.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::app::App;
use crate::catalog::Catalog;
use crate::docs::{guide, reference};
use crate::guess;
use crate::observe;
use crate::payment;
use crate::portal;
use crate::postgres::database::Database;
use crate::reply::Refusal;

/// The pages beside the API.
pub fn router(app: Arc<App>) -> Router<Arc<App>> {
    let of_secrets = payment::routes::router().merge(portal::router());
    let of_secrets = of_secrets.route_layer(middleware::from_fn_with_state(app, guess::limit));
    Router::new()
        .route("/", get(async || Redirect::to("/docs")))
        .route("/docs", get(docs_page))
        .route("/docs/reference.js", get(reference::script))
        .merge(guide::router())
        .route("/openapi.json", get(openapi))
        .route("/health/live", get(async || health(StatusCode::OK, r#"{"status":"live"}"#)))
        .route("/health/ready", get(ready))
        .merge(of_secrets)
}

/// What is served on the metrics port.
pub fn metrics_router(handle: PrometheusHandle, database: Database) -> Router {
    let text = move || {
        let body = observe::render(&handle, &database);
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        std::future::ready(([(header::CONTENT_TYPE, content_type)], body))
    };
    Router::new().route("/metrics", get(text))
}

/// The page itself needs no catalog, but has nothing to show without one.
async fn docs_page(State(app): State<Arc<App>>) -> Response<Body> {
    with_catalog(&app, |_| reference::page())
}

async fn openapi(State(app): State<Arc<App>>) -> Response<Body> {
    with_catalog(&app, |catalog| {
        ([(header::CONTENT_TYPE, "application/json")], catalog.openapi.clone()).into_response()
    })
}

async fn ready(State(app): State<Arc<App>>) -> Response<Body> {
    let has_catalog = app.catalog.load().is_some();
    if !app.readiness.postgres_answers(&app.database).await {
        return health(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"unavailable","reason":"postgres"}"#);
    }
    if !has_catalog {
        return health(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"unavailable","reason":"catalog"}"#);
    }
    health(StatusCode::OK, r#"{"status":"ready"}"#)
}

fn health(status: StatusCode, body: &'static str) -> Response<Body> {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

fn with_catalog(app: &App, page: impl FnOnce(&Catalog) -> Response<Body>) -> Response<Body> {
    match app.catalog.load().as_ref() {
        Some(catalog) => page(catalog),
        None => Refusal::unavailable().into_response(),
    }
}
