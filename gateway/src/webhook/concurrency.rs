//! How many attempts are under way, overall, for each tenant and in each lane, so that slow endpoints delay nobody else's.
//!
//! A tenant may hold a third of the places that it leaves free, and a lane as many as its tenant has left: one tenant whose
//! endpoints hang gets a quarter of all, the next a quarter of the rest, and whoever comes then finds some free.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

/// A tenant gets one in so many of the places that nobody else holds.
const TENANT_SHARE: usize = 4;

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
    by_tenant: HashMap<Uuid, Held>,
}

/// What a tenant holds.
#[derive(Default)]
struct Held {
    places: usize,
    by_lane: HashMap<Uuid, usize>,
}

/// A place that is given back when it is dropped.
pub struct Place {
    lanes: Arc<Lanes>,
    tenant_id: Uuid,
    lane: Uuid,
}

/// What may be claimed now.
#[derive(Debug, PartialEq, Eq)]
pub struct Room {
    pub batch_max: usize,
    /// Of a lane that is not busy.
    pub lane_max: usize,
    pub busy_lanes: Vec<Uuid>,
    /// Of a tenant that holds no place.
    pub tenant_max: usize,
    /// Tenants that hold some, and how many more each may take; none while it would be few, so that a claim takes several.
    pub tenants: Vec<(Uuid, usize)>,
}

impl Room {
    /// Whether something that waits may have to wait for a place.
    pub fn is_any_busy(&self) -> bool {
        !self.busy_lanes.is_empty() || self.tenants.iter().any(|(_, room)| *room == 0)
    }

    fn busy(&self) -> usize {
        self.busy_lanes.len() + self.tenants.iter().filter(|(_, room)| *room == 0).count()
    }
}

impl Lanes {
    pub fn new(overall_max: usize, lane_max: usize) -> Arc<Self> {
        Arc::new(Lanes { state: Mutex::default(), overall_max, lane_max, freed: Notify::new() })
    }

    /// A claim takes up to half of a lane's places, and a lane that has fewer than that left is busy:
    /// so no lane ever exceeds its limit, and nothing claimed has to wait while its lease runs.
    pub fn room(&self) -> Room {
        self.room_in(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn room_in(&self, state: &State) -> Room {
        let free = self.overall_max.saturating_sub(state.overall);
        let room_of = |held: &Held| tenant_room(free, held.places);
        let busy_in = |held: &Held| -> Vec<Uuid> {
            let left = tenant_limit(free, held.places).saturating_sub(held.places);
            let is_busy = |count: usize| count + self.claim_max() > self.lane_max || count >= left;
            held.by_lane.iter().filter(|&(_, &count)| is_busy(count)).map(|(&lane, _)| lane).collect()
        };
        Room {
            batch_max: free,
            lane_max: self.claim_max(),
            busy_lanes: state.by_tenant.values().flat_map(busy_in).collect(),
            tenant_max: tenant_limit(free, 0),
            tenants: state.by_tenant.iter().map(|(&id, held)| (id, room_of(held))).collect(),
        }
    }

    /// Whether fewer than a quarter of all places are free.
    pub fn is_crowded(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.overall_max.saturating_sub(state.overall) < self.overall_max.div_ceil(4)
    }

    /// Takes a place in a tenant's lane.
    pub fn enter(self: &Arc<Self>, tenant_id: Uuid, lane: Uuid) -> Place {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.overall += 1;
        let held = state.by_tenant.entry(tenant_id).or_default();
        held.places += 1;
        *held.by_lane.entry(lane).or_default() += 1;
        metrics::gauge!("topup_webhook_in_flight").set(state.overall as f64);
        Place { lanes: self.clone(), tenant_id, lane }
    }

    /// Waits until more can be claimed than before: a lane or a tenant is no longer busy, or not all places are taken.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    fn claim_max(&self) -> usize {
        self.lane_max.div_ceil(2)
    }
}

/// A quarter of what nobody else holds, and one at least.
fn tenant_limit(free: usize, held: usize) -> usize {
    ((free + held) / TENANT_SHARE).max(1).min(free + held)
}

/// How many more it may take; none while that is less than a quarter of its limit.
fn tenant_room(free: usize, held: usize) -> usize {
    let limit = tenant_limit(free, held);
    let room = limit.saturating_sub(held);
    if room < limit.div_ceil(4) { 0 } else { room }
}

impl State {
    fn leave(&mut self, tenant_id: Uuid, lane: Uuid) {
        self.overall = self.overall.saturating_sub(1);
        let Some(held) = self.by_tenant.get_mut(&tenant_id) else { return };
        held.places = held.places.saturating_sub(1);
        let count = held.by_lane.remove(&lane).unwrap_or(1);
        if count > 1 {
            held.by_lane.insert(lane, count - 1);
        }
        if held.places == 0 {
            self.by_tenant.remove(&tenant_id);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let lanes = &self.lanes;
        let mut state = lanes.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_full = state.overall == lanes.overall_max;
        let busy_before = lanes.room_in(&state).busy();
        state.leave(self.tenant_id, self.lane);
        let is_less_busy = lanes.room_in(&state).busy() < busy_before;
        metrics::gauge!("topup_webhook_in_flight").set(state.overall as f64);
        drop(state);
        if was_full || is_less_busy {
            lanes.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(7);

    /// Takes places as claims do, in lanes of its own each, until there is no more room for the tenant.
    fn fill(lanes: &Arc<Lanes>, tenant_id: Uuid) -> Vec<Place> {
        let mut places = Vec::new();
        loop {
            let room = lanes.room();
            let held = room.tenants.iter().find(|(id, _)| *id == tenant_id);
            let more = held.map_or(room.tenant_max, |(_, more)| *more).min(room.batch_max);
            if more == 0 {
                return places;
            }
            places.extend((0..more).map(|_| lanes.enter(tenant_id, Uuid::now_v7())));
        }
    }

    #[test]
    fn a_lane_is_busy_before_a_claim_could_overfill_it() {
        let (lanes, lane) = (Lanes::new(40, 8), Uuid::from_u128(1));
        let mut places: Vec<_> = (0..4).map(|_| lanes.enter(TENANT, lane)).collect();
        let room = lanes.room();
        assert_eq!((room.batch_max, room.lane_max, room.busy_lanes), (36, 4, vec![]));
        places.push(lanes.enter(TENANT, lane));
        assert_eq!(lanes.room().busy_lanes, [lane]);
        drop(places);
        let tenants = vec![];
        assert_eq!(
            lanes.room(),
            Room { batch_max: 40, lane_max: 4, busy_lanes: vec![], tenant_max: 10, tenants }
        );
    }

    #[test]
    fn a_lane_of_one_works() {
        let (lanes, lane) = (Lanes::new(4, 1), Uuid::from_u128(1));
        assert_eq!(lanes.room().lane_max, 1);
        let _place = lanes.enter(TENANT, lane);
        assert_eq!(lanes.room().busy_lanes, [lane]);
    }

    #[test]
    fn one_place_is_for_whoever_comes() {
        let lanes = Lanes::new(1, 8);
        let places = fill(&lanes, TENANT);
        assert_eq!((places.len(), lanes.room().batch_max), (1, 0));
        drop(places);
        assert_eq!(fill(&lanes, Uuid::nil()).len(), 1);
    }

    #[test]
    fn whoever_comes_next_finds_a_place_however_many_hang() {
        let lanes = Lanes::new(256, 8);
        let mut hanging = Vec::new();
        for tenant in 1..=19 {
            let places = fill(&lanes, Uuid::from_u128(tenant));
            assert!(!places.is_empty(), "tenant {tenant} finds none");
            hanging.extend(places);
        }
        assert!(lanes.room().batch_max > 0);
    }

    #[test]
    fn a_tenant_alone_takes_a_quarter() {
        let lanes = Lanes::new(64, 8);
        let places = fill(&lanes, TENANT);
        assert_eq!(places.len(), 16);
        assert!(lanes.room().is_any_busy());
    }

    #[test]
    fn lanes_that_hang_leave_places_to_their_tenants_others() {
        let lanes = Lanes::new(64, 8);
        let _hanging: Vec<_> = (1..=20)
            .flat_map(|lane| (0..2).map(move |_| lane))
            .map(|lane| lanes.enter(TENANT, Uuid::from_u128(lane)))
            .collect();
        // 40 are held, which is more than the half: none of them gets more.
        assert_eq!(lanes.room().tenants, [(TENANT, 0)]);
        assert_eq!(lanes.room().busy_lanes.len(), 20);
    }
}
