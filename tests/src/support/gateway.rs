//! The real gateway binary, started on a free port against a test's database.

use super::client::Client;
use super::database::Database;
use super::place;
use super::wait::{LIMIT, wait_until};
use super::wire::Wire;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

/// A running gateway; it is killed with this value.
pub struct Gateway {
    /// `http://127.0.0.1:…`
    pub url: String,
    /// `http://127.0.0.1:…/metrics`
    pub metrics_url: String,
    process: Child,
    stdout: Output,
    stderr: Output,
}

type Output = Arc<Mutex<String>>;

impl Gateway {
    /// One as `make run` starts it: webhooks may go to receivers on loopback.
    pub async fn start(database: &Database) -> Gateway {
        Gateway::start_with(database, &["--allow-private-webhooks"]).await
    }

    /// One with exactly these flags, and ports of its own; it serves when this returns.
    pub async fn start_with(database: &Database, flags: &[&str]) -> Gateway {
        let gateway = Gateway::listening(&database.gateway_url(), flags).await;
        let probe = gateway.stranger().at_root();
        wait_until(LIMIT, "the gateway is ready", async || {
            (probe.get("/health/ready").await.status == 200).then_some(())
        })
        .await;
        gateway
    }

    /// One that listens, whether its database is there or not.
    pub async fn listening(database_url: &str, flags: &[&str]) -> Gateway {
        let mut gateway = Gateway::spawn(database_url, flags);
        (gateway.url, gateway.metrics_url) = wait_until(LIMIT, "the gateway listens", async || {
            if let Some(status) = gateway.process.try_wait().unwrap() {
                panic!("the gateway ended ({status}): {}", gateway.log());
            }
            let printed = gateway.stdout.lock().unwrap();
            let after = |lead| printed.lines().find_map(|line| line.strip_prefix(lead)).map(str::to_owned);
            Some((after("listening on ")?, after("metrics on ")?))
        })
        .await;
        gateway
    }

    /// One that need not come up, for tests of what it says then.
    pub fn spawn(database_url: &str, flags: &[&str]) -> Gateway {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]).args(flags);
        let mut process = command.env("DATABASE_URL", database_url).spawn().unwrap();
        let stdout = collect(process.stdout.take().unwrap());
        let stderr = collect(process.stderr.take().unwrap());
        Gateway { url: String::new(), metrics_url: String::new(), process, stdout, stderr }
    }

    /// A client with this API key.
    pub fn client(&self, api_key: &str) -> Client {
        Client::new(&self.url, Some(api_key))
    }

    /// A client without a key.
    pub fn stranger(&self) -> Client {
        Client::new(&self.url, None)
    }

    /// What it has printed so far, other than its log.
    pub fn printed(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// All that it has printed, once its end has been read.
    pub fn all_printed(&self) -> Option<String> {
        // The thread that reads holds the other reference.
        (Arc::strong_count(&self.stdout) == 1).then(|| self.printed())
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The number of a series in /metrics, given by the whole text before it.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let reply = Wire::ask(&self.metrics_url, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        reply.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// A line of what the system tells of the process's memory, such as `VmRSS` now or `VmHWM` at most, in MiB.
    pub fn memory_mib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let kib = status.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(':')).unwrap();
        kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    pub fn kill_9(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends SIGTERM; `ended` waits for the end.
    pub fn terminate(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        wait_until(LIMIT, "the gateway ends", async || self.process.try_wait().unwrap()).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway {}\n{}", self.url, self.log());
        }
    }
}

/// The binary with nothing set but what the test sets.
fn command() -> Command {
    let mut command = Command::new(place::built("topup-gateway"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOPUP_")) {
        command.env_remove(name);
    }
    // Tests hold locks while they look around, on a machine that may be slow; flags go before it.
    command.env("TOPUP_LOCK_TIMEOUT_MS", "9000");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Reads a stream to its end, on a thread of its own, so that the gateway never waits for its log to be read.
fn collect(stream: impl Read + Send + 'static) -> Output {
    let output = Output::default();
    let written = output.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut output = written.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    });
    output
}
