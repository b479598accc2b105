//! How many attempts are under way, overall and in each lane, so that a slow endpoint delays no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

/// The places for attempts.
pub struct Lanes {
    state: Mutex<State>,
    overall_max: usize,
    lane_max: usize,
    freed: Notify,
}

#[derive(Default)]
struct State {
    overall: usize,
    by_lane: HashMap<Uuid, usize>,
}

/// A place that is given back when it is dropped.
pub struct Place {
    lanes: Arc<Lanes>,
    lane: Uuid,
}

/// What may be claimed now.
#[derive(Debug, PartialEq, Eq)]
pub struct Room {
    pub batch_max: usize,
    pub lane_max: usize,
    pub busy_lanes: Vec<Uuid>,
}

impl Lanes {
    pub fn new(overall_max: usize, lane_max: usize) -> Arc<Self> {
        Arc::new(Lanes { state: Mutex::default(), overall_max, lane_max, freed: Notify::new() })
    }

    /// A claim takes up to half of a lane's places, and a lane that has fewer than that left is busy:
    /// so no lane ever exceeds its limit, and nothing claimed has to wait while its lease runs.
    pub fn room(&self) -> Room {
        let lane_max = self.claim_max();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Room {
            batch_max: self.overall_max.saturating_sub(state.overall),
            lane_max,
            busy_lanes: state
                .by_lane
                .iter()
                .filter(|&(_, &count)| self.is_busy(count))
                .map(|(&lane, _)| lane)
                .collect(),
        }
    }

    /// Whether fewer than a quarter of all places are free.
    pub fn is_crowded(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.overall_max.saturating_sub(state.overall) < self.overall_max.div_ceil(4)
    }

    /// Takes a place in a lane.
    pub fn enter(self: &Arc<Self>, lane: Uuid) -> Place {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.overall += 1;
        *state.by_lane.entry(lane).or_default() += 1;
        metrics::gauge!("topup_webhook_in_flight").set(state.overall as f64);
        Place { lanes: self.clone(), lane }
    }

    /// Waits until more can be claimed than before: a lane is no longer busy, or not all places are taken.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    fn claim_max(&self) -> usize {
        self.lane_max.div_ceil(2)
    }

    fn is_busy(&self, count: usize) -> bool {
        count + self.claim_max() > self.lane_max
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let lanes = &self.lanes;
        let mut state = lanes.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_full = state.overall == lanes.overall_max;
        state.overall -= 1;
        let count = state.by_lane.remove(&self.lane).unwrap_or(1);
        if count > 1 {
            state.by_lane.insert(self.lane, count - 1);
        }
        metrics::gauge!("topup_webhook_in_flight").set(state.overall as f64);
        drop(state);
        if was_full || (lanes.is_busy(count) && !lanes.is_busy(count - 1)) {
            lanes.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_busy_before_a_claim_could_overfill_it() {
        let (lanes, lane) = (Lanes::new(10, 8), Uuid::from_u128(1));
        let mut places: Vec<_> = (0..4).map(|_| lanes.enter(lane)).collect();
        assert_eq!(lanes.room(), Room { batch_max: 6, lane_max: 4, busy_lanes: vec![] });
        places.push(lanes.enter(lane));
        assert_eq!(lanes.room(), Room { batch_max: 5, lane_max: 4, busy_lanes: vec![lane] });
        drop(places);
        assert_eq!(lanes.room(), Room { batch_max: 10, lane_max: 4, busy_lanes: vec![] });
    }

    #[test]
    fn a_lane_of_one_works() {
        let (lanes, lane) = (Lanes::new(2, 1), Uuid::from_u128(1));
        assert_eq!(lanes.room().lane_max, 1);
        let _place = lanes.enter(lane);
        assert_eq!(lanes.room().busy_lanes, [lane]);
    }
}
