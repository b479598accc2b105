//! Every setting of the gateway, by flag or by environment.
// The doc comments are the texts of --help, where an address stands as it is.
#![allow(rustdoc::bare_urls)]

use std::fmt;
use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use url::Url;

use crate::allowed::{AllowedHost, AllowedOrigin};
use crate::postgres::database::Connections;

/// The HTTP gateway of pg_topup. Without a command it serves, and delivers webhooks.
#[derive(Debug, Parser)]
#[command(name = "topup-gateway", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Say what is wrong with a set-up, one line a finding; exit status 1 when something is
    Check,
}

#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// The Postgres that has the extension, as a URL or as key=value pairs. `sslmode` disable, prefer, require,
    /// verify-ca and verify-full work as in psql (verify-ca also checks the host name), `sslrootcert` too.
    /// Behind PgBouncer (transaction mode is fine) set `ignore_startup_parameters = options` there
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,

    /// A direct way to the same Postgres, for LISTEN; needed when --database-url leads through PgBouncer
    /// [default: the same URL]
    #[arg(long, global = true, env = "LISTEN_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub listen_database_url: Option<String>,

    /// Connections that requests share; pages, payments, workers and upkeep have 16 more of their own
    #[arg(long, env = "TOPUP_DATABASE_POOL_SIZE", default_value_t = 16, value_name = "CONNECTIONS",
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub database_pool_size: u16,

    /// How much of --database-pool-size the calls of one tenant may hold at one time; further ones wait, 3 s at most
    #[arg(long, env = "TOPUP_TENANT_SHARE_PERCENT", default_value_t = 50, value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(1..=100))]
    pub tenant_share_percent: u8,

    /// The same of one API key
    #[arg(long, env = "TOPUP_KEY_SHARE_PERCENT", default_value_t = 40, value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(1..=100))]
    pub key_share_percent: u8,

    /// How long a call waits for what another transaction holds, before it is 5003 and nothing is done
    #[arg(long, global = true, env = "TOPUP_LOCK_TIMEOUT_MS", default_value_t = 2500, value_name = "MILLISECONDS",
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub lock_timeout_ms: u16,

    /// Where to serve the API; port 0 takes a free one
    #[arg(long, env = "TOPUP_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Where to serve /metrics for Prometheus; port 0 takes a free one
    #[arg(long, env = "TOPUP_METRICS_LISTEN", default_value = "127.0.0.1:9090", value_name = "ADDRESS:PORT")]
    pub metrics_listen: SocketAddr,

    /// Requests a second that each API key may make; 0 switches the limit off
    #[arg(long, env = "TOPUP_RATE_LIMIT", default_value_t = 100, value_name = "REQUESTS")]
    pub rate_limit: u32,

    /// Requests that each API key may make at once before --rate-limit holds; 0 switches the limit off
    #[arg(long, env = "TOPUP_RATE_BURST", default_value_t = 200, value_name = "REQUESTS")]
    pub rate_burst: u32,

    /// The largest request body
    #[arg(long, env = "TOPUP_BODY_LIMIT_BYTES", default_value_t = 1_048_576, value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(1..=67_108_864))]
    pub body_limit_bytes: u32,

    /// Bodies of requests held in memory at one time, over all; who comes when they are used up is told to come again
    #[arg(long, env = "TOPUP_BODY_BUDGET_BYTES", default_value_t = 67_108_864, value_name = "BYTES")]
    pub body_budget_bytes: u32,

    /// Bodies of one API key's requests held in memory at one time; never less than --body-limit-bytes
    #[arg(long, env = "TOPUP_BODY_BUDGET_PER_KEY_BYTES", default_value_t = 16_777_216, value_name = "BYTES")]
    pub body_budget_per_key_bytes: u32,

    /// Wrong API keys a second that may come from one address (of IPv6, from one /64 network); 0 switches the limit off.
    /// A key that was good within the hour is not held up by it
    #[arg(long, env = "TOPUP_WRONG_KEY_LIMIT", default_value_t = 5, value_name = "KEYS")]
    pub wrong_key_limit: u32,

    /// Wrong API keys that may come from one address at once before --wrong-key-limit holds; 0 switches the limit off
    #[arg(long, env = "TOPUP_WRONG_KEY_BURST", default_value_t = 50, value_name = "KEYS")]
    pub wrong_key_burst: u32,

    /// How long a connection may be idle before it is closed: longer than proxies in front keep theirs, so that none
    /// sends a request into a connection that is just being closed
    #[arg(long, env = "TOPUP_KEEP_ALIVE_S", default_value_t = 75, value_name = "SECONDS",
        value_parser = clap::value_parser!(u16).range(1..))]
    pub keep_alive_s: u16,

    /// A proxy whose X-Forwarded-For is believed; may be repeated (comma-separated in the environment).
    /// The client is then the right-most address in it that is not itself a trusted proxy
    #[arg(long = "trusted-proxy", env = "TOPUP_TRUSTED_PROXIES", value_delimiter = ',', value_name = "CIDR",
        value_parser = crate::client_address::parse_net)]
    pub trusted_proxies: Vec<IpNet>,

    /// Let webhooks go to http URLs and private addresses: for development only
    #[arg(long, env = "TOPUP_ALLOW_PRIVATE_WEBHOOKS")]
    pub allow_private_webhooks: bool,

    /// Webhook attempts under way at one time, over all endpoints; a tenant gets a quarter of those that no
    /// other tenant holds
    #[arg(long, env = "TOPUP_DELIVERY_CONCURRENCY", default_value_t = 256, value_name = "ATTEMPTS",
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub delivery_concurrency: u16,

    /// Webhook attempts under way at one time to one endpoint
    #[arg(long, env = "TOPUP_DELIVERY_CONCURRENCY_PER_ENDPOINT", default_value_t = 8, value_name = "ATTEMPTS",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub delivery_concurrency_per_endpoint: u16,

    /// Serve HTTP only; another gateway delivers the webhooks and carries out the payments
    #[arg(long, env = "TOPUP_NO_WORKER")]
    pub no_worker: bool,

    #[command(flatten)]
    pub mcp: McpSettings,

    #[command(flatten)]
    pub stripe: StripeSettings,

    /// How long requests and webhook attempts under way may take to finish after SIGTERM
    #[arg(long, env = "TOPUP_SHUTDOWN_GRACE_S", default_value_t = 25, value_name = "SECONDS")]
    pub shutdown_grace_s: u16,

    /// How logs are written to stderr
    #[arg(long, global = true, env = "TOPUP_LOG_FORMAT", default_value = "json", value_enum)]
    pub log_format: LogFormat,

    /// The least grave message that is logged
    #[arg(long, global = true, env = "TOPUP_LOG_LEVEL", default_value = "info", value_enum)]
    pub log_level: LogLevel,
}

impl Settings {
    /// The connections of requests, and shares of them: one at least.
    pub fn connections(&self) -> Connections {
        let requests = usize::from(self.database_pool_size);
        let share = |percent: u8| (requests * usize::from(percent) / 100).max(1);
        Connections {
            requests,
            of_key: share(self.key_share_percent),
            of_tenant: share(self.tenant_share_percent),
        }
    }
}

/// The settings of MCP.
#[derive(Clone, Debug, Args)]
pub struct McpSettings {
    /// A Host that MCP clients may call, beside localhost, loopback addresses and the address of --listen: a name,
    /// with or without port, or * for any; may be repeated (comma-separated in the environment)
    #[arg(
        long = "mcp-allowed-host",
        env = "TOPUP_MCP_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    pub allowed_hosts: Vec<AllowedHost>,

    /// An Origin whose pages may speak MCP in a browser, beside the gateway's own and those on localhost, such as
    /// https://app.example.com, or * for any; may be repeated (comma-separated in the environment)
    #[arg(
        long = "mcp-allowed-origin",
        env = "TOPUP_MCP_ALLOWED_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<AllowedOrigin>,

    /// Tool calls of one API key under way at one time
    #[arg(id = "mcp_calls_per_key", long = "mcp-calls-per-key", env = "TOPUP_MCP_CALLS_PER_KEY",
        default_value_t = 128, value_name = "CALLS", value_parser = clap::value_parser!(u16).range(1..))]
    pub calls_per_key_max: u16,

    /// Legacy SSE sessions open at one time, in this gateway
    #[arg(id = "mcp_sessions", long = "mcp-sessions", env = "TOPUP_MCP_SESSIONS", default_value_t = 1000,
        value_name = "SESSIONS", value_parser = clap::value_parser!(u16).range(1..))]
    pub sessions_max: u16,

    /// Legacy SSE sessions of one API key open at one time, in this gateway
    #[arg(id = "mcp_sessions_per_key", long = "mcp-sessions-per-key", env = "TOPUP_MCP_SESSIONS_PER_KEY",
        default_value_t = 200, value_name = "SESSIONS", value_parser = clap::value_parser!(u16).range(1..))]
    pub sessions_per_key_max: u16,

    /// How long a legacy SSE session may send nothing before its stream is closed
    #[arg(id = "mcp_session_idle_s", long = "mcp-session-idle-s", env = "TOPUP_MCP_SESSION_IDLE_S",
        default_value_t = 1800, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub session_idle_s: u32,
}

/// The settings of payments through Stripe.
#[derive(Clone, Args)]
pub struct StripeSettings {
    /// Stripe's API: https, or http on this machine
    #[arg(id = "stripe_url", long = "stripe-url", env = "TOPUP_STRIPE_URL",
        default_value = "https://api.stripe.com", value_name = "URL",
        value_parser = crate::payment::stripe_api::parse_url)]
    pub url: Url,

    /// A secret key of Stripe's: sk_test_… for staging, sk_live_… for live (rk_… if it is restricted); may be repeated
    /// (comma-separated in the environment, which other users of the machine cannot read)
    #[arg(
        id = "stripe_secret_key",
        long = "stripe-secret-key",
        env = "TOPUP_STRIPE_SECRET_KEY",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "KEY"
    )]
    pub secret_keys: Vec<String>,

    /// The signing secret of a webhook at Stripe that leads to /payments/stripe/webhook; may be repeated
    /// (comma-separated in the environment)
    #[arg(
        id = "stripe_webhook_secret",
        long = "stripe-webhook-secret",
        env = "TOPUP_STRIPE_WEBHOOK_SECRET",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "SECRET"
    )]
    pub webhook_secrets: Vec<String>,
}

/// Without the secrets.
impl fmt::Debug for StripeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeSettings").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::database::OTHER_CONNECTIONS;
    use clap::CommandFactory;

    #[test]
    fn idle_connections_outlive_those_of_proxies() {
        let default = Cli::try_parse_from(["topup-gateway"]).unwrap();
        assert!(default.settings.keep_alive_s > 60);
    }

    #[test]
    fn what_is_said_of_connections_is_so() {
        let settings = Cli::parse_from(["topup-gateway"]).settings;
        let Connections { requests, of_key, of_tenant } = settings.connections();
        assert_eq!((requests, of_key, of_tenant), (16, 6, 8));
        let command = Cli::command();
        let mut arguments = command.get_arguments();
        let help = arguments.find(|it| it.get_id() == "database_pool_size").unwrap().get_help().unwrap();
        assert!(help.to_string().contains(&format!("have {OTHER_CONNECTIONS} more")), "{help}");
    }

    #[test]
    fn every_setting_is_explained() {
        let command = Cli::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
        }
    }
}
