-- What each function of funding is for. They are about the tenant and environment of the session's key.

comment on function topup.funding_top_up is
    'Fills the wallet with amount_cents (1,000 to 99,999,999 US cents): charges the saved card, or opens a checkout (checkout_url) where there is none or only its holder can use it again. Returns the envelope with payment_intent_id (in_…). Credited when the provider says paid.';
comment on function topup.funding_top_up_status is 'Whether a top-up of the wallet (in_…) is pending or completed; 2000 with the reason if it failed.';
comment on function topup.funding_config_get is 'The wallet''s auto top-up in US cents, all null where none is set.';
comment on function topup.funding_config_set is
    'Has the saved card charged amount_cents (at least 1,000) when the wallet is below threshold_cents (at least 500). Arms it anew.';
comment on function topup.funding_config_delete is 'Ends the wallet''s auto top-up; twice is fine.';
comment on function topup.credit_balance is 'The wallet in US cents, with the saved card and the auto top-up.';
comment on function topup.payment_methods is 'The saved card that top-ups of the wallet and its auto top-up charge, by the provider''s id; none or one.';
comment on function topup.payment_method_replace is
    'Opens a checkout for amount_cents (checkout_url); the card that is saved there takes the place of the saved one. Returns the envelope as funding_top_up.';
comment on function topup.payment_method_remove is 'Forgets the saved card of that id (payment_method_id of the list); twice is fine. A charge under way goes on.';
comment on function topup.invoice_history is 'Top-ups of the wallet as invoices, newest first: invoice_type auto, manual or all; per_page 1 to 100 (20). US cents.';
comment on function topup.invoice_preview is 'What the sends of this month (UTC) have cost, a line for each platform, in US cents.';
comment on function topup.usage_history is
    'What sends have cost in each window (day or hour, UTC) from start_time until end_time (now), in US cents; at most 1,000 windows.';
comment on function topup.spending_limit_get is 'What all keys of the environment together may spend on sends in a time; null where there is no limit.';
comment on function topup.spending_limit_set is
    'Limits what all keys of the environment together spend on sends to amount_cents (at least 100): duration daily, weekly or monthly; strategy fixed (by the UTC calendar) or sliding. Beyond it a send is 2007.';
comment on function topup.spending_limit_delete is 'Ends the spending limit; twice is fine.';
