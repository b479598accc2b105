//! PgBouncer before a database: one connection to the server, lent to its clients for a transaction at a time.

use super::cluster::free_port;
use super::database::Database;
use super::place;
use super::wait::{LIMIT, wait_until};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A running pooler; it ends, and its directory is removed, with this value.
pub struct Pooler {
    config: Config,
    dir: PathBuf,
    process: Child,
}

impl Pooler {
    /// One whose clients are all the role `app`.
    pub async fn start(database: &Database) -> Pooler {
        let (dir, port) = (place::cluster_dir(), free_port());
        let settings = dir.join("pgbouncer.ini");
        let text = format!(
            "[databases]\npooled = {}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 1\nignore_startup_parameters = extra_float_digits\n",
            database.connection_string("app")
        );
        fs::write(&settings, text).unwrap();
        place::give(&settings);
        let mut command = place::server_program("/usr/sbin/pgbouncer");
        let log = fs::File::create(dir.join("log")).unwrap();
        command.arg("--quiet").arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().expect("pgbouncer is installed by scripts/setup test");
        let mut config = Config::new();
        config.host("127.0.0.1").port(port).user("anybody").dbname("pooled");
        let pooler = Pooler { config, dir, process };
        wait_until(LIMIT, "the pooler serves", async || pooler.config.connect(NoTls).await.ok().map(drop))
            .await;
        pooler
    }

    /// A client of its own.
    pub async fn client(&self) -> Client {
        let (client, connection) = self.config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs statements as one message, as a pooler in transaction mode can pass them on; gives the first column of every row.
pub async fn rows(client: &Client, statements: &str) -> Vec<String> {
    let messages = client.simple_query(statements).await.unwrap();
    let value = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    messages.into_iter().filter_map(value).collect()
}
