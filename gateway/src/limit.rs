//! How often a key may call: a bucket for each key, in bounded memory.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use sha2::{Digest, Sha256};

/// Keys remembered at once; beyond that, strangers share buckets (see `bucket`).
const BUCKETS_MAX: usize = 100_000;

type Bucket = [u8; 32];

pub struct Limiter {
    buckets: DefaultKeyedRateLimiter<Bucket>,
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

/// Buckets are named by a hash, so that no key lies about in memory. While a flood of made-up keys
/// fills the table, two bytes of the hash name the bucket: memory stays bounded, and a real key
/// shares its bucket with few.
fn bucket(api_key: &str, crowded: bool) -> Bucket {
    let mut bucket: Bucket = Sha256::digest(api_key.as_bytes()).into();
    if crowded {
        bucket[2..].fill(0);
    }
    bucket
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
}
