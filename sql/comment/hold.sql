-- What each function and view of grants and holds is for.

comment on view topup.grant_fault is 'What is wrong with credit grants; read by topup.check().';
comment on view topup.hold_fault is 'What is wrong with holds; read by topup.check().';

comment on function topup.hold is
    'Sets amount (major units of asset) of a customer''s account aside until expires_at (at most 31 days ahead), once for each transaction_id if one is given. Returns the envelope with the hold (hold_…): 2002 where the available balance does not cover it.';
comment on function topup.settle is
    'Ends a hold with what was really used, in major units of its asset, and gives back the rest to the grants it came from. More than was held: 2005, or with allow_over as far as the available balance covers it (2002). Twice with one amount is one settlement; another amount, or a hold that was released or expired: 2006.';
comment on function topup.release is
    'Ends a hold and gives all of it back. Twice, or after it expired, is fine; 2006 for a settled one.';
comment on function topup.hold_status is 'A hold as it stands now: open, settled, released or expired. hold_id is its hold_…, or your own transaction_id of it; so it is for settle and release.';
comment on function topup.grant_list is
    'The credit grants of a customer''s account ({name}:{asset}), newest first, with what can be spent of each now: page_size 1 to 100 (20), page_offset, and filters, each time range from its start to before its end.';
comment on function topup.due_changes is
    'What time alone has changed of an account by a time and is not booked yet, in order, with the balance after each: for the view of accounts and for statements. Nothing for an account that the session may not see.';
