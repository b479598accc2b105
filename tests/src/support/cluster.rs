//! A private Postgres: one shared by the whole run, or one that a test may kill, restart and dump.

use super::place;
use super::wait::wait_until;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio_postgres::Config;
use uuid::Uuid;

/// A running server on a port of its own of 127.0.0.1. It ends, and its directory is removed, with this value or,
/// whatever happens, with this process.
pub struct Cluster {
    dir: PathBuf,
    port: u16,
    password: String,
    durable: bool,
    server: Child,
    _keeper: Child,
}

const START_LIMIT: Duration = Duration::from_secs(60);

impl Cluster {
    /// The one that most tests share. It forgets everything in a crash, and is fast.
    pub async fn shared() -> &'static Cluster {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_init(|| Cluster::new(false)).await
    }

    /// One that keeps its promises through a crash.
    pub async fn private() -> Cluster {
        Cluster::new(true).await
    }

    async fn new(durable: bool) -> Cluster {
        let dir = place::cluster_dir();
        let password = Uuid::now_v7().simple().to_string();
        let keeper = keeper(&dir);
        init(&dir, &password);
        let port = free_port();
        let server = launch(&dir, port, durable);
        let mut cluster = Cluster { dir, port, password, durable, server, _keeper: keeper };
        cluster.ready().await;
        cluster
    }

    /// A streaming standby of this one.
    pub async fn standby(&self) -> Cluster {
        let dir = place::cluster_dir();
        let keeper = keeper(&dir);
        let mut backup = self.program("pg_basebackup", "postgres");
        backup.env_remove("PGDATABASE").args(["--wal-method=stream", "--checkpoint=fast", "--no-sync"]);
        backup.args(["--write-recovery-conf", "--pgdata"]).arg(dir.join("data"));
        let output = backup.output().unwrap();
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        let port = free_port();
        let server = launch(&dir, port, self.durable);
        let (password, durable) = (self.password.clone(), self.durable);
        let mut standby = Cluster { dir, port, password, durable, server, _keeper: keeper };
        standby.ready().await;
        standby
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to connect as the superuser.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").password(&self.password).dbname(database);
        config
    }

    /// A place for a file that the cluster's programs read or write; it goes with the cluster.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A client program such as pg_dump, set to connect as the superuser.
    pub fn program(&self, name: &str, database: &str) -> Command {
        let mut command = place::postgres(name);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        command.env("PGPASSWORD", &self.password).env("PGDATABASE", database);
        command
    }

    /// `kill -9` of the whole server, as a power failure would.
    pub fn kill_9(&mut self) {
        let postmaster = self.server.id();
        // So that it forks no child that is not among them: that would wait for ever for locks of the dead.
        let stop = Command::new("kill").args(["-STOP", &postmaster.to_string()]).status();
        assert!(stop.unwrap().success());
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.unwrap_or_default();
        // All at one moment: nobody has time to bring to an end what another has begun.
        let mut kill = Command::new("kill");
        kill.args(["-9", &postmaster.to_string()]).args(children.split_whitespace());
        let _ = kill.stderr(Stdio::null()).status();
        self.server.wait().unwrap();
    }

    /// Ends every connection and stops the server in good order.
    pub async fn stop(&mut self) {
        let data = self.dir.join("data");
        let status = place::postgres("pg_ctl")
            .args(["stop", "--silent", "--mode=fast", "--pgdata"])
            .arg(data)
            .status();
        assert!(status.unwrap().success());
        self.server.wait().unwrap();
    }

    /// Starts the server again on the same port, after `kill_9` or `stop`.
    pub async fn start(&mut self) {
        self.server = launch(&self.dir, self.port, self.durable);
        self.ready().await;
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("server.log")).unwrap()
    }

    /// Waits until the server answers. One that ended at once is started again: processes of a killed
    /// predecessor may still have held its shared memory.
    async fn ready(&mut self) {
        wait_until(START_LIMIT, "Postgres starts", async || {
            if self.server.try_wait().unwrap().is_some() {
                self.server = launch(&self.dir, self.port, self.durable);
            }
            self.config("postgres").connect(tokio_postgres::NoTls).await.ok().map(drop)
        })
        .await;
    }
}

impl Drop for Cluster {
    /// An immediate shutdown, not a kill: that would leave shared memory behind in the system.
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-QUIT", &self.server.id().to_string()])
            .stderr(Stdio::null())
            .status();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn init(dir: &Path, password: &str) {
    let password_file = dir.join("password");
    fs::write(&password_file, password).unwrap();
    place::give(&password_file);
    let output = place::postgres("initdb")
        .args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ])
        .arg("--pwfile")
        .arg(&password_file)
        .arg("--pgdata")
        .arg(dir.join("data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}

fn launch(dir: &Path, port: u16, durable: bool) -> Child {
    let log = fs::File::options().create(true).append(true).open(dir.join("server.log")).unwrap();
    let mut command = place::postgres("postgres");
    command.arg("-D").arg(dir.join("data")).arg("-p").arg(port.to_string());
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=300",
        // In the data directory, where a server that is killed for good leaves nothing behind.
        "dynamic_shared_memory_type=mmap",
    ] {
        command.arg("-c").arg(setting);
    }
    // The same tests, by statements alone: `TOPUP_WRITE_PATH=statements scripts/test`.
    if let Ok(write_path) = std::env::var("TOPUP_WRITE_PATH") {
        command.arg("-c").arg(format!("topup.write_path={write_path}"));
    }
    if !durable {
        command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
    }
    // A process group of its own: Ctrl-C ends the tests, and the keeper ends the server.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// A shell that waits for the end of this process, however it comes, and then ends the server and removes its files.
/// It knows the server by its data directory, not by a number alone.
fn keeper(dir: &Path) -> Child {
    const SCRIPT: &str = r#"
        cat >/dev/null
        pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
        while [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$0/data" ]; do
            kill -QUIT "$pid"
            sleep 0.1
        done
        rm -rf "$0""#;
    let mut command = Command::new("sh");
    command.arg("-c").arg(SCRIPT).arg(dir).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A port below the range from which the system serves those who ask for any port: while a killed server is away,
/// nobody gets its port.
pub fn free_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 15_500;
    const PORTS: u16 = 15_000;
    let start = (std::process::id() % u32::from(PORTS)) as u16;
    (0..PORTS)
        .map(|_| FIRST + (start + COUNT.fetch_add(1, Ordering::Relaxed)) % PORTS)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}
