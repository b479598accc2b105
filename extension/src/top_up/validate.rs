//! Validate: the answer that send would give, without sending.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::Serialize;

use crate::operation::handler::Handler;
use crate::tenant::caller::Caller;
use crate::top_up::balance;
use crate::top_up::send::{self, SendRequest};
use crate::value::amount::{Amount, Bps, Cents};
use crate::value::reply::{Failure, Outcome, Reply};

/// What a send would cost and leave.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ValidateData {
    /// Always true: what is not valid is refused.
    pub valid: bool,
    /// The platform whose credit it would be.
    pub platform: String,
    /// List price in US cents.
    pub amount_cents: Cents,
    /// What the wallet would be debited, in US cents.
    pub cost_cents: Cents,
    /// The key's wholesale discount in basis points.
    pub discount_bps: Bps,
    /// The wallet after the debit, rounded down to the cent.
    pub new_balance_cents: Cents,
}

pub struct Validate;

impl Handler for Validate {
    const NAME: &'static str = "validate";
    type Request = SendRequest;
    type Data = ValidateData;

    fn handle(caller: &Caller, request: &SendRequest) -> Outcome<ValidateData> {
        let quote = send::quote_one(caller, request)?;
        let wallet = balance::wallet(caller)?;
        let after = wallet.balance.plus(-Amount::from_cents(quote.cost));
        let spent = send::Spent::read(caller)?;
        spent.afford(caller, &quote, after.is_some_and(|after| after >= -wallet.credit_limit))?;
        let after = after.ok_or_else(|| Failure::Fault("a balance that cannot be".to_owned()))?;
        let data = ValidateData {
            valid: true,
            platform: request.platform.clone(),
            amount_cents: request.amount_cents,
            cost_cents: quote.cost,
            discount_bps: caller.key.discount,
            new_balance_cents: after.floor_cents(),
        };
        Ok(Reply::new(Code::Success, data))
    }
}
