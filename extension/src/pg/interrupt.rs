//! Where long work listens: Postgres cancels a statement only where it is asked whether to go on. Every loop that a caller
//! can make long asks in each round.

/// Ends the statement, with an error of Postgres's, if it is cancelled or its time is over. What is open then is closed as
/// after any error: not to be called in between of writing a row and telling its indexes, nor while a transaction ends.
#[cfg(not(test))]
pub fn check() {
    pgrx::check_for_interrupts!();
}

/// Unit tests run without Postgres.
#[cfg(test)]
pub fn check() {}
