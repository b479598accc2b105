-- What each function of the billing portal is for.

comment on function topup.portal_session_create is
    'Makes a link into the billing portal for a customer: good once, for 10 minutes. return_url is where the portal leads back, failure_url where a link that is over does. Returns the envelope with redirect_url, which is shown only here.';
comment on function topup.portal_link is
    'For the gateway: whose link this is and whether it still lets in, with whose session the browser is in where that is another customer''s. Uses nothing up; null where the link is unknown.';
comment on function topup.portal_enter is
    'For the gateway: exchanges the token of a link, once, for a session (30 minutes without use, 12 hours at most). Tells session, or failure_url where the link is over; null where it is unknown.';
comment on function topup.portal_view is
    'For the gateway: all that the portal''s page shows to the customer of a session; null where the session is over.';
comment on function topup.portal_history is
    'For the gateway: what moved an account of the session''s customer, newest first, 25 a page, before the entry of a number; null where the session is over.';
comment on function topup.portal_csv is
    'For the gateway: the statement of an account of the session''s customer as CSV, as the envelope; null where the session is over.';
comment on function topup.portal_act is
    'For the gateway: what the session''s customer wants done, by name and a JSON request, as the envelope: top_up, set_auto_top_up, remove_auto_top_up, remove_card, redeem. Null where the session is over.';
comment on function topup.portal_leave is 'For the gateway: ends a session and tells return_url; null where it was over.';
