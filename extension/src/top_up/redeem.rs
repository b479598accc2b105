//! Redeem: an unredeemed voucher's amount goes to its bearer's wallet.

use pg_topup_contract::Code;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::account::{self, System, USD};
use crate::ledger::{self, Header, Posting};
use crate::operation::handler::Handler;
use crate::pg::db::{self, args};
use crate::tenant::caller::Caller;
use crate::tenant::customer::{self, Email};
use crate::top_up::model::{self, Status, TopUp, select_top_up};
use crate::top_up::voucher;
use crate::value::amount::{Amount, Cents};
use crate::value::id::{self, Kind};
use crate::value::reply::{Failure, Outcome, Refusal, Reply};

/// A voucher and its bearer: exactly one of `customer_id` and `email`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemRequest {
    /// As the send's reply gave it. Quotes around it, other dashes, full-width and invisible characters do not matter;
    /// of a code that begins with `ATU`, neither do letter case, dashes and spaces, and O, I and L are 0, 1 and 1.
    pub voucher_code: String,
    /// A customer of yours (`cust_…`).
    pub customer_id: Option<String>,
    /// The bearer's address; the customer is made if absent.
    pub email: Option<String>,
}

/// Who received what.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RedeemData {
    /// The code that was redeemed.
    pub voucher_code: String,
    /// The platform whose credit it is.
    pub platform: String,
    /// What was credited, in US cents.
    pub amount_cents: Cents,
    /// Who received it: `cust_…`.
    pub customer_id: String,
    /// The account of the customer, `{platform}:USD`.
    pub account_id: String,
    /// The account after it, rounded down to the cent.
    pub account_balance_cents: Cents,
}

pub struct Redeem;

const BY_VOUCHER: &str = select_top_up!(
    "and t.voucher_code in ($4, $5, $6)
     order by t.voucher_code = $4, t.voucher_code = $5 for update of t"
);

const REDEEMED: &str = "
    update topup.top_up set account_id = $4
     where tenant_id = $1 and environment = $2::topup.environment and transaction_id = $3
       and status = 'delivered' and account_id is null
    returning true";

impl Handler for Redeem {
    const NAME: &'static str = "redeem";
    type Request = RedeemRequest;
    type Data = RedeemData;

    fn handle(caller: &Caller, request: &RedeemRequest) -> Outcome<RedeemData> {
        let bearer = bearer(caller, request)?;
        let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
        let [typed, plain, meant] = voucher::candidates(&request.voucher_code);
        let arguments = args![tenant_id, environment, caller.wallet_id, typed, plain, meant];
        let top_up = db::write(BY_VOUCHER, arguments, model::read)?.pop().ok_or_else(not_found)?;
        if top_up.status != Status::Delivered {
            return Err(not_found().into());
        }
        if top_up.account_id.is_some() {
            let message = "This voucher was redeemed before.";
            return Err(Refusal::of_field(Code::VoucherRedeemed, "voucher_code", message).into());
        }
        let customer_id = match bearer {
            Bearer::Known(customer_id) => customer_id,
            Bearer::Named(email) => customer::find_or_make(caller, &email)?,
        };
        credit(caller, top_up, customer_id)
    }
}

enum Bearer {
    Known(Uuid),
    Named(Email),
}

fn bearer(caller: &Caller, request: &RedeemRequest) -> Result<Bearer, Failure> {
    let invalid = |field, message| Failure::from(Refusal::of_field(Code::InvalidRequest, field, message));
    match (&request.customer_id, &request.email) {
        (Some(customer_id), None) => {
            let id = Kind::Customer.parse(customer_id);
            match id {
                Some(id) if customer::exists(caller, id)? => Ok(Bearer::Known(id)),
                _ => Err(invalid("customer_id", "There is no such customer.")),
            }
        }
        (None, Some(email)) => Ok(Bearer::Named(Email::parse(email, "email")?)),
        (None, None) => Err(invalid("customer_id", "Name the bearer by customer_id or by email.")),
        (Some(_), Some(_)) => {
            Err(invalid("email", "Name the bearer by customer_id or by email, not by both."))
        }
    }
}

fn not_found() -> Refusal {
    Refusal::of_field(Code::VoucherNotFound, "voucher_code", "There is no such voucher.")
}

fn credit(caller: &Caller, top_up: TopUp, customer_id: Uuid) -> Outcome<RedeemData> {
    let platform = top_up.data.platform;
    let account_id = account::open_for_customer(caller, customer_id, &platform, USD)?;
    let locked = ledger::lock(caller, &[account_id])?;
    let amount = Amount::from_cents(top_up.data.amount_cents);
    let vouchers = account::system_id(caller.tenant_id, caller.environment, System::Voucher, USD);
    let postings = [Posting::new(vouchers, -amount), Posting::new(account_id, amount)];
    let top_up_id = Some(top_up.transaction_id);
    let header =
        Header { transaction_id: id::new(), kind: "redeem", top_up_id, reference: None, detail: None };
    let after = ledger::post(caller, header, &locked, &postings)?;
    let (tenant_id, environment) = (caller.tenant_id, caller.environment.as_str());
    model::must_change(db::write(
        REDEEMED,
        args![tenant_id, environment, top_up.transaction_id, account_id],
        |_| Ok(()),
    )?)?;
    let data = RedeemData {
        voucher_code: top_up.data.voucher_code.unwrap_or_default(),
        amount_cents: top_up.data.amount_cents,
        customer_id: Kind::Customer.text(customer_id),
        account_id: format!("{platform}:{USD}"),
        account_balance_cents: after.first().map_or(Cents(0), |balance| balance.floor_cents()),
        platform,
    };
    Ok(Reply::of(Code::Success, top_up.transaction_id, Some(Status::Delivered.as_str()), data))
}
