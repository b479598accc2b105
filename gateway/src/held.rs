//! How many bytes of request bodies are held at one time, over all and for each sender, so that nobody's large bodies
//! take the memory or the turn of others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::gauge;

use crate::limit::{self, KeyHash};
use crate::reply::Refusal;

/// The bytes held in this gateway.
pub struct Bodies {
    held: Mutex<Bytes>,
    bytes_max: usize,
    per_sender_max: usize,
}

#[derive(Default)]
struct Bytes {
    overall: usize,
    by_sender: HashMap<KeyHash, usize>,
}

/// What is held of one request, given back when it is dropped.
pub struct Held<'a> {
    bodies: &'a Bodies,
    sender: KeyHash,
    bytes: usize,
}

impl Bodies {
    /// A body of `body_max` always fits where nothing else is held.
    pub fn new(bytes_max: usize, per_sender_max: usize, body_max: usize) -> Self {
        let per_sender_max = per_sender_max.max(body_max);
        Bodies { held: Mutex::default(), bytes_max: bytes_max.max(per_sender_max), per_sender_max }
    }

    /// Nothing yet, for a request with this key.
    pub fn of_key(&self, api_key: &str) -> Held<'_> {
        Held { bodies: self, sender: limit::hash(api_key), bytes: 0 }
    }

    /// Nothing yet, for a request whose sender is known by no more than its address.
    pub fn of_address(&self, address: IpAddr) -> Held<'_> {
        self.of_key(&address.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// Holds more, unless that is too much.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bodies = self.bodies;
        let mut held = bodies.lock();
        let of_sender = held.by_sender.get(&self.sender).copied().unwrap_or_default();
        if held.overall + bytes > bodies.bytes_max || of_sender + bytes > bodies.per_sender_max {
            return Err(Refusal::unavailable());
        }
        held.overall += bytes;
        held.by_sender.insert(self.sender, of_sender + bytes);
        self.bytes += bytes;
        gauge!("topup_body_bytes_held").set(held.overall as f64);
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.bodies.lock();
        held.overall -= self.bytes;
        if let Entry::Occupied(mut of_sender) = held.by_sender.entry(self.sender) {
            *of_sender.get_mut() -= self.bytes;
            if *of_sender.get() == 0 {
                of_sender.remove();
            }
        }
        gauge!("topup_body_bytes_held").set(held.overall as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_one_sender_nor_all_hold_more_than_their_share() {
        let bodies = Bodies::new(10, 6, 1);
        let (mut first, mut second, mut other) = (bodies.of_key("a"), bodies.of_key("a"), bodies.of_key("b"));
        assert!(first.grow(4).is_ok());
        assert!(second.grow(3).is_err() && second.grow(2).is_ok());
        assert!(other.grow(5).is_err() && other.grow(4).is_ok());
        drop(first);
        assert!(other.grow(3).is_err(), "a sender's own share");
        assert!(other.grow(2).is_ok());
        drop((second, other));
        let held = bodies.lock();
        assert!(held.overall == 0 && held.by_sender.is_empty());
    }

    #[test]
    fn the_largest_body_always_fits() {
        let bodies = Bodies::new(1, 1, 8);
        assert!(bodies.of_key("a").grow(8).is_ok());
    }
}
