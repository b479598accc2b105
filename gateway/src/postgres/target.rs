//! One way to Postgres: where it is, how TLS is used, and what every session starts with.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::Connect;
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls::{self, Trust};

pub const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);
const STATEMENT_TIMEOUT_MS: u32 = 10_000;
const APPLICATION_NAME: &str = "topup-gateway";

/// What every session starts with.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub allow_private_webhooks: bool,
    /// How long a statement waits for what another transaction holds.
    pub lock_timeout_ms: u32,
}

type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A Postgres that can be connected to.
pub struct Target {
    config: Config,
    /// The same without session options, for a pooler that does not take them.
    bare: Config,
    pooler_refuses_options: AtomicBool,
    tls: MakeRustlsConnect,
}

impl Target {
    /// Reads a URL or key=value pairs. The error is in plain words and repeats no password.
    pub fn parse(url: &str, session: Session) -> Result<Self, String> {
        let (rest, ssl) = take_ssl_options(url)?;
        let mut bare: Config = rest.parse().map_err(|error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("the database URL cannot be read{cause}")
        })?;
        bare.application_name(APPLICATION_NAME).ssl_mode(ssl.mode);
        look_for_the_primary(&mut bare, url);
        let mut options = bare.get_options().map(|given| format!("{given} ")).unwrap_or_default();
        options.push_str(&format!("-c statement_timeout={STATEMENT_TIMEOUT_MS}"));
        options.push_str(&format!(" -c lock_timeout={}", session.lock_timeout_ms));
        if session.allow_private_webhooks {
            options.push_str(" -c topup.allow_private_webhooks=on");
        }
        let mut config = bare.clone();
        config.options(options);
        let pooler_refuses_options = AtomicBool::new(false);
        Ok(Target { config, bare, pooler_refuses_options, tls: tls::for_postgres(&ssl.trust)? })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Opens a connection. The caller must drive the second part of the result.
    pub async fn connect(&self) -> Result<(Client, Connection<Socket, Stream>), Error> {
        if self.pooler_refuses_options.load(Ordering::Relaxed) {
            return self.bare.connect(self.tls.clone()).await;
        }
        match self.config.connect(self.tls.clone()).await {
            Err(error) if refuses_options(&error) => {
                if !self.pooler_refuses_options.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the connection pooler takes no session options; connecting without statement_timeout, \
                         lock_timeout and topup settings (PgBouncer: ignore_startup_parameters = options)"
                    );
                }
                self.bare.connect(self.tls.clone()).await
            }
            result => result,
        }
    }
}

/// Connects for a pool.
pub struct Connector(pub Arc<Target>);

impl Connect for Connector {
    fn connect(
        &self,
        _: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + '_>> {
        Box::pin(async move {
            let (client, connection) = self.0.connect().await?;
            // How a connection ends is seen by whoever uses it.
            let driver = tokio::spawn(async move { drop(connection.await) });
            Ok((client, driver))
        })
    }
}

/// Of several servers the one that takes changes is meant, unless the URL says otherwise. One that does not answer leaves
/// the others their part of the time.
fn look_for_the_primary(config: &mut Config, url: &str) {
    let servers = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
    config.connect_timeout(CONNECT_TIMEOUT / u32::try_from(servers).unwrap_or(u32::MAX));
    if servers > 1 && !url.contains("target_session_attrs") {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

fn refuses_options(error: &Error) -> bool {
    error.as_db_error().is_some_and(|refused| {
        refused.code() == &SqlState::PROTOCOL_VIOLATION && refused.message().contains("startup parameter")
    })
}

#[derive(Debug, PartialEq)]
struct Ssl {
    mode: SslMode,
    trust: Trust,
}

/// Takes `sslmode` and `sslrootcert` out of the URL, because the driver knows fewer modes than psql.
fn take_ssl_options(url: &str) -> Result<(String, Ssl), String> {
    let (head, options, separator) = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let (head, options) = url.split_once('?').unwrap_or((url, ""));
        (head, options, '&')
    } else {
        ("", url, ' ')
    };
    let (mut mode, mut root_file, mut kept) = ("prefer", None, Vec::new());
    for option in options.split(separator) {
        match option.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", value)) => {
                root_file =
                    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned());
            }
            _ => kept.push(option),
        }
    }
    let kept = kept.join(&separator.to_string());
    let rest = match (head, kept.as_str()) {
        ("", _) => kept,
        (_, "") => head.to_owned(),
        _ => format!("{head}?{kept}"),
    };
    let authorities = match root_file {
        Some(path) if path != "system" => Some(Trust::File(path)),
        Some(_) => Some(Trust::Public),
        None => None,
    };
    let (mode, trust) = match mode {
        "disable" => (SslMode::Disable, Trust::Anyone),
        "allow" | "prefer" => (SslMode::Prefer, Trust::Anyone),
        "require" => (SslMode::Require, authorities.unwrap_or(Trust::Anyone)),
        "verify-ca" | "verify-full" => (SslMode::Require, authorities.unwrap_or(Trust::Public)),
        _ => return Err("sslmode must be disable, prefer, require, verify-ca or verify-full".to_owned()),
    };
    Ok((rest, Ssl { mode, trust }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(url: &str) -> (String, SslMode, Trust) {
        let (rest, ssl) = take_ssl_options(url).unwrap();
        (rest, ssl.mode, ssl.trust)
    }

    #[test]
    fn ssl_modes_mean_what_they_mean_in_psql() {
        let base = "postgres://u:p@db/x";
        assert_eq!(taken(base), (base.into(), SslMode::Prefer, Trust::Anyone));
        assert_eq!(taken(&format!("{base}?sslmode=disable")), (base.into(), SslMode::Disable, Trust::Anyone));
        let (rest, mode, trust) = taken(&format!("{base}?a=b&sslmode=verify-full&sslrootcert=%2Fca.pem&c=d"));
        assert_eq!((rest.as_str(), mode), ("postgres://u:p@db/x?a=b&c=d", SslMode::Require));
        assert_eq!(trust, Trust::File("/ca.pem".into()));
        let (rest, mode, trust) = taken("host=db sslmode=require user='a  b'");
        assert_eq!((rest.as_str(), mode, trust), ("host=db user='a  b'", SslMode::Require, Trust::Anyone));
        assert!(take_ssl_options("host=db sslmode=maybe").is_err());
    }

    const SESSION: Session = Session { allow_private_webhooks: true, lock_timeout_ms: 2500 };

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        let refused = Target::parse("postgres://u:secret@db:port/x", SESSION).err().unwrap();
        assert!(refused.contains("cannot be read") && !refused.contains("secret"), "{refused}");
    }

    #[test]
    fn sessions_start_with_time_limits() {
        let target = Target::parse("postgres://u@db/x?options=-c%20work_mem%3D8MB", SESSION).ok().unwrap();
        let options = target.config().get_options().unwrap();
        let wanted = "-c work_mem=8MB -c statement_timeout=10000 -c lock_timeout=2500 -c topup.allow_private_webhooks=on";
        assert_eq!(options, wanted);
    }

    #[test]
    fn of_several_servers_the_one_that_takes_changes_is_meant() {
        let attributes =
            |url: &str| Target::parse(url, SESSION).ok().unwrap().config().get_target_session_attrs();
        assert_eq!(attributes("postgres://u@a/x"), TargetSessionAttrs::Any);
        assert_eq!(attributes("postgres://u@a,b/x"), TargetSessionAttrs::ReadWrite);
        assert_eq!(attributes("postgres://u@a,b/x?target_session_attrs=any"), TargetSessionAttrs::Any);
        let target = Target::parse("host=a,b,c user=u", SESSION).ok().unwrap();
        assert_eq!(target.config().get_connect_timeout(), Some(&(CONNECT_TIMEOUT / 3)));
    }
}
