//! Node with the clients of tests/clients/package.json, for checks by code that is not ours.

use super::place;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Node, to be run where it finds those clients.
pub fn node() -> Command {
    at_home(Command::new(interpreter()))
}

/// The same for a program that runs to its end: it is ended after `limit`.
pub fn node_within(limit: Duration) -> Command {
    let mut command = Command::new("timeout");
    command.arg(limit.as_secs().to_string()).arg(interpreter());
    at_home(command)
}

fn interpreter() -> PathBuf {
    let path = place::target().join("venv/bin/node");
    assert!(path.exists(), "{} is missing: run `make test` once", path.display());
    path
}

fn at_home(mut command: Command) -> Command {
    let npm = place::target().join("npm");
    assert!(npm.exists(), "{} is missing: run `make test` once", npm.display());
    // What a client keeps for its user stays out of ours.
    command.env("HOME", npm.join("home")).env("NO_COLOR", "1").env("no_proxy", "127.0.0.1").current_dir(npm);
    command
}
