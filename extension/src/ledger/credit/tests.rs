//! The burn order by example, and everything against a naive model with random times.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn amount(units: i64) -> Amount {
    units.to_string().parse().unwrap()
}

fn at(second: i64) -> PgTimestamp {
    PgTimestamp::from(jiff::Timestamp::from_second(1_800_000_000 + second).unwrap())
}

fn id(number: usize) -> Uuid {
    Uuid::from_u128(number as u128 + 1)
}

fn grant(number: usize, purpose: Purpose, priority: i32, remaining: i64, ends: Option<i64>) -> Grant {
    Grant {
        id: id(number),
        purpose,
        priority,
        remaining: amount(remaining),
        effective_at: at(0),
        expires_at: ends.map(at),
        pending: false,
    }
}

fn used(uses: &[Use]) -> Vec<(usize, i64, i64)> {
    let whole = |amount: Amount| amount.to_string().parse::<i64>().unwrap();
    uses.iter()
        .map(|each| (each.grant_id.as_u128() as usize - 1, whole(each.used), whole(each.returned)))
        .collect()
}

#[test]
fn grants_burn_by_purpose_then_priority_then_expiry_then_age_and_plain_credit_last() {
    let mut account = Account::default();
    account.credit(amount(10));
    account.grant(grant(0, Purpose::Paid, 0, 1, Some(5)));
    account.grant(grant(1, Purpose::Bundled, 1, 1, Some(5)));
    account.grant(grant(2, Purpose::Bundled, 0, 1, None));
    account.grant(grant(4, Purpose::Bundled, 0, 1, Some(9)));
    account.grant(grant(3, Purpose::Bundled, 0, 1, Some(9)));
    account.grant(grant(5, Purpose::Promotional, 7, 1, None));
    let burned: Vec<usize> = used(&account.debit(amount(8))).into_iter().map(|each| each.0).collect();
    assert_eq!(burned, [5, 3, 4, 2, 1, 0]);
    assert_eq!(account.balance, amount(8));
}

#[test]
fn what_is_given_back_goes_where_it_came_from_the_last_to_burn_first() {
    let mut account = Account::default();
    account.credit(amount(5));
    let grants = [grant(0, Purpose::Promotional, 0, 4, Some(9)), grant(1, Purpose::Paid, 0, 6, Some(9))];
    grants.iter().for_each(|grant| drop(account.grant(grant.clone())));
    assert_eq!(used(&account.debit(amount(12))), [(0, 4, 0), (1, 6, 0)]);
    let spent = |number: usize| Grant { remaining: Amount::ZERO, ..grants[number].clone() };
    let taken = Taken { plain: amount(2), grants: vec![(spent(0), amount(4)), (spent(1), amount(6))] };
    assert_eq!(used(&account.give_back(amount(9), &taken)), [(1, 0, 6), (0, 0, 1)]);
    assert_eq!(account.balance, amount(12));
}

#[test]
fn what_comes_back_to_an_expired_grant_expires_again_but_for_what_is_owed() {
    let mut account = Account { balance: amount(-3), ..Account::default() };
    let ended = Grant { remaining: Amount::ZERO, ..grant(0, Purpose::Paid, 0, 1, Some(5)) };
    let taken = Taken { plain: Amount::ZERO, grants: vec![(ended, amount(10))] };
    assert_eq!(used(&account.give_back(amount(10), &taken)), [(0, 3, 10)]);
    let changes = account.advance_to(at(8), at(8));
    assert_eq!((changes.len(), changes[0].at, changes[0].amount), (1, at(8), amount(-7)));
    assert_eq!(account.balance, Amount::ZERO);
}

#[test]
fn a_grant_pays_what_is_owed_when_it_begins() {
    let mut account = Account { balance: amount(-3), ..Account::default() };
    let later = Grant { pending: true, effective_at: at(4), ..grant(0, Purpose::Paid, 0, 10, Some(9)) };
    assert_eq!(account.grant(later), []);
    assert_eq!(
        (account.balance, account.pending_in(), account.next_due()),
        (amount(-3), amount(10), Some(at(4)))
    );
    assert!(account.advance_to(PgTimestamp::BEGINNING, at(3)).is_empty());
    let changes = account.advance_to(PgTimestamp::BEGINNING, at(9));
    assert_eq!(changes.iter().map(|change| change.amount).collect::<Vec<_>>(), [amount(10), amount(-7)]);
    assert_eq!(used(&changes[0].uses), [(0, 3, 0)]);
    assert_eq!((account.balance, account.next_due()), (Amount::ZERO, None));
}

/// The same account unit by unit: each unit of credit knows its grant, and each debit remembers its units.
#[derive(Default)]
struct Naive {
    grants: Vec<(Purpose, i32, i64, Option<i64>, usize)>,
    /// Units to spend now, by their grant.
    units: Vec<Option<usize>>,
    owed: i64,
    pending: Vec<usize>,
    holds: Vec<(i64, usize, Vec<Option<usize>>)>,
    expired: i64,
    now: i64,
}

impl Naive {
    fn rank(&self, unit: Option<usize>) -> (u8, Purpose, i32, i64, usize) {
        unit.map_or((1, Purpose::Paid, 0, 0, 0), |index| {
            let (purpose, priority, _, ends, _) = self.grants[index];
            (0, purpose, priority, ends.unwrap_or(i64::MAX), index)
        })
    }

    fn receive(&mut self, unit: Option<usize>) {
        if self.owed > 0 {
            self.owed -= 1;
        } else {
            self.units.push(unit);
        }
    }

    fn spend(&mut self) -> Option<usize> {
        let first = (0..self.units.len()).min_by_key(|index| self.rank(self.units[*index]));
        first.map_or_else(
            || {
                self.owed += 1;
                None
            },
            |index| self.units.remove(index),
        )
    }

    /// Goes to a time second by second: ends before beginnings.
    fn advance(&mut self, until: i64) {
        while self.now < until {
            self.now += 1;
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.sweep();
        let (due, open) = std::mem::take(&mut self.holds).into_iter().partition(|hold| hold.0 <= self.now);
        self.holds = open;
        let mut due: Vec<_> = due;
        due.sort_by_key(|hold: &(i64, usize, Vec<Option<usize>>)| hold.1);
        for hold in due {
            self.give_back(hold.2);
        }
        let now = self.now;
        let begins: Vec<usize> =
            self.pending.extract_if(.., |index| self.grants[*index].4 as i64 <= now).collect();
        for index in begins {
            (0..self.grants[index].2).for_each(|_| self.receive(Some(index)));
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        let (now, before) = (self.now, self.units.len());
        let grants = &self.grants;
        self.units.retain(|unit| unit.and_then(|index| grants[index].3).is_none_or(|ends| ends > now));
        self.expired += (before - self.units.len()) as i64;
    }

    /// Plain credit pays what is owed first, then what ends first.
    fn give_back(&mut self, mut units: Vec<Option<usize>>) {
        let ends = |unit: &Option<usize>| unit.and_then(|index| self.grants[index].3).unwrap_or(i64::MAX);
        units.sort_by_key(|unit| (unit.is_some(), ends(unit), self.rank(*unit)));
        units.into_iter().for_each(|unit| self.receive(unit));
        self.sweep();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Credit(i64),
    Grant {
        purpose: Purpose,
        priority: i32,
        amount: i64,
        begins_in: i64,
        lasts: Option<i64>,
    },
    /// Usage: may overdraw.
    Debit(i64),
    Hold {
        amount: i64,
        lasts: i64,
    },
    /// Settles the hold at this place with so many of its units.
    Settle {
        which: usize,
        used: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let purpose = prop::sample::select(&[Purpose::Promotional, Purpose::Bundled, Purpose::Paid][..]);
    let begins_in = prop_oneof![2 => Just(0_i64), 1 => 1..6_i64];
    let lasts = prop_oneof![1 => Just(None), 5 => (1..12_i64).prop_map(Some)];
    prop_oneof![
        4 => (1..4_i64).prop_map(Step::Wait),
        1 => (1..6_i64).prop_map(Step::Credit),
        4 => (purpose, 0..2_i32, 1..8_i64, begins_in, lasts).prop_map(
            |(purpose, priority, amount, begins_in, lasts)| Step::Grant { purpose, priority, amount, begins_in, lasts }
        ),
        3 => (1..9_i64).prop_map(Step::Debit),
        3 => (1..9_i64, 1..8_i64).prop_map(|(amount, lasts)| Step::Hold { amount, lasts }),
        2 => (0..4_usize, 0..9_i64).prop_map(|(which, used)| Step::Settle { which, used }),
    ]
}

/// Both sides of one story; the real one catches up only when it is asked, as the ledger does.
#[derive(Default)]
struct Story {
    real: Account,
    /// As the database would have them, those with nothing left too.
    grants: Vec<Grant>,
    holds: Vec<Hold>,
    naive: Naive,
    expired: Amount,
    made: usize,
}

impl Story {
    fn perform(&mut self, step: &Step) {
        if let Step::Wait(seconds) = step {
            self.naive.advance(self.naive.now + seconds);
            return;
        }
        self.catch_up();
        match step {
            Step::Wait(_) => {}
            Step::Credit(units) => {
                self.real.credit(amount(*units));
                (0..*units).for_each(|_| self.naive.receive(None));
            }
            Step::Grant { purpose, priority, amount: units, begins_in, lasts } => {
                self.grant(*purpose, *priority, *units, *begins_in, *lasts);
            }
            Step::Debit(units) => {
                self.real.debit(amount(*units));
                for _ in 0..*units {
                    self.naive.spend();
                }
            }
            Step::Hold { amount: units, lasts } => self.hold(*units, *lasts),
            Step::Settle { which, used } => self.settle(*which, *used),
        }
    }

    /// What the ledger does at a lock: loads what is open and due, plays, and writes.
    fn catch_up(&mut self) {
        let now = at(self.naive.now);
        self.real.holds = self.holds.clone();
        for hold in &mut self.real.holds {
            self.grants.iter().for_each(|grant| {
                let known = hold.taken.grants.iter_mut().find(|(known, _)| known.id == grant.id);
                if let Some((known, _)) = known {
                    *known = grant.clone();
                }
            });
        }
        for change in self.real.advance_to(PgTimestamp::BEGINNING, now) {
            match change.cause {
                Cause::Expired(_) => self.expired = self.expired - change.amount,
                Cause::HoldExpired(hold, _) => self.holds.retain(|each| each.id != hold),
                Cause::Activated(_) => {}
            }
        }
        self.settle_books();
    }

    fn settle_books(&mut self) {
        for grant in std::mem::take(&mut self.real.grants) {
            match self.grants.iter_mut().find(|known| known.id == grant.id) {
                Some(known) => *known = grant,
                None => self.grants.push(grant),
            }
        }
        self.real.grants =
            self.grants.iter().filter(|grant| grant.remaining > Amount::ZERO).cloned().collect();
        self.real.holds = Vec::new();
    }

    fn grant(&mut self, purpose: Purpose, priority: i32, units: i64, begins_in: i64, lasts: Option<i64>) {
        let begins = self.naive.now + begins_in;
        let ends = lasts.map(|lasts| begins + lasts);
        let number = self.naive.grants.len();
        let pending = begins_in > 0;
        let grant =
            Grant { pending, effective_at: at(begins), ..grant(number, purpose, priority, units, ends) };
        self.real.grant(grant);
        self.naive.grants.push((purpose, priority, units, ends, usize::try_from(begins).unwrap()));
        if pending {
            self.naive.pending.push(number);
        } else {
            (0..units).for_each(|_| self.naive.receive(Some(number)));
        }
        self.settle_books();
    }

    fn hold(&mut self, units: i64, lasts: i64) {
        if self.real.balance < amount(units) {
            return;
        }
        let (uses, ends) = (self.real.debit(amount(units)), self.naive.now + lasts);
        let of_grants = uses.iter().fold(Amount::ZERO, |sum, each| sum + each.used);
        let taken_from = |each: &Use| {
            let grant = self.real.grants.iter().find(|grant| grant.id == each.grant_id).unwrap();
            (grant.clone(), each.used)
        };
        let taken = Taken { plain: amount(units) - of_grants, grants: uses.iter().map(taken_from).collect() };
        self.made += 1;
        let (number, expires_at) = (self.made, at(ends));
        let hold =
            Hold { id: id(number), transaction_id: id(number), amount: amount(units), expires_at, taken };
        self.holds.push(hold);
        let spent = (0..units).map(|_| self.naive.spend()).collect();
        self.naive.holds.push((ends, number, spent));
        self.settle_books();
    }

    fn settle(&mut self, which: usize, used: i64) {
        if which >= self.holds.len() {
            return;
        }
        let hold = self.holds.remove(which);
        let mut spent = self.naive.holds.remove(which).2;
        let rest = (spent.len() as i64 - used).max(0);
        let mut taken = hold.taken;
        for (known, _) in &mut taken.grants {
            *known = self.grants.iter().find(|grant| grant.id == known.id).unwrap().clone();
        }
        self.real.give_back(amount(rest), &taken);
        // Units were spent in burn order: the last ones come back.
        self.naive.give_back(spent.split_off(spent.len() - rest as usize));
        let now = at(self.naive.now);
        for change in self.real.advance_to(now, now) {
            self.expired = self.expired - change.amount;
        }
        self.settle_books();
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        self.catch_up();
        let naive = &self.naive;
        prop_assert_eq!(self.real.balance, amount(naive.units.len() as i64 - naive.owed));
        prop_assert_eq!(self.expired, amount(naive.expired));
        let pending: i64 = naive.pending.iter().map(|index| naive.grants[*index].2).sum();
        prop_assert_eq!(self.real.pending_in(), amount(pending));
        prop_assert_eq!(self.holds.len(), naive.holds.len());
        for (number, _) in
            naive.grants.iter().enumerate().filter(|(number, _)| !naive.pending.contains(number))
        {
            let left = naive.units.iter().filter(|unit| **unit == Some(number)).count();
            let grant = self.grants.iter().find(|grant| grant.id == id(number)).unwrap();
            prop_assert_eq!(grant.remaining, amount(left as i64), "grant {}", number);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_account_does_what_a_naive_one_does(steps in vec(step(), 1..25), often in any::<bool>()) {
        let mut story = Story::default();
        for step in &steps {
            story.perform(step);
            if often {
                story.compare()?;
            }
        }
        story.compare()?;
    }
}
