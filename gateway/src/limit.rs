//! How often a key may call, and how much at once: counted for each key, in bounded memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use metrics::counter;
use sha2::{Digest, Sha256};

use crate::reply::Refusal;

/// Keys remembered at once; beyond that, strangers share buckets (see `bucket`).
const BUCKETS_MAX: usize = 100_000;

/// Names a key without saying it.
pub type KeyHash = [u8; 32];

pub fn hash(api_key: &str) -> KeyHash {
    Sha256::digest(api_key.as_bytes()).into()
}

pub struct Limiter {
    buckets: DefaultKeyedRateLimiter<KeyHash>,
    clock: DefaultClock,
}

impl Limiter {
    /// A limiter, or none where either number is 0.
    pub fn new(requests_per_s: u32, burst: u32) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(requests_per_s)?).allow_burst(NonZeroU32::new(burst)?);
        Some(Limiter { buckets: RateLimiter::keyed(quota), clock: DefaultClock::default() })
    }

    /// Takes one request from the key's bucket, or says how long to wait for the next.
    pub fn admit(&self, api_key: &str) -> Result<(), Duration> {
        let bucket = bucket(api_key, self.buckets.len() >= BUCKETS_MAX);
        self.buckets.check_key(&bucket).map_err(|refused| refused.wait_time_from(self.clock.now()))
    }

    /// Forgets the buckets that are full again. To be called regularly.
    pub fn forget_idle(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }
}

/// Takes one request from the key's bucket, where there is a limit.
pub fn admit(limiter: Option<&Limiter>, api_key: &str) -> Result<(), Refusal> {
    let Some(Err(wait)) = limiter.map(|limiter| limiter.admit(api_key)) else { return Ok(()) };
    counter!("topup_rate_limited_total").increment(1);
    Err(Refusal::rate_limited(wait))
}

/// Buckets are named by a hash, so that no key lies about in memory. While a flood of made-up keys
/// fills the table, two bytes of the hash name the bucket: memory stays bounded, and a real key
/// shares its bucket with few.
fn bucket(api_key: &str, crowded: bool) -> KeyHash {
    let mut bucket = hash(api_key);
    if crowded {
        bucket[2..].fill(0);
    }
    bucket
}

/// How many calls of each key are under way.
pub struct Concurrency {
    under_way: Mutex<HashMap<KeyHash, usize>>,
    per_key_max: usize,
}

/// A call under way, until it is dropped.
pub struct UnderWay<'a> {
    concurrency: &'a Concurrency,
    key: KeyHash,
}

impl Concurrency {
    pub fn new(per_key_max: usize) -> Self {
        Concurrency { under_way: Mutex::default(), per_key_max }
    }

    /// Lets one more call of this key begin, unless too many are under way.
    pub fn enter(&self, api_key: &str) -> Option<UnderWay<'_>> {
        let key = hash(api_key);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(key).or_default();
        (*count < self.per_key_max).then(|| {
            *count += 1;
            UnderWay { concurrency: self, key }
        })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.concurrency.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = under_way.entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_key_waits_and_others_do_not() {
        let limiter = Limiter::new(1, 3).unwrap();
        assert!((0..3).all(|_| limiter.admit("a").is_ok()));
        let wait = limiter.admit("a").unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1));
        assert!(limiter.admit("b").is_ok());
    }

    #[test]
    fn zero_switches_it_off() {
        assert!(Limiter::new(0, 5).is_none() && Limiter::new(5, 0).is_none());
    }

    #[test]
    fn a_crowd_shares_at_most_65536_buckets() {
        assert_eq!(bucket("a", true)[2..], [0; 30]);
        assert_ne!(bucket("a", false)[2..], [0; 30]);
    }

    #[test]
    fn a_key_has_so_many_calls_under_way_and_no_more() {
        let concurrency = Concurrency::new(2);
        let first = concurrency.enter("a").unwrap();
        let _second = concurrency.enter("a").unwrap();
        assert!(concurrency.enter("a").is_none());
        assert!(concurrency.enter("b").is_some());
        drop(first);
        assert!(concurrency.enter("a").is_some());
        assert_eq!(concurrency.under_way.lock().unwrap().len(), 1);
    }
}
