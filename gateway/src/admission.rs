//! Who is let in: a key is judged before the body of its request is read, and whoever keeps bringing wrong keys waits.
//!
//! A key that Postgres has called good within the hour is let in at once, so that neither a flood of wrong keys nor
//! those behind the same address hold it up. That decides only whether the body is read: every call is judged again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use metrics::counter;
use pg_topup_contract::{Code, WRONG_API_KEY, is_api_key};
use tokio::sync::Semaphore;

use crate::credentials::Credentials;
use crate::limit::{self, KeyHash};
use crate::postgres::database::{Database, Fault, POOL_WAIT};
use crate::postgres::fault;
use crate::reply::Refusal;

const KNOWN_FOR: Duration = Duration::from_secs(3600);
const KNOWN_MAX: usize = 100_000;
/// Unknown keys that Postgres is asked about at one time. One more cannot slip through while these are judged, so that
/// the limit of failures holds to the last of them.
const TURNS: usize = 2;
/// Addresses remembered at once; beyond that, whole networks share (see `neighbourhood`).
const ADDRESSES_MAX: usize = 100_000;
/// What one customer of a provider has of IPv6.
const IPV6_NETWORK_BITS: u8 = 64;
const CROWDED_NETWORK_BITS: u8 = 16;

/// Which keys are let in without a question, and which addresses may ask.
pub struct Admission {
    /// When each key, or other secret, was last found good.
    known: Mutex<HashMap<KeyHash, Instant>>,
    /// Keys that are none by their looks, which cost nothing: they do not keep their neighbours from being judged.
    malformed: Option<Failures>,
    /// Keys that Postgres does not let in.
    unknown: Option<Failures>,
    /// Secrets of pages that Postgres does not know.
    guesses: Option<Failures>,
    turns: Semaphore,
}

impl Admission {
    /// So many wrong keys a second and at once from one address, or any number where either is 0.
    pub fn new(failures_per_s: u32, burst: u32) -> Self {
        let failures = || Failures::new(failures_per_s, burst);
        Admission {
            known: Mutex::default(),
            malformed: failures(),
            unknown: failures(),
            guesses: failures(),
            turns: Semaphore::new(TURNS),
        }
    }

    /// Lets in a key that is known, and any other that Postgres finds good now.
    pub async fn admit(&self, database: &Database, credentials: &Credentials) -> Result<(), Refusal> {
        match self.knows(&credentials.api_key) {
            true => Ok(()),
            false => self.judge_stranger(database, credentials).await,
        }
    }

    /// Lets in a key that Postgres finds good now, whether it is known or not.
    pub async fn judge(&self, database: &Database, credentials: &Credentials) -> Result<(), Refusal> {
        if !self.knows(&credentials.api_key) {
            return self.judge_stranger(database, credentials).await;
        }
        let answer = database.authenticate(credentials).await.map_err(|fault| failed(&fault))?;
        self.hear(credentials, answer.status);
        refusal(answer.status, &answer.body)
    }

    /// Whether this key was found good lately.
    pub fn knows(&self, api_key: &str) -> bool {
        self.known().get(&limit::hash(api_key)).is_some_and(|heard| heard.elapsed() < KNOWN_FOR)
    }

    /// Takes note of what Postgres answered to a call with a key that was let in.
    pub fn hear(&self, credentials: &Credentials, status: u16) {
        match status == Code::InvalidApiKey.http_status() {
            true => {
                self.forget(&credentials.api_key);
                count(&self.unknown, credentials.client_ip, "unknown");
            }
            false => self.remember(&credentials.api_key),
        }
    }

    /// Lets in whoever brings a secret of a page, unless it is unknown and too many wrong ones came from there: then it
    /// says how long to wait.
    pub fn admit_secret(&self, secret: &str, address: IpAddr) -> Result<(), Duration> {
        let wait = self.guesses.as_ref().and_then(|guesses| guesses.wait(address));
        wait.filter(|_| !self.knows(secret)).map_or(Ok(()), Err)
    }

    /// Takes note of whether a secret that was let in is one.
    pub fn hear_secret(&self, secret: &str, address: IpAddr, is_good: bool) {
        match is_good {
            true => self.remember(secret),
            false => {
                self.forget(secret);
                self.guesses.iter().for_each(|guesses| guesses.count(address));
            }
        }
    }

    fn forget(&self, secret: &str) {
        self.known().remove(&limit::hash(secret));
    }

    fn remember(&self, secret: &str) {
        let (key, mut known) = (limit::hash(secret), self.known());
        if known.len() >= KNOWN_MAX
            && !known.contains_key(&key)
            && let Some(other) = known.keys().next().copied()
        {
            known.remove(&other);
        }
        known.insert(key, Instant::now());
    }

    /// Forgets what no longer matters. To be called regularly.
    pub fn forget_idle(&self) {
        self.known().retain(|_, heard| heard.elapsed() < KNOWN_FOR);
        let failures = self.malformed.iter().chain(&self.unknown).chain(&self.guesses);
        failures.for_each(Failures::forget_idle);
    }

    async fn judge_stranger(&self, database: &Database, credentials: &Credentials) -> Result<(), Refusal> {
        let address = credentials.client_ip;
        if !is_api_key(&credentials.api_key) {
            // Who brings no key at all has guessed none.
            if !credentials.api_key.is_empty() {
                check(&self.malformed, address)?;
                count(&self.malformed, address, "malformed");
            }
            return Err(Refusal::new(Code::InvalidApiKey, WRONG_API_KEY));
        }
        check(&self.unknown, address)?;
        let turn = tokio::time::timeout(POOL_WAIT, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| Refusal::unavailable())?;
        // Meanwhile the key may have become known, or the address may have used up what it had left.
        if self.knows(&credentials.api_key) {
            return Ok(());
        }
        check(&self.unknown, address)?;
        let answer = database.authenticate(credentials).await.map_err(|fault| failed(&fault))?;
        let judged = refusal(answer.status, &answer.body);
        match judged {
            Ok(()) => self.remember(&credentials.api_key),
            Err(_) => count(&self.unknown, address, "unknown"),
        }
        judged
    }

    fn known(&self) -> MutexGuard<'_, HashMap<KeyHash, Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(fault: &Fault) -> Refusal {
    fault::refusal("authenticate", fault)
}

fn refusal(status: u16, body: &str) -> Result<(), Refusal> {
    match status {
        200 => Ok(()),
        _ => Err(Refusal::told(body)),
    }
}

/// Refuses an address that has brought too many wrong keys.
fn check(failures: &Option<Failures>, address: IpAddr) -> Result<(), Refusal> {
    let Some(wait) = failures.as_ref().and_then(|failures| failures.wait(address)) else { return Ok(()) };
    counter!("topup_keys_refused_total", "reason" => "waiting").increment(1);
    Err(Refusal::wrong_keys(wait))
}

fn count(failures: &Option<Failures>, address: IpAddr, reason: &'static str) {
    counter!("topup_keys_refused_total", "reason" => reason).increment(1);
    failures.iter().for_each(|failures| failures.count(address));
}

/// How often each address has failed lately, as a bucket that leaks: each failure fills it by a drop.
struct Failures {
    /// When the address's bucket will be empty.
    empty_at: Mutex<HashMap<IpAddr, Instant>>,
    drop_leaks_in: Duration,
    full_leaks_in: Duration,
}

impl Failures {
    /// None where either number is 0.
    fn new(per_s: u32, burst: u32) -> Option<Self> {
        let drop_leaks_in = Duration::from_secs(1).checked_div(per_s)?;
        let full_leaks_in = drop_leaks_in.checked_mul(burst).filter(|_| burst > 0)?;
        Some(Failures { empty_at: Mutex::default(), drop_leaks_in, full_leaks_in })
    }

    /// How long this address has to wait until it may fail again; none if it may.
    fn wait(&self, address: IpAddr) -> Option<Duration> {
        let empty_at = self.lock();
        let bucket = empty_at.get(&neighbourhood(address, empty_at.len()))?;
        let wait =
            (*bucket + self.drop_leaks_in).checked_duration_since(Instant::now() + self.full_leaks_in)?;
        Some(wait).filter(|wait| !wait.is_zero())
    }

    fn count(&self, address: IpAddr) {
        let mut empty_at = self.lock();
        let (now, place) = (Instant::now(), neighbourhood(address, empty_at.len()));
        let bucket = empty_at.entry(place).or_insert(now);
        *bucket = now.max(*bucket) + self.drop_leaks_in;
    }

    fn forget_idle(&self) {
        let now = Instant::now();
        self.lock().retain(|_, empty_at| *empty_at > now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.empty_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose failures count together: an address of IPv4, a network of IPv6, and while a flood from everywhere fills the
/// table, all whose addresses begin with the same two bytes.
fn neighbourhood(address: IpAddr, remembered: usize) -> IpAddr {
    let bits = match address {
        _ if remembered >= ADDRESSES_MAX => CROWDED_NETWORK_BITS,
        IpAddr::V6(_) => IPV6_NETWORK_BITS,
        IpAddr::V4(_) => return address,
    };
    IpNet::new(address, bits).map_or(address, |network| network.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_fail_so_often_and_then_waits() {
        let failures = Failures::new(1, 3).unwrap();
        let (here, there) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..3 {
            assert_eq!(failures.wait(here), None);
            failures.count(here);
        }
        let wait = failures.wait(here).unwrap();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(failures.wait(there), None);
        failures.forget_idle();
        assert!(failures.wait(here).is_some());
    }

    #[test]
    fn zero_switches_it_off() {
        assert!(Failures::new(0, 5).is_none() && Failures::new(5, 0).is_none());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_a_crowd_shares() {
        let place = |text, remembered| neighbourhood(address(text), remembered).to_string();
        assert_eq!(place("192.0.2.7", 0), "192.0.2.7");
        assert_eq!(place("2001:db8:1:2:3::9", 0), "2001:db8:1:2::");
        assert_eq!(place("192.0.2.7", ADDRESSES_MAX), "192.0.0.0");
        assert_eq!(place("2001:db8:1:2:3::9", ADDRESSES_MAX), "2001::");
    }

    #[test]
    fn a_key_is_known_until_postgres_says_no() {
        let admission = Admission::new(5, 5);
        let credentials = Credentials { api_key: "ak".to_owned(), client_ip: address("192.0.2.1") };
        assert!(!admission.knows("ak"));
        admission.hear(&credentials, 403);
        assert!(admission.knows("ak"));
        admission.hear(&credentials, 401);
        assert!(!admission.knows("ak"));
    }
}
