//! The gateway's entry: reads the settings, then serves, or checks a set-up.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod allowed;
mod app;
mod body;
mod call;
mod catalog;
mod check;
mod client_address;
mod completion;
mod config;
mod credentials;
mod format;
mod guess;
mod held;
mod html;
mod http;
mod ignored;
mod limit;
mod mcp;
mod observe;
mod operation;
mod pages;
mod payment;
mod portal;
mod reply;
mod request;
mod request_id;
mod response_format;
mod routes;
mod schema;
mod send_batcher;
mod serve;
mod server;
mod shape;
mod tls;
mod tool;

mod docs;
mod postgres;
mod webhook;
use std::process::ExitCode;

use clap::Parser;
use config::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    observe::start_logs(cli.settings.log_format, cli.settings.log_level);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let exit = match cli.command {
        Some(Command::Check) => runtime.block_on(check::run(&cli.settings)),
        None => match runtime.block_on(serve::run(cli.settings)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => fail(&message),
        },
    };
    // A name that is still being looked up must not hold up the exit.
    runtime.shutdown_background();
    exit
}

fn fail(message: &str) -> ExitCode {
    tracing::error!("{message}");
    ExitCode::FAILURE
}
