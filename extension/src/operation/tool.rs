//! The operations that agents call over MCP, and how each is presented to a model: when to use it,
//! in which units, and what to do after a refusal.

use serde_json::{Value, json};

/// An operation as an MCP tool. The gateway adds the schemas from the operation's own.
pub struct Tool {
    pub name: &'static str,
    pub title: &'static str,
    /// The fields of the request that agents may give; `idempotency_key` stands for the call's own.
    pub arguments: &'static [&'static str],
    pub annotations: Annotations,
    pub description: &'static str,
}

/// MCP's hints to a client that asks a person before it calls.
pub struct Annotations {
    pub read_only_hint: bool,
    /// Spends or takes back, so that a person may want to be asked.
    pub destructive_hint: bool,
    pub idempotent_hint: bool,
    pub open_world_hint: bool,
}

impl Tool {
    /// As `topup.operations()` publishes it, in MCP's own names.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "arguments": self.arguments,
            "annotations": {
                "readOnlyHint": self.annotations.read_only_hint,
                "destructiveHint": self.annotations.destructive_hint,
                "idempotentHint": self.annotations.idempotent_hint,
                "openWorldHint": self.annotations.open_world_hint,
            },
        })
    }
}

const READ_ONLY: Annotations = Annotations {
    read_only_hint: true,
    destructive_hint: false,
    idempotent_hint: true,
    open_world_hint: false,
};

pub const SEND_TOPUP: Tool = Tool {
    name: "send_topup",
    title: "Send an AI credit top-up",
    arguments: &["platform", "amount_cents", "recipient_email", "idempotency_key"],
    annotations: Annotations {
        read_only_hint: false,
        destructive_hint: true,
        idempotent_hint: false,
        open_world_hint: true,
    },
    description: "\
Buys prepaid AI credit (Claude, ChatGPT, Gemini) from the wallet and sends it. Use it when somebody is to receive credit. \
It spends money: real money with a live key, play money with a staging key.

amount_cents is the list price in whole US cents (1000 is 10.00 USD), usually 100 to 100000. The wallet pays \
data.cost_cents, the list price less the key's wholesale discount. With recipient_email the credit lands in that person's \
wallet. Without it, hand data.voucher_code to whoever is to redeem it.

Give an idempotency_key, a fresh random UUID for every top-up that is intended. After a time-out or a lost answer, call again \
with the same key and the same arguments: the top-up is paid once, and the first answer comes back. Keys are shared by all \
agents of the account and remembered for good, so a simple one such as topup-1 may be another's.

Answers: 1001 delivered. 1002 accepted and pending: look again with get_status; cancel_topup can still take it back. \
An answer with isError changed nothing, but for 5000 and 5003, whose outcome is not known. data.message says why, and code \
what to do. \
2000: an argument is missing or of the wrong type; correct data.field. \
2002: the wallet holds too little; have a person fund it, or send less. \
2003: no such platform. 2004: no valid email address. 2005: outside the platform's limits, which data.message names. \
2006: this idempotency_key belongs to another request; take a new one only if a second top-up is really wanted. \
2007: it would go beyond what this key may spend, data.message says how much is left; do not split it up, tell the user. \
2008: this key may not send. \
4001: too many calls; wait a second, then repeat with the same idempotency_key. \
5000 or 5003: the top-up may have been sent; repeat with the same idempotency_key, or, if none was given, do not repeat and \
tell the user.",
};

pub const CHECK_BALANCE: Tool = Tool {
    name: "check_balance",
    title: "Check wallet balance and spending cap",
    arguments: &[],
    annotations: READ_ONLY,
    description: "\
Tells what the wallet holds and what this key may still spend. Use it before a large or repeated top-up, and after refusal \
2002 or 2007. Changes nothing.

All amounts are whole US cents. data.balance_cents is the wallet, data.environment staging (play money) or live. \
data.key.cap_remaining_cents is what this key may still spend in its cap_period (day or month in UTC, or total), \
null where it has no cap; the smaller of it and the balance is what can be spent. \
data.key.discount_bps is the wholesale discount in hundredths of a percent: a top-up costs amount_cents * (10000 - discount_bps) / 10000.

Answers: 1000. 2008: this key may not read. 4001: too many calls; wait a second. 5000 or 5003: not available now; wait and \
repeat.",
};

pub const GET_STATUS: Tool = Tool {
    name: "get_status",
    title: "Look up a top-up",
    arguments: &["transaction_id"],
    annotations: READ_ONLY,
    description: "\
Tells how a top-up stands now. Use it after send_topup answered 1002 (pending), or to find a voucher code again. \
Changes nothing.

transaction_id is the txn_… of send_topup's answer. \
Answers, by status: 1001 delivered. 1002 pending; ask again in some seconds. 1003 failed, and its cost is back in the wallet. \
3001 cancelled, and its cost is back in the wallet. \
Refusals have isError: 2000: no usable transaction_id. 3003: no such transaction in this key's environment; check the id. \
2008: this key may not read. 4001: too many calls; wait a second. 5000 or 5003: not available now; wait and repeat.",
};

pub const CANCEL_TOPUP: Tool = Tool {
    name: "cancel_topup",
    title: "Cancel a pending top-up",
    arguments: &["transaction_id"],
    annotations: Annotations {
        read_only_hint: false,
        destructive_hint: true,
        idempotent_hint: true,
        open_world_hint: false,
    },
    description: "\
Takes back a top-up that is still pending (1002). Use it when a pending top-up is not wanted any more. The cost returns to \
the wallet and to the key's cap. What is delivered stays delivered.

transaction_id is the txn_… of send_topup's answer. Repeating is safe: the answer is the same. \
Answers: 3001 cancelled; data.refunded_cents and data.new_balance_cents are whole US cents. \
Refusals have isError: 3002: already delivered; it cannot be taken back. 3004: already failed; its cost \
is back in the wallet. 3003: no such transaction; check the id. 2000: no usable transaction_id. 2008: this key may not cancel. \
4001: too many calls; wait a second. 5000 or 5003: the outcome is not known; repeat.",
};
