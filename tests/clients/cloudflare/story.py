"""A tenant fills its wallet, told by the official Cloudflare client from PyPI. Prints what it saw, as one JSON object.

Arguments: the gateway's URL, and the tenant's account. The API key is in API_KEY.
"""

import json
import os
import sys
import time

import cloudflare
import requests

URL, ACCOUNT = sys.argv[1:]
# Long enough for a worker that sleeps.
LIMIT_S = 20


def client(key):
    return cloudflare.Cloudflare(api_token=key, base_url=f"{URL}/client/v4")


billing = client(os.environ["API_KEY"]).ai_gateway.billing
seen = {}


def pay(secret, number):
    """What a browser sends from the checkout's page."""
    card = {"action": "pay", "number": number, "exp": "12/34", "cvc": "123", "save_card": "1"}
    requests.post(f"{URL}/checkout/{secret}", data=card, allow_redirects=False, timeout=LIMIT_S).raise_for_status()


def completed(payment):
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        state = billing.topup.status(account_id=ACCOUNT, payment_intent_id=payment)
        if state.status == "completed":
            return True
        time.sleep(0.05)
    return False


def refusal(call):
    try:
        call()
    except cloudflare.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.errors[0].code]
    raise AssertionError("no refusal")


before = billing.credit_balance(account_id=ACCOUNT)
seen["before"] = [before.balance, before.has_default_payment_method, before.payment_method, before.first_topup_success]

first = billing.topup.create(account_id=ACCOUNT, amount=2000)
seen["first"] = [first.payment_intent_id[:3], bool(first.client_secret), first.onboarding]
seen["unpaid"] = billing.topup.status(account_id=ACCOUNT, payment_intent_id=first.payment_intent_id).status
pay(first.client_secret, "4242424242424242")
seen["first completed"] = completed(first.payment_intent_id)

second = billing.topup.create(account_id=ACCOUNT, amount=1500)
seen["second"] = [second.client_secret, second.onboarding, second.brand, second.last4]
seen["second completed"] = completed(second.payment_intent_id)

after = billing.credit_balance(account_id=ACCOUNT)
seen["after"] = [after.balance, after.has_default_payment_method, after.payment_method.last4, after.first_topup_success]

set_up = billing.topup.config.create(account_id=ACCOUNT, amount=3000, threshold=500)
seen["config"] = [set_up.amount, set_up.threshold]
config = billing.topup.config.get(account_id=ACCOUNT)
seen["config got"] = [config.amount, config.threshold, config.disabled_reason, config.error, config.last_failed_at]
for _ in range(2):
    billing.topup.config.delete(account_id=ACCOUNT)
config = billing.topup.config.get(account_id=ACCOUNT)
seen["config gone"] = [config.amount, config.threshold]

history = billing.invoice_history(account_id=ACCOUNT, type="all")
seen["invoices"] = [[invoice.amount_paid, invoice.status, invoice.invoice_origin] for invoice in history.invoices]
seen["pagination"] = [history.pagination.total_count, history.pagination.has_more]
seen["auto invoices"] = len(billing.invoice_history(account_id=ACCOUNT, type="auto").invoices)
usage = billing.usage_history(account_id=ACCOUNT, value_grouping_window="hour").history
seen["usage"] = [sum(window.aggregated_value for window in usage), len(usage) in (24, 25)]
preview = billing.invoice_preview(account_id=ACCOUNT)
seen["preview"] = [preview.amount_due, [[line.description, line.quantity] for line in preview.invoice_lines], preview.status]

billing.spending_limit.create(account_id=ACCOUNT, amount=5000, duration="monthly", strategy="fixed")
limit = billing.spending_limit.get(account_id=ACCOUNT)
seen["limit"] = [limit.enabled, limit.config.amount, limit.config.duration, limit.config.strategy]
for _ in range(2):
    billing.spending_limit.delete(account_id=ACCOUNT)
limit = billing.spending_limit.get(account_id=ACCOUNT)
seen["limit gone"] = [limit.enabled, limit.config.amount]

create = billing.topup.create
stranger = client("ak_staging_wrong").ai_gateway.billing
seen["refusals"] = {
    "too little": refusal(lambda: create(account_id=ACCOUNT, amount=999)),
    "no such card": refusal(lambda: create(account_id=ACCOUNT, amount=1000, payment_method_id="pm_other")),
    "another's account": refusal(lambda: create(account_id="acct_00000000000000000000000000", amount=1000)),
    "wrong key": refusal(lambda: stranger.topup.create(account_id=ACCOUNT, amount=1000)),
    "no such top-up": refusal(lambda: billing.topup.status(account_id=ACCOUNT, payment_intent_id="in_nothing")),
    "low threshold": refusal(lambda: billing.topup.config.create(account_id=ACCOUNT, amount=1000, threshold=499)),
    "low limit": refusal(
        lambda: billing.spending_limit.create(account_id=ACCOUNT, amount=99, duration="daily", strategy="sliding")
    ),
}
print(json.dumps(seen))
