//! Logs and metrics: how they are set up, and what each metric means.

use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{LogFormat, LogLevel};
use crate::postgres::database::Database;

const BUCKETS_S: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
const BUCKETS_CALLS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 75.0, 100.0];
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
const UNPRICED_USAGE: &str = "topup_usage_unpriced_last_hour";
const UNPRICED_INTERVAL: Duration = Duration::from_secs(10);

/// Logs to stderr. Only our own crate follows the wanted level: at debug, the database driver would
/// log parameters, API keys among them.
pub fn start_logs(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let others = level.min(Level::WARN);
    let filter = Targets::new()
        .with_default(others)
        .with_target("topup_gateway", level)
        // Below that it tells what clients do wrong.
        .with_target("rmcp", LevelFilter::ERROR)
        .with_target("deadpool", LevelFilter::ERROR);
    let layer = match format {
        LogFormat::Json => {
            fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).with_target(false).boxed()
        }
        LogFormat::Text => {
            use std::io::IsTerminal;
            let ansi = std::io::stderr().is_terminal();
            fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(ansi).boxed()
        }
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}

/// Installs the recorder of metrics and describes them.
pub fn start_metrics() -> Result<PrometheusHandle, String> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS_S)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_calls".to_owned()), &BUCKETS_CALLS)
        })
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| format!("metrics cannot be set up: {error}"))?;
    describe_counter!("topup_http_requests_total", "Requests answered, by operation, HTTP status and code");
    describe_histogram!(
        "topup_http_request_duration_seconds",
        Unit::Seconds,
        "Time to answer a request, by operation"
    );
    describe_gauge!("topup_http_in_flight", "Requests being answered");
    describe_histogram!("topup_send_batch_calls", "Sends of one key that shared a transaction");
    describe_counter!("topup_rate_limited_total", "Requests refused because their key made too many");
    describe_counter!(
        "topup_keys_refused_total",
        "API keys refused before their request was read: malformed, unknown to Postgres, or waiting for their address"
    );
    describe_gauge!("topup_body_bytes_held", Unit::Bytes, "Bodies of requests in memory");
    describe_counter!(
        "topup_share_refused_total",
        "Calls refused because their key or tenant had its share of the connections in use, by whose share it was"
    );
    describe_counter!("topup_mcp_calls_total", "Tool calls over MCP, by tool and code");
    describe_gauge!("topup_mcp_sessions", "Open sessions of MCP's legacy SSE");
    describe_counter!("topup_webhook_attempts_total", "Webhook attempts, by outcome");
    describe_histogram!("topup_webhook_attempt_duration_seconds", Unit::Seconds, "Time that an attempt took");
    describe_gauge!("topup_webhook_in_flight", "Webhook attempts under way");
    describe_gauge!(
        "topup_webhook_outcomes_skipped",
        "Outcomes of webhook attempts that wait for somebody's transaction to be recorded"
    );
    describe_counter!("topup_worker_claims_total", "Looks for due webhooks, by whether any were found");
    describe_counter!("topup_worker_effects_claimed_total", "Webhooks claimed for an attempt");
    describe_counter!("topup_payment_orders_total", "What providers were asked, by action and result");
    describe_gauge!("topup_payment_in_flight", "Payments that a provider is being asked about");
    describe_gauge!("topup_listener_connected", "1 while the worker listens for wake-ups");
    describe_gauge!("topup_postgres_up", "1 while Postgres answers with the extension's version");
    describe_gauge!(
        UNPRICED_USAGE,
        "Usage events of the last hour that nothing prices, of all tenants, by whatever door they came"
    );
    describe_gauge!("topup_database_connections", "Open connections to Postgres, by pool");
    describe_gauge!("topup_database_connections_idle", "Open connections that nobody uses, by pool");
    describe_gauge!("topup_database_waiting", "Requests that wait for a connection, by pool");
    gauge!("topup_postgres_up").set(0.0);
    Ok(handle)
}

/// All metrics as text, the pools' state fresh.
pub fn render(handle: &PrometheusHandle, database: &Database) -> String {
    for (pool, status) in database.pools() {
        gauge!("topup_database_connections", "pool" => pool).set(status.size as f64);
        gauge!("topup_database_connections_idle", "pool" => pool).set(status.available as f64);
        gauge!("topup_database_waiting", "pool" => pool).set(status.waiting as f64);
    }
    handle.render()
}

/// Folds samples away so that histograms stay small when nobody asks.
pub async fn keep_up(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP_INTERVAL).await;
        handle.run_upkeep();
    }
}

/// Counts usage that nothing prices, in the database: every gateway tells the same.
pub async fn watch_usage(database: Database) {
    loop {
        match database.unpriced_last_hour().await {
            Ok(count) => gauge!(UNPRICED_USAGE).set(count as f64),
            Err(fault) => tracing::debug!(%fault, "usage that nothing prices cannot be counted now"),
        }
        tokio::time::sleep(UNPRICED_INTERVAL).await;
    }
}
