//! Transactions of one book that are decided one after the other in memory, and written together.

use uuid::Uuid;

use super::entry::{Header, Lines, Posting, Running};
use super::lock::Locked;
use super::post;
use crate::event::Events;
use crate::value::amount::Amount;
use crate::value::book::Book;
use crate::value::reply::Failure;

/// Locked accounts as they stand after what has been posted, and what of it is not written yet.
pub struct Journal {
    accounts: Vec<Locked>,
    lines: Lines,
}

impl Journal {
    /// Begins with accounts that are locked.
    pub fn open(accounts: Vec<Locked>) -> Journal {
        Journal { accounts, lines: Lines::default() }
    }

    /// Takes in an account that was locked later.
    pub fn add(&mut self, account: Locked) {
        self.accounts.push(account);
    }

    /// An account as it stands now, if it is here.
    pub fn account(&self, account_id: Uuid) -> Option<&Locked> {
        self.accounts.iter().find(|account| account.account_id == account_id)
    }

    /// Posts a transaction as [`super::post()`] does; a refusal leaves everything as it was. Accounts with running
    /// balances among the postings must be here.
    pub fn post(
        &mut self,
        book: &Book,
        header: Header,
        postings: &[Posting],
        events: &mut Events,
    ) -> Result<(), Failure> {
        let is_touched = |id: Uuid| postings.iter().any(|posting| posting.account_id == id);
        let before: Vec<Locked> =
            self.accounts.iter().filter(|account| is_touched(account.account_id)).cloned().collect();
        let after = if before.iter().all(|account| account.credit.is_none()) {
            self.note(book, header, &before, postings, events)?
        } else {
            // Grants are read and written one transaction at a time.
            self.write(book)?;
            events.write()?;
            post::post_locked(book, header, &before, postings, &[])?
        };
        for account in after {
            if let Some(known) = self.accounts.iter_mut().find(|known| known.account_id == account.account_id)
            {
                *known = account;
            }
        }
        Ok(())
    }

    /// Posts to plain accounts, in memory; gives them back as they are then.
    fn note(
        &mut self,
        book: &Book,
        header: Header,
        before: &[Locked],
        postings: &[Posting],
        events: &mut Events,
    ) -> Result<Vec<Locked>, Failure> {
        let postings = post::balanced(&header, postings)?;
        let (transaction_id, at) = (header.transaction_id, post::posting_time(before));
        let mut after = before.to_vec();
        for posting in &postings {
            if let Some(account) = after.iter_mut().find(|account| account.account_id == posting.account_id) {
                account.apply(book, posting, None, at)?;
            }
        }
        let running: Vec<Running> = after.iter().map(Locked::running).collect();
        self.lines.push(book, header, at, &running, &postings);
        for (before, after) in before.iter().zip(&after) {
            if let Some(threshold) = post::low_threshold(before, after.balance) {
                events.balance_low(book, transaction_id, after.balance, threshold)?;
            }
        }
        Ok(after)
    }

    /// How an account stands; zero where it is not here.
    pub fn balance(&self, account_id: Uuid) -> Amount {
        self.account(account_id).map_or(Amount::ZERO, |account| account.balance)
    }

    /// Writes what is not written yet.
    pub fn write(&mut self, book: &Book) -> Result<(), Failure> {
        std::mem::take(&mut self.lines).write(book)
    }
}
