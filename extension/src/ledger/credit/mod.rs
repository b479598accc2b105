//! What an account holds, worked out in memory: which grants a debit burns, where a credit goes, and what
//! time alone changes. Pure: reading a balance and locking it to write come to the same result here.

mod order;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use uuid::Uuid;

use crate::pg::interrupt;
use crate::value::amount::Amount;
use crate::value::id::Kind;
use crate::value::pg_timestamp::PgTimestamp;

pub use order::Purpose;

/// Credit with an end, or with a beginning still to come.
#[derive(Clone, Debug)]
pub struct Grant {
    pub id: Uuid,
    pub purpose: Purpose,
    /// Lower burns earlier.
    pub priority: i32,
    /// What is not used yet; all of it while it is pending.
    pub remaining: Amount,
    pub effective_at: PgTimestamp,
    /// None: it never expires.
    pub expires_at: Option<PgTimestamp>,
    /// Its credit is not in the account yet.
    pub pending: bool,
}

/// What a transaction took from a grant, or gave back to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub grant_id: Uuid,
    pub used: Amount,
    pub returned: Amount,
}

/// A debit that may be given back: what it took from grants, and what from plain credit.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    pub plain: Amount,
    pub grants: Vec<(Grant, Amount)>,
}

impl Taken {
    /// All of it.
    pub fn sum(&self) -> Amount {
        self.grants.iter().fold(self.plain, |sum, (_, amount)| sum + *amount)
    }
}

/// Credit that is set aside until a time.
#[derive(Clone, Debug)]
pub struct Hold {
    pub id: Uuid,
    /// The ledger transaction that set it aside.
    pub transaction_id: Uuid,
    pub amount: Amount,
    pub expires_at: PgTimestamp,
    pub taken: Taken,
}

/// Why time alone changed an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    Expired(Uuid),
    /// A hold, and the transaction that made it.
    HoldExpired(Uuid, Uuid),
    Activated(Uuid),
}

impl Cause {
    /// The kind of the transaction that books it, and whose grant or hold it is.
    pub fn kind_and_id(&self) -> (&'static str, String) {
        match self {
            Cause::Expired(grant_id) => ("expire", Kind::Grant.text(*grant_id)),
            Cause::Activated(grant_id) => ("activate", Kind::Grant.text(*grant_id)),
            Cause::HoldExpired(hold_id, _) => ("release", Kind::Hold.text(*hold_id)),
        }
    }
}

/// What time alone changed: `amount` is signed, as it changed the balance.
#[derive(Clone, Debug)]
pub struct Change {
    pub at: PgTimestamp,
    pub cause: Cause,
    pub amount: Amount,
    pub uses: Vec<Use>,
}

/// An account's balance and what of it is in grants. While the balance is below zero no grant has anything
/// left, and no more is left in grants than the balance: both are kept by every step here.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub balance: Amount,
    /// Pending ones and those with something left; others may be among them.
    pub grants: Vec<Grant>,
    /// Holds that are due to expire.
    pub holds: Vec<Hold>,
    /// When the first of the other open holds expires.
    pub next_hold_at: Option<PgTimestamp>,
    /// What is in the open holds, these and the others.
    pub held: Amount,
}

impl Account {
    /// What will come in by itself.
    pub fn pending_in(&self) -> Amount {
        self.grants
            .iter()
            .filter(|grant| grant.pending)
            .fold(Amount::ZERO, |sum, grant| sum + grant.remaining)
    }

    /// When time alone changes the account next; `NEVER` while it has only grants without an end.
    pub fn next_due(&self) -> Option<PgTimestamp> {
        let grants = self.grants.iter().filter(|grant| grant.remaining > Amount::ZERO).map(Grant::next_due);
        let holds = self.holds.iter().map(|hold| hold.expires_at);
        grants.chain(holds).chain(self.next_hold_at).min()
    }

    /// Takes an amount: from grants in burn order, then from plain credit.
    pub fn debit(&mut self, amount: Amount) -> Vec<Use> {
        self.balance = self.balance - amount;
        self.burn(amount)
    }

    /// Takes an amount from one grant, or from plain credit where none is named: of either so much must be left.
    pub fn take_from(&mut self, grant_id: Option<Uuid>, amount: Amount) -> Vec<Use> {
        self.balance = self.balance - amount;
        let order: Vec<usize> =
            (0..self.grants.len()).filter(|index| Some(self.grants[*index].id) == grant_id).collect();
        self.burn_in(&order, amount)
    }

    /// Adds plain credit.
    pub fn credit(&mut self, amount: Amount) {
        self.balance = self.balance + amount;
    }

    /// Adds a grant. One that is in effect pays what the account owes first.
    pub fn grant(&mut self, grant: Grant) -> Vec<Use> {
        let (pending, amount) = (grant.pending, grant.remaining);
        self.grants.push(grant);
        if pending { Vec::new() } else { self.take_in(amount) }
    }

    /// Gives back part or all of an earlier debit, as if that had been so much smaller: plain credit first,
    /// then grants, the last to burn first. What is owed is paid first, and by what has expired.
    pub fn give_back(&mut self, amount: Amount, taken: &Taken) -> Vec<Use> {
        let mut rest = amount - amount.min(taken.plain);
        let mut uses: Vec<Use> = Vec::new();
        let mut grants: Vec<&(Grant, Amount)> = taken.grants.iter().collect();
        grants.sort_by_key(|(grant, _)| Reverse(grant.burn_order()));
        for (grant, taken) in grants {
            let returned = rest.min(*taken);
            if returned <= Amount::ZERO {
                continue;
            }
            rest = rest - returned;
            let known = self.grants.iter().position(|known| known.id == grant.id);
            let index = known.unwrap_or(self.grants.len());
            if known.is_none() {
                self.grants.push(grant.clone());
            }
            self.grants[index].remaining = self.grants[index].remaining + returned;
            uses.push(Use { grant_id: grant.id, used: Amount::ZERO, returned });
        }
        let returned = uses.iter().fold(Amount::ZERO, |sum, each| sum + each.returned);
        let (owed, plain) = ((-self.balance).max(Amount::ZERO), amount - returned);
        self.balance = self.balance + amount;
        let paid = self.burn_ended_first(returned.min((owed - plain).max(Amount::ZERO)));
        merge(&mut uses, paid);
        uses
    }

    /// Lets time pass up to and including an instant: what begins, what expires, and holds that end. What
    /// was overdue at `from` already changes then.
    pub fn advance_to(&mut self, from: PgTimestamp, until: PgTimestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut clock = from;
        while let Some((due, step)) = self.next_step().filter(|(due, _)| *due <= until) {
            interrupt::check();
            clock = clock.max(due);
            changes.push(match step {
                Step::Expire(index) => self.expire(clock, index),
                Step::EndHold(index) => self.end_hold(clock, index),
                Step::Activate(index) => self.activate(clock, index),
            });
        }
        changes
    }

    /// The earliest step; of several at one instant an end comes before a beginning.
    fn next_step(&self) -> Option<(PgTimestamp, Step)> {
        let live = self.grants.iter().enumerate().filter(|(_, grant)| grant.remaining > Amount::ZERO);
        let grants = live.map(|(index, grant)| {
            let step = if grant.pending { Step::Activate(index) } else { Step::Expire(index) };
            (grant.next_due(), step, grant.id)
        });
        let holds = self.holds.iter().enumerate();
        let holds = holds.map(|(index, hold)| (hold.expires_at, Step::EndHold(index), hold.id));
        let order = |step: &(PgTimestamp, Step, Uuid)| (step.0, step.1.rank(), step.2);
        let first = grants.chain(holds).min_by_key(order)?;
        (first.0 < PgTimestamp::NEVER).then_some((first.0, first.1))
    }

    fn expire(&mut self, at: PgTimestamp, index: usize) -> Change {
        let grant = &mut self.grants[index];
        let amount = std::mem::take(&mut grant.remaining);
        let uses = vec![Use { grant_id: grant.id, used: amount, returned: Amount::ZERO }];
        self.balance = self.balance - amount;
        Change { at, cause: Cause::Expired(grant.id), amount: -amount, uses }
    }

    fn end_hold(&mut self, at: PgTimestamp, index: usize) -> Change {
        let hold = self.holds.remove(index);
        self.held = self.held - hold.amount;
        let uses = self.give_back(hold.amount, &hold.taken);
        Change { at, cause: Cause::HoldExpired(hold.id, hold.transaction_id), amount: hold.amount, uses }
    }

    fn activate(&mut self, at: PgTimestamp, index: usize) -> Change {
        let grant = &mut self.grants[index];
        grant.pending = false;
        let (id, amount) = (grant.id, grant.remaining);
        Change { at, cause: Cause::Activated(id), amount, uses: self.take_in(amount) }
    }

    /// Books the credit of a grant; what was owed burns it at once.
    fn take_in(&mut self, amount: Amount) -> Vec<Use> {
        let owed = (-self.balance).max(Amount::ZERO);
        self.balance = self.balance + amount;
        self.burn(owed.min(amount))
    }

    fn burn(&mut self, amount: Amount) -> Vec<Use> {
        let mut order: Vec<usize> = (0..self.grants.len()).filter(|index| self.burns(*index)).collect();
        order.sort_by_key(|index| self.grants[*index].burn_order());
        self.burn_in(&order, amount)
    }

    /// What ends first burns first.
    fn burn_ended_first(&mut self, amount: Amount) -> Vec<Use> {
        let mut order: Vec<usize> = (0..self.grants.len()).filter(|index| self.burns(*index)).collect();
        let rank = |index: usize| {
            let grant = &self.grants[index];
            (grant.expires_at.unwrap_or(PgTimestamp::NEVER), grant.burn_order())
        };
        order.sort_by_key(|index| rank(*index));
        self.burn_in(&order, amount)
    }

    fn burns(&self, index: usize) -> bool {
        !self.grants[index].pending && self.grants[index].remaining > Amount::ZERO
    }

    fn burn_in(&mut self, order: &[usize], amount: Amount) -> Vec<Use> {
        let mut rest = amount;
        let mut uses = Vec::new();
        for index in order {
            if rest <= Amount::ZERO {
                break;
            }
            let grant = &mut self.grants[*index];
            let used = rest.min(grant.remaining);
            grant.remaining = grant.remaining - used;
            rest = rest - used;
            uses.push(Use { grant_id: grant.id, used, returned: Amount::ZERO });
        }
        uses
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Expire(usize),
    EndHold(usize),
    Activate(usize),
}

impl Step {
    fn rank(self) -> u8 {
        match self {
            Step::Expire(_) => 0,
            Step::EndHold(_) => 1,
            Step::Activate(_) => 2,
        }
    }
}

impl Grant {
    fn next_due(&self) -> PgTimestamp {
        if self.pending { self.effective_at } else { self.expires_at.unwrap_or(PgTimestamp::NEVER) }
    }
}

/// One row for each grant: what a transaction both gave back and took is told together.
fn merge(uses: &mut Vec<Use>, more: Vec<Use>) {
    for each in more {
        match uses.iter_mut().find(|known| known.grant_id == each.grant_id) {
            Some(known) => known.used = known.used + each.used,
            None => uses.push(each),
        }
    }
}
