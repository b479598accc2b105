-- What each function and view of auto top-ups is for.

comment on view topup.auto_top_up_fault is 'What is wrong with auto top-ups; read by topup.check().';

comment on function topup.set_auto_top_up is
    'Fills an account by itself: when its balance is below threshold (major units of asset) as a transaction commits, the payer''s saved card is charged amount (major units of currency). customer_id null: your own wallet. At most max_purchases in any window_s seconds. Setting it again arms it again. Returns the envelope.';
comment on function topup.remove_auto_top_up is 'Ends the auto top-up of an account; twice is fine. A charge under way goes on.';
comment on function topup.auto_top_up is
    'The auto top-up of an account as it stands, all null where none is set: disabled_reason, error and last_failed_at tell of declines.';
comment on function topup.begin_auto_top_up is 'Begins the auto top-up of an account whose balance is below its threshold; called as a transaction ends.';
comment on function topup.auto_top_up_not_begun is 'Has an auto top-up that could not begin tried again in an hour.';
comment on function topup.auto_top_up_when_low is 'Has an account that fell below its threshold looked at when the transaction ends.';
