//! Published clients of MCP, each in a process of its own.

use super::node::{node, node_within};
use super::place;
use super::python::interpreter;
use super::wait::LIMIT;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Publisher {
    /// npm, `@modelcontextprotocol/sdk`
    Sdk,
    /// npm, `@modelcontextprotocol/client`
    Client,
    /// PyPI, `mcp`
    Pypi,
    /// npm, `@modelcontextprotocol/inspector`: its command line, which connects anew for each call
    Inspector,
}

/// How a client reaches the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    name: &'static str,
    path: &'static str,
}

pub const HTTP: Transport = Transport { name: "http", path: "/api/public/mcp" };
pub const SSE: Transport = Transport { name: "sse", path: "/api/public/mcp/sse" };
pub const SSE_AT_ROOT: Transport = Transport { name: "sse", path: "/sse" };

/// What a client is told.
#[derive(Clone)]
pub struct Target {
    pub gateway_url: String,
    pub transport: Transport,
    pub key: String,
    /// The protocol revision; none leaves it to the client.
    pub revision: Option<&'static str>,
}

/// A client that has connected.
pub struct McpClient {
    /// As the client saw them: `server` (its name and version), `revision` (as negotiated) and `tools`.
    pub found: Value,
    link: Link,
}

enum Link {
    Session(Session),
    Inspector(Target),
}

impl McpClient {
    /// Connects and lists the tools. What the client says on stderr is the error if it cannot.
    pub fn connect(publisher: Publisher, target: &Target) -> Result<McpClient, String> {
        if publisher == Publisher::Inspector {
            let mut found = inspect(target, &["--method", "initialize"])?;
            found["revision"] = found["protocolVersion"].take();
            found["server"] = found["serverInfo"].take();
            found["tools"] = inspect(target, &["--method", "tools/list", "--strict"])?["tools"].take();
            return Ok(McpClient { found, link: Link::Inspector(target.clone()) });
        }
        let mut session = Session::start(driver(publisher), target);
        let Some(found) = session.read() else { return Err(session.end().1) };
        Ok(McpClient { found, link: Link::Session(session) })
    }

    /// The result of a tool call, or `{"error": {"code", "message"}}` if the answer was an error of JSON-RPC.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        match &mut self.link {
            Link::Session(session) => {
                session.write(&json!({"name": tool, "arguments": arguments}));
                session.read().unwrap_or_else(|| panic!("{tool}: {}", session.end().1))
            }
            Link::Inspector(target) => {
                let mut flags = ["--method", "tools/call", "--tool-name", tool].map(str::to_owned).to_vec();
                for (name, value) in arguments.as_object().unwrap() {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    flags.extend(["--tool-arg".to_owned(), format!("{name}={value}")]);
                }
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                inspect(target, &flags).unwrap_or_else(|error| panic!("{tool}: {error}"))
            }
        }
    }

    /// Disconnects; fails if the client complained of anything.
    pub fn close(self) {
        if let Link::Session(mut session) = self.link {
            assert_eq!(session.end(), (true, String::new()));
        }
    }
}

/// A process that speaks as tests/clients/mcp/*: a line of JSON for what it found, and one for each call.
struct Session {
    process: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Session {
    fn start(mut driver: Command, target: &Target) -> Session {
        driver.arg(target.url()).arg(target.transport.name).args(target.revision);
        driver.env("API_KEY", &target.key);
        let mut process =
            driver.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut stderr = process.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Session { process, lines, stderr: Some(stderr) }
    }

    fn write(&mut self, value: &Value) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{value}").unwrap();
    }

    /// The next line; nothing when the client has ended.
    fn read(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap()),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("after {LIMIT:?} still waiting for the client"),
        }
    }

    /// Lets the client end: whether it did so in good order, and what it had written to stderr.
    fn end(&mut self) -> (bool, String) {
        drop(self.process.stdin.take());
        assert_eq!(self.read(), None);
        let stderr = self.stderr.take().map(|stderr| stderr.join().unwrap());
        (self.process.wait().unwrap().success(), stderr.unwrap_or_default())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Target {
    fn url(&self) -> String {
        format!("{}{}", self.gateway_url, self.transport.path)
    }
}

/// The script that makes a session of a client.
fn driver(publisher: Publisher) -> Command {
    let script = |name| std::fs::read_to_string(place::root().join("tests/clients/mcp").join(name)).unwrap();
    let package = match publisher {
        Publisher::Sdk => "sdk",
        Publisher::Client => "client",
        Publisher::Pypi => {
            let mut python = interpreter();
            python.args(["-c", &script("pypi.py")]).env("no_proxy", "127.0.0.1");
            return python;
        }
        Publisher::Inspector => unreachable!("the inspector needs no script"),
    };
    // As text, and not as a file: so the packages are found from Node's directory.
    let mut node = node();
    node.args(["--input-type=module", "--eval", &script("npm.mjs"), package]);
    node
}

/// What the inspector prints as the result of one method.
fn inspect(target: &Target, flags: &[&str]) -> Result<Value, String> {
    let era = match target.revision {
        Some("2025-11-25") => Some("legacy"),
        Some("2026-07-28") => Some("modern"),
        other => other,
    };
    let (url, key) = (target.url(), format!("Authorization: Bearer {}", target.key));
    let mut all = vec![url.as_str(), "--transport", target.transport.name, "--header", &key];
    all.extend(era.iter().flat_map(|era| ["--protocol-era", era]));
    all.extend(flags);
    run_inspector(&all)
}

/// The tools that a client finds when it is configured so: the file's text, and a name in it.
pub fn tools_by_configuration(configuration: &str, server: &str) -> Value {
    let file = place::target().join(format!("npm/mcp-{}-{server}.json", std::process::id()));
    std::fs::write(&file, configuration).unwrap();
    let flags = ["--config", file.to_str().unwrap(), "--server", server, "--method", "tools/list"];
    let found = run_inspector(&flags);
    std::fs::remove_file(&file).unwrap();
    found.unwrap()["tools"].take()
}

fn run_inspector(flags: &[&str]) -> Result<Value, String> {
    let output: Output = node_within(2 * LIMIT)
        .arg("node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js")
        .args(["--cli", "--format", "json", "--quiet", "--stored-auth-only"])
        .args(flags)
        .output()
        .unwrap();
    // 5 says that the result is there and has isError.
    if !matches!(output.status.code(), Some(0 | 5)) {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    Ok(printed["result"].clone())
}
