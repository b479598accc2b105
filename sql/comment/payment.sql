-- What each function and view of payments is for.

comment on view topup.payment_fault is 'What is wrong with payments and saved cards; read by topup.check().';

comment on function topup.top_up_create is
    'Begins a top-up (top_…) that a customer pays for: amount in major units of currency, destination {account_name, asset, exchange_rate}. Returns the envelope with redirect_url, the checkout. Nothing is credited before the payment provider says paid.';
comment on function topup.top_up_get is 'A customer''s top-up (top_…) as it stands: initiated, pending, succeeded, failed or expired.';
comment on function topup.checkout_view is
    'For the gateway: the payment of a checkout''s token as its page shows it, with the payer''s saved card; null where the token is unknown. Changes nothing.';
comment on function topup.checkout_begin is
    'For the gateway: the payer begins to pay. initiated becomes pending; the provider''s id of its session is kept, the first one for good. As checkout_view, with begun: whether it can be paid now.';
comment on function topup.report_payment is
    'For the gateway: what a checkout page or a provider''s signed message tells of a payment (result succeeded, declined, canceled, expired or refunded). Credited once however often it is told; each event_id counts once. As checkout_view, with changed; null where no such payment is known.';
comment on function topup.claim_payments is
    'For the gateway: leases payments of which the provider is to be asked: a saved card charged, what became of it, or money sent back. The same charge has the same idempotency_key.';
comment on function topup.settle_payments is
    'For the gateway: what the provider answered (a JSON array of outcomes). succeeded credits once; unknown asks again later. Returns how many changed a payment.';
comment on function topup.next_payment_due is
    'For the gateway: seconds until claim_payments has something, null where nothing is open.';
