//! Python with the clients of tests/clients/requirements.txt, for checks by code that is not ours.

use super::place;
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a Python script with `stdin` and gives what it prints; panics with its error if it fails.
pub fn python(script: &str, stdin: &str) -> String {
    output_of(interpreter().args(["-c", script]), stdin)
}

/// The same for a program of tests/clients, with its arguments, as the owner of a key.
pub fn python_client(program: &str, arguments: &[&str], api_key: &str) -> String {
    let program = place::root().join("tests/clients").join(program);
    output_of(
        interpreter().arg(program).args(arguments).env("API_KEY", api_key).env("no_proxy", "127.0.0.1"),
        "",
    )
}

fn output_of(command: &mut Command, stdin: &str) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Python itself.
pub fn interpreter() -> Command {
    let path = place::target().join("venv/bin/python");
    assert!(path.exists(), "{} is missing: run `make test` once", path.display());
    Command::new(path)
}
