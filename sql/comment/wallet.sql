-- What each function of assets, customers, wallets and statements is for.

comment on function topup.asset_create is
    'Makes an asset of one''s own: code (2 to 30 of A-Z, 0-9 and _), decimals 0 to 18 (2), rates [{source, rate or inverse_rate}]. Returns the envelope; 2006 where the code is taken.';
comment on function topup.asset_list is 'The tenant''s own assets by code: page_size 1 to 100 (20), page_offset.';
comment on function topup.asset_get is 'An asset or currency with its rates by source.';
comment on function topup.asset_add_rate is
    'Sets what one unit of an asset costs in the source, from valid_from (now) until valid_to. Of rates that overlap, the one that begins last counts.';
comment on function topup.asset_quote is
    'What an amount of the source buys of an asset at the rate of exchange_at (now), rounded half-even to its precision. Writes nothing.';
comment on function topup.customer_create is
    'Makes a customer (cust_…). external_id and email are one customer''s only: 2006 with the field. metadata: an object of texts, at most 4 KiB.';
comment on function topup.customer_list is
    'Customers, newest first, by customer_id, external_id, email, part of the name, status (active or inactive): page_size 1 to 100 (20), page_offset.';
comment on function topup.customer_get is 'A customer (cust_…) with subscriptions and metadata.';
comment on function topup.customer_update is 'Changes name, external_id or email of a customer; what is null stays.';
comment on function topup.wallet is 'The accounts of a customer (cust_…), each with what it has to give, in major units.';
comment on function topup.wallet_account is
    'One account ({name}:{asset}) of a customer: available, pending_in (not yet effective), pending_out (held), in major units.';
comment on function topup.wallet_transaction is 'An adjustment, charge or refund of a customer by the caller''s own id of it.';
comment on function topup.adjust is
    'Adds to (or, if negative, takes from) a customer''s account, or without customer_id the own wallet, once for each transaction_id. amount is in major units; reason: gift, external_topup, external_refund, other. Added credit may take effect later (effective_at) and expire (expires_at; a year after it takes effect for external_topup and external_refund). 2002 where the balance does not cover it.';
comment on function topup.charge is
    'Takes an amount in major units from a customer''s account, once for each transaction_id. 2002 where the balance does not cover it. input_units to package_size are kept as told.';
comment on function topup.refund is
    'Gives back a charge (charge_id: its transaction_id), whole or an amount in major units, once for each transaction_id (the charge''s if null). 2006 where nothing is left of it.';
comment on function topup.statement is
    'Opening balance, every entry with its cause, and closing balance of an account ({name}:{asset}) from period_from (its beginning) until before period_to (now); at most 10,000 entries.';
comment on function topup.statement_csv is 'The same as CSV, in the data of the envelope.';
comment on function topup.statement_lines is
    'The same as rows, without limit: line 0 opens, the last one closes. Amounts in major units. No rows where the session sees no such account. What has expired and is not booked yet has no transaction_id.';
comment on function topup.balance_at is
    'The balance of an account ({name}:{asset}) in major units as it was at a time; null where the session sees no such account.';
comment on function topup.is_currency is 'Whether a code is one of ISO 4217.';
comment on function topup.change_customer is 'Changes a customer, and clears the fields of cleared; gives the name of the unique index where a value is taken.';
comment on function topup.version_before is 'The number of the account''s last entry from before a time; 0 if there is none.';
comment on function topup.after_last_entry is 'Just after now, or after the account''s last entry where that is ahead of the clock.';
comment on function topup.balance_at_version is 'The balance after the account''s entry of that number, in major units.';
comment on function topup.balance_before is
    'The balance of an account before a time, in major units; version is the number of its last entry from before then.';
comment on function topup.account_lines is 'The lines of a statement: opening balance, entries (at most entries_max), closing balance.';
comment on function topup.visible_account is 'The account of that customer and id, where topup.visible() shows it.';
