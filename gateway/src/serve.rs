//! The gateway's life: everything is started here, and ended in order.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::catalog;
use crate::config::Settings;
use crate::http;
use crate::limit::Limiter;
use crate::observe;
use crate::pages;
use crate::payment::{self, Providers};
use crate::postgres::database::Database;
use crate::postgres::target::{Session, Target};
use crate::postgres::wake;
use crate::postgres::wake::Heard;
use crate::server;
use crate::webhook::concurrency::Lanes;
use crate::webhook::deliver::Deliverer;
use crate::webhook::worker;

/// How much of the grace after SIGTERM requests may take; the rest is the worker's.
const REQUESTS_SHARE: f64 = 0.8;
const LIMITER_UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Binds, serves until SIGTERM or SIGINT, and finishes what is under way.
pub async fn run(settings: Settings) -> Result<(), String> {
    let bind = async |address: SocketAddr| {
        TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))
    };
    let api = bind(settings.listen).await?;
    let metrics = bind(settings.metrics_listen).await?;
    let shutdown = signals()?;
    serve(settings, api, metrics, shutdown).await
}

/// Serves on these listeners until `shutdown` is done.
async fn serve(
    settings: Settings,
    api: TcpListener,
    metrics: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), String> {
    let target = Arc::new(target(&settings, settings.database_url.as_deref())?);
    let database = Database::new(target.clone(), settings.connections())?;
    let recorder = observe::start_metrics()?;
    let payments = Providers::new(&settings.stripe)?;
    let app = Arc::new(App::new(settings.clone(), database.clone(), payments.clone()));
    let worker_stop = CancellationToken::new();
    let worker = match settings.no_worker {
        true => tokio::spawn(std::future::ready(())),
        false => {
            let heard = Heard { bells: Vec::new(), completions: app.completions.clone() };
            start_workers(&settings, target, database.clone(), (payments, heard), worker_stop.clone())?
        }
    };
    catalog::load_early(&database, &app.catalog).await?;
    announce(&api, &metrics)?;
    start_upkeep(&app, recorder, metrics);

    let stop = app.stop.clone();
    let keep_alive = keep_alive(&settings);
    let server = tokio::spawn(server::run(api, http::router(app), keep_alive, stop.clone()));

    shutdown.await;
    tracing::info!("stopping: finishing what is under way");
    stop.cancel();
    let grace = Duration::from_secs(settings.shutdown_grace_s.into());
    let finish = async {
        // The worker goes on until requests are answered: some wait for an attempt of it. But it must have
        // its own time to end well, whatever a client does with what it is sent.
        let is_answered = tokio::time::timeout(grace.mul_f64(REQUESTS_SHARE), server).await.is_ok();
        worker_stop.cancel();
        let _ = worker.await;
        is_answered
    };
    match tokio::time::timeout(grace, finish).await {
        Ok(true) => tracing::info!("stopped"),
        Ok(false) => tracing::warn!("stopped with requests unfinished"),
        Err(_) => tracing::warn!("stopped with work unfinished; unfinished deliveries will be repeated"),
    }
    Ok(())
}

fn keep_alive(settings: &Settings) -> Duration {
    Duration::from_secs(settings.keep_alive_s.into())
}

/// The way to Postgres that these settings describe.
pub fn target(settings: &Settings, url: Option<&str>) -> Result<Target, String> {
    let url = url.ok_or("no database: set --database-url or DATABASE_URL")?;
    let session = Session {
        allow_private_webhooks: settings.allow_private_webhooks,
        lock_timeout_ms: settings.lock_timeout_ms.into(),
    };
    Target::parse(url, session)
}

fn start_workers(
    settings: &Settings,
    target: Arc<Target>,
    database: Database,
    (payments, mut heard): (Arc<Providers>, Heard),
    stop: CancellationToken,
) -> Result<JoinHandle<()>, String> {
    let listen_target = match settings.listen_database_url.as_deref() {
        Some(url) => Arc::new(self::target(settings, Some(url))?),
        None => target,
    };
    let deliverer = Deliverer::new(settings.allow_private_webhooks, settings.delivery_concurrency.into())?;
    let lanes = Lanes::new(
        settings.delivery_concurrency.into(),
        settings.delivery_concurrency_per_endpoint.min(settings.delivery_concurrency).into(),
    );
    let (webhook_bell, payment_bell) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    heard.bells = vec![webhook_bell.clone(), payment_bell.clone()];
    tokio::spawn(wake::listen(listen_target, heard, stop.clone()));
    let paying = tokio::spawn(payment::worker::run(database.clone(), payments, payment_bell, stop.clone()));
    let delivering = tokio::spawn(worker::run(database, deliverer, lanes, webhook_bell, stop));
    Ok(tokio::spawn(async move { drop(tokio::join!(paying, delivering)) }))
}

/// What runs beside the requests for as long as the process lives.
fn start_upkeep(app: &Arc<App>, recorder: PrometheusHandle, metrics: TcpListener) {
    tokio::spawn(catalog::watch(app.database.clone(), app.catalog.clone()));
    tokio::spawn(observe::keep_up(recorder.clone()));
    tokio::spawn(observe::watch_usage(app.database.clone()));
    let pages = pages::metrics_router(recorder, app.database.clone());
    tokio::spawn(server::run(metrics, pages, keep_alive(&app.settings), CancellationToken::new()));
    let app = app.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LIMITER_UPKEEP_INTERVAL).await;
            app.limiter.iter().chain(&app.message_limiter).for_each(Limiter::forget_idle);
            app.admission.forget_idle();
        }
    });
}

/// Scripts and tests read the addresses from these lines.
fn announce(api: &TcpListener, metrics: &TcpListener) -> Result<(), String> {
    let address = |listener: &TcpListener| listener.local_addr().map_err(|error| error.to_string());
    let (api, metrics) = (address(api)?, address(metrics)?);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %api, %metrics, "serving");
    let mut stdout = std::io::stdout().lock();
    let lines = format!("listening on http://{api}\nmetrics on http://{metrics}/metrics\n");
    // Nobody may be reading; that is no reason not to serve.
    let _ = stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush());
    Ok(())
}

fn signals() -> Result<impl Future<Output = ()>, String> {
    let watch = |kind| signal(kind).map_err(|error| format!("cannot watch for signals: {error}"));
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
