//! Postings: what a transaction does to accounts and to their grants, refused where a limit says so.

use pg_topup_contract::Code;
use uuid::Uuid;

use super::entry::{self, Header, Posting, Running};
use super::lock::Locked;
use crate::event;
use crate::ledger::account::{self, System};
use crate::ledger::credit::{Account, Grant, Taken, Use};
use crate::ledger::grant::{self, GrantTerms};
use crate::pg::db::DbResult;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::pg_timestamp::PgTimestamp;
use crate::value::reply::{Failure, Refusal};

/// What the posting to an account means for its grants, beyond its amount.
#[derive(Clone, Copy)]
pub enum Meaning<'a> {
    /// The credit becomes a grant.
    Grants(&'a GrantTerms),
    /// The credit gives back part of an earlier debit.
    /// `was_held`: so much of the account's open holds ends with it.
    GivesBack { of_transaction: Uuid, taken: &'a Taken, was_held: Amount },
    /// The debit takes from this grant alone, or from plain credit alone; whoever asks knows that so much is left.
    TakesBack { grant_id: Option<Uuid> },
}

/// Writes one transaction. Postings must sum to zero; those of zero are left out. `locked` holds every
/// running balance among the accounts. An account that would fall below its limit refuses the whole.
/// Debits burn grants. Returns the locked balances as they are afterwards, in the order given.
pub fn post(
    book: &Book,
    header: Header,
    locked: &[Locked],
    postings: &[Posting],
) -> Result<Vec<Amount>, Failure> {
    post_meaning(book, header, locked, postings, &[])
}

/// The same, and credits become grants: at once, or set aside until they take effect.
pub fn post_granting(
    book: &Book,
    header: Header,
    locked: &[Locked],
    postings: &[Posting],
    grants: &[(Uuid, GrantTerms)],
) -> Result<Vec<Amount>, Failure> {
    let meanings: Vec<(Uuid, Meaning)> =
        grants.iter().map(|(account_id, terms)| (*account_id, Meaning::Grants(terms))).collect();
    post_meaning(book, header, locked, postings, &meanings)
}

/// The same, for credits that are more than plain.
pub fn post_meaning(
    book: &Book,
    header: Header,
    locked: &[Locked],
    postings: &[Posting],
    meanings: &[(Uuid, Meaning)],
) -> Result<Vec<Amount>, Failure> {
    let after = post_locked(book, header, locked, postings, meanings)?;
    Ok(after.iter().map(|account| account.balance).collect())
}

/// The postings that count; a fault where they do not balance.
pub(super) fn balanced(header: &Header, postings: &[Posting]) -> Result<Vec<Posting>, Failure> {
    let sum = postings.iter().try_fold(Amount::ZERO, |sum, posting| sum.plus(posting.amount));
    if sum != Some(Amount::ZERO) {
        return Err(Failure::Fault(format!("the postings of kind {} do not sum to zero", header.kind)));
    }
    Ok(postings.iter().copied().filter(|posting| posting.amount != Amount::ZERO).collect())
}

/// Posts, and gives the accounts back as they are then.
pub(super) fn post_locked(
    book: &Book,
    header: Header,
    locked: &[Locked],
    postings: &[Posting],
    meanings: &[(Uuid, Meaning)],
) -> Result<Vec<Locked>, Failure> {
    let mut postings = balanced(&header, postings)?;
    let at = posting_time(locked);
    let mut after: Vec<Locked> = locked.to_vec();
    let mut moved: Vec<Moved> = Vec::new();
    // Accounts that were locked one after the other may not agree on the time: the latest counts for all.
    for account in after.iter_mut().filter(|account| account.next_due_at.is_some_and(|due| due <= at)) {
        account.bring_up_to_date(book, at)?;
    }
    for posting in &mut postings {
        let Some(account) = after.iter_mut().find(|account| account.account_id == posting.account_id) else {
            continue;
        };
        let meaning = meanings.iter().find(|(id, _)| *id == posting.account_id).map(|(_, meaning)| *meaning);
        let effect = account.apply(book, posting, meaning, at)?;
        if effect.as_ref().and_then(|moved| moved.grant.as_ref()).is_some_and(|grant| grant.pending) {
            let asset = account::facts(book, account.account_id)?.asset;
            posting.account_id = account::system_id(book.tenant_id, book.environment, System::Held, &asset);
        }
        moved.extend(effect);
    }
    let transaction_id = header.transaction_id;
    let running: Vec<Running> = after.iter().map(Locked::running).collect();
    entry::write(book, header, at, &running, &postings)?;
    for moved in &moved {
        moved.write(book, transaction_id, at)?;
    }
    for (before, after) in locked.iter().zip(&mut after) {
        if let Some(threshold) = low_threshold(before, after.balance) {
            event::balance_low(book, transaction_id, after.balance, threshold)?;
        }
        // What went back to a grant that has expired since expires again at once.
        after.advance_to(book, at, at)?;
    }
    Ok(after)
}

/// Not before the locks were held, and before anything changes that they have not seen.
pub(super) fn posting_time(locked: &[Locked]) -> PgTimestamp {
    let due = locked.iter().filter_map(|account| account.next_due_at).min().unwrap_or(PgTimestamp::NEVER);
    let locked_at = locked.iter().map(|account| account.as_of).max().unwrap_or(PgTimestamp::BEGINNING);
    PgTimestamp::now().min(due.just_before()).max(locked_at)
}

/// What a posting did to the grants of an account.
pub(super) struct Moved {
    account_id: Uuid,
    grant: Option<Grant>,
    uses: Vec<Use>,
    /// The debit of which so much is given back.
    given_back: Option<(Uuid, Amount)>,
    next_due_at: Option<PgTimestamp>,
}

impl Moved {
    fn write(&self, book: &Book, transaction_id: Uuid, at: PgTimestamp) -> DbResult<()> {
        if let Some(grant) = &self.grant {
            grant::insert(book, self.account_id, transaction_id, grant, at)?;
        }
        if let Some((of_transaction, amount)) = self.given_back {
            grant::note_return(book, self.account_id, transaction_id, of_transaction, amount)?;
        }
        if self.uses.is_empty() && self.grant.is_none() {
            return Ok(());
        }
        grant::save(book, self.account_id, transaction_id, &self.uses, self.next_due_at)
    }
}

impl Locked {
    /// Books a posting in memory; tells what it did where it is more than plain.
    pub(super) fn apply(
        &mut self,
        book: &Book,
        posting: &Posting,
        meaning: Option<Meaning>,
        at: PgTimestamp,
    ) -> Result<Option<Moved>, Failure> {
        let amount = posting.amount;
        self.as_of = at;
        let was_held = match meaning {
            Some(Meaning::GivesBack { was_held, .. }) => was_held,
            _ => Amount::ZERO,
        };
        let after = self.balance_after(posting, was_held)?;
        let plain = || Box::new(Account { balance: self.balance, ..Account::default() });
        if meaning.is_some() && self.credit.is_none() {
            self.credit = Some(plain());
        }
        let Some(credit) = &mut self.credit else {
            self.balance = after;
            self.version += 1;
            return Ok(None);
        };
        let mut moved = Moved {
            account_id: self.account_id,
            grant: None,
            uses: Vec::new(),
            given_back: None,
            next_due_at: None,
        };
        match meaning {
            Some(Meaning::TakesBack { grant_id }) => moved.uses = credit.take_from(grant_id, -amount),
            _ if amount < Amount::ZERO => moved.uses = credit.debit(-amount),
            None => credit.credit(amount),
            Some(Meaning::Grants(terms)) => {
                if self.account_id == book.wallet_id {
                    let message = "Credit that expires is for the accounts of customers.";
                    return Err(Refusal::of_field(Code::InvalidRequest, "expires_at", message).into());
                }
                let grant = grant::of_credit(credit, amount, terms, at)?;
                moved.uses = credit.grant(grant.clone());
                moved.grant = Some(grant);
            }
            Some(Meaning::GivesBack { of_transaction, taken, .. }) => {
                moved.uses = credit.give_back(amount, taken);
                moved.given_back = Some((of_transaction, amount));
            }
        }
        moved.next_due_at = credit.next_due();
        if moved.grant.as_ref().is_none_or(|grant| !grant.pending) {
            self.version += 1;
        }
        self.balance = credit.balance;
        Ok(Some(moved))
    }

    /// Whether so many grants that come to an amount would be taken now.
    pub fn takes_grants(&self, amount: Amount, count: usize) -> bool {
        let posting = Posting::new(self.account_id, amount);
        self.balance_after(&posting, Amount::ZERO).is_ok() && grant::has_room(self.credit.as_deref(), count)
    }

    /// Whether a debit that may overdraw leaves a balance that can be kept.
    pub fn bears(&self, amount: Amount) -> bool {
        self.balance.plus(-amount).is_some()
    }

    fn balance_after(&self, posting: &Posting, was_held: Amount) -> Result<Amount, Failure> {
        let beyond =
            || Refusal::new(Code::AmountOutOfRange, "The balance would go beyond what an account can hold.");
        let after = self.balance.plus(posting.amount).ok_or_else(beyond)?;
        // What is set aside comes back by itself, and must find room.
        let set_aside = self.credit.as_ref().map_or(Amount::ZERO, |credit| credit.pending_in() + credit.held);
        let set_aside = set_aside - was_held;
        if posting.amount > Amount::ZERO && !(after + set_aside).fits() {
            return Err(beyond().into());
        }
        if posting.amount < Amount::ZERO && after < -self.credit_limit && !posting.overdraws {
            let message = "The balance does not cover this amount.";
            return Err(Refusal::new(Code::InsufficientBalance, message).into());
        }
        Ok(after)
    }
}

/// The crossing itself is the state: a balance that falls from at or above its threshold to below it
/// warns once, and can do so again only after it has been back. The threshold, where that is so.
pub(super) fn low_threshold(before: &Locked, after: Amount) -> Option<Amount> {
    before.low_balance_threshold.filter(|threshold| before.balance >= *threshold && after < *threshold)
}
