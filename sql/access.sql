-- Who may call and read what, and what each function is for. Nobody has any right on a table.

-- Not even what the default privileges of this cluster gave to others when the objects were made.
do $$
declare
    given record;
begin
    for given in
        select 'schema ' || n.oid::regnamespace as what, a.grantee
          from pg_catalog.pg_namespace n, aclexplode(n.nspacl) a
         where n.oid = 'topup'::regnamespace and a.grantee <> n.nspowner
        union
        select 'table ' || c.oid::regclass, a.grantee
          from pg_catalog.pg_class c, aclexplode(c.relacl) a
         where c.relnamespace = 'topup'::regnamespace and a.grantee <> c.relowner
        union
        select 'function ' || p.oid::regprocedure, a.grantee
          from pg_catalog.pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         where p.pronamespace = 'topup'::regnamespace and a.grantee <> p.proowner
    loop
        execute format('revoke all on %s from %s', given.what,
                       case given.grantee when 0 then 'public' else given.grantee::regrole::text end);
    end loop;
end
$$;
grant usage on schema topup to topup_admin, topup_app, topup_gateway, topup_reader;

-- Everyone with a role here may ask what there is.
grant execute on function topup.operations, topup.event_types, topup.codes, topup.version, topup.format_id, topup.parse_id, topup.rfc3339,
    topup.replayed
    to topup_admin, topup_app, topup_gateway, topup_reader;

-- Apps: the operations, for the key of their session. The catalog says what each is for.
do $$
declare
    operation record;
begin
    for operation in select name, comment from topup.operations() loop
        execute format('grant execute on function topup.%I to topup_app, topup_admin', operation.name);
        execute format('comment on function topup.%I is %L', operation.name, operation.comment);
    end loop;
end
$$;
grant execute on function topup.send_many, topup.authenticate, topup.call, topup.call_many to topup_app, topup_admin;

-- The gateway: the door, and the worker's functions. It reads nothing.
grant execute on function topup.authenticate, topup.call, topup.call_many, topup.claim_effects, topup.settle_effects, topup.run_due,
    topup.next_due, topup.worker_sleep, topup.worker_wake, topup.checkout_view, topup.checkout_begin, topup.report_payment,
    topup.claim_payments, topup.settle_payments, topup.next_payment_due, topup.portal_link, topup.portal_enter, topup.portal_view,
    topup.portal_history, topup.portal_csv, topup.portal_act, topup.portal_leave, topup.unpriced_last_hour
    to topup_gateway;

-- Administrators.
grant execute on function topup.create_tenant, topup.mint_key, topup.revoke_key, topup.bind_role, topup.fund,
    topup.set_tier, topup.review_tiers, topup.set_platform, topup.set_low_balance, topup.set_unpriced_usage, topup.check
    to topup_admin;

-- Readers, apps and administrators: the views, and with them the function that limits them.
grant select on topup.accounts, topup.transactions, topup.entries, topup.top_ups, topup.customers, topup.keys,
    topup.webhook_endpoints, topup.deliveries, topup.unpriced_usage
    to topup_reader, topup_app, topup_admin;
grant execute on function topup.visible, topup.due_changes, topup.statement_lines, topup.balance_at, topup.delivery_ids
    to topup_reader, topup_app, topup_admin;

-- What the functions that are written in Rust and are no operations are for.
comment on function topup.send_many is
    'Sends a JSON array of at most 1,000 requests (fields as send''s arguments, idempotency_key too) in one transaction; one envelope each, in order. A refusal touches no other request.';
comment on function topup.authenticate is
    'Judges an API key and the address that it comes from, for the gateway: HTTP status and body of 1000 with key_id and environment, or of 2001 or 4002. Changes nothing.';
comment on function topup.call is
    'The door for the gateway: authenticates the key, runs the operation by name on a JSON request, and gives HTTP status and finished body. Refusals are replies; only a fault raises.';
comment on function topup.call_many is
    'call for arrays of one length, at most 1,000, in one transaction, replies in order; replayed tells a repeated request.';
comment on function topup.operations is
    'The catalog: every operation with its HTTP route, scope, MCP tool, the JSON Schemas and examples of request and reply, and the HTTP statuses of its own refusals.';
comment on function topup.event_types is
    'What webhooks are told: every type of event with its meaning, the JSON Schema of its data, and a body as it is sent.';
comment on function topup.replayed is
    'Whether the last operation that this session called by SQL was made before, so that its reply is the first one and nothing was done; of send_many, whether any was. Null before the first call.';
comment on function topup.codes is 'Every response code with its meaning and HTTP status.';
comment on function topup.fund is
    'Puts money into a tenant''s wallet, in US cents, once for each transaction_id. Returns the envelope.';
comment on function topup.visible is 'The environments whose rows the views show to this session, its key (null: an administrator without one), and whether it sees the voucher codes of other keys.';
comment on function topup.claim_effects is
    'For the worker: fans out the outbox, and leases due webhooks, signed and ready to send: at most lane_max of an endpoint, of a tenant at most what tenant_rooms says at its place in tenants, else tenant_max (null: any number).';
comment on function topup.settle_effects is
    'For the worker: logs attempts (a JSON array of outcomes) and ends or reschedules their deliveries; returns how many still held their lease, and which (from 1 on) were skipped because somebody has locked what they change: they are to be told again.';
comment on function topup.run_due is 'For the worker: does what is due inside the database; call it until it returns 0.';
comment on function topup.next_due is 'For the worker: seconds until something is due, null where nothing is open.';
comment on function topup.worker_sleep is 'For the worker: from now on, and for that many seconds, transactions with events notify channel topup_effects.';
comment on function topup.worker_wake is 'For the worker: it polls again and need not be notified.';
comment on function topup.new_id is 'A new UUIDv7.';
comment on function topup.format_id is 'An id as clients write it: prefix, underscore, 26 characters.';
comment on function topup.parse_id is 'The UUID of an id with that prefix; null where it is none.';
comment on function topup.new_api_key is 'The text of a new API key.';
comment on function topup.hash_api_key is 'What is kept of an API key: its SHA-256.';
comment on function topup.founding_accounts is 'The accounts that an environment has from its beginning.';
comment on function topup.system_account_id is 'The system account of a kind and asset.';
comment on function topup.customer_account_id is 'The account that a customer has for a name and asset.';
comment on function topup.staging_credit_cents is 'Setting topup.staging_credit_cents.';
comment on function topup.delivery_ids is 'The deliveries of an event to so many endpoints.';
comment on function topup.send_body is 'What endpoints are told of a send.';
comment on function topup.invalidate_cached is 'Makes all sessions forget, when the transaction commits, what they keep of keys and platforms.';
comment on function topup.refuse_drop is 'Refuses to drop the extension while the ledger has entries.';
comment on function topup.begin_auto_top_up is 'Begins the auto top-up of an account whose balance is below its threshold; called as a transaction ends.';
comment on function topup.auto_top_up_not_begun is 'Has an auto top-up that could not begin tried again in an hour.';
comment on function topup.renew is 'Does for a subscription what is due.';
comment on function topup.due_changes is
    'What time alone has changed of an account by a time and is not booked yet, in order, with the balance after each: for the view of accounts and for statements. Nothing for an account that the session may not see.';
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
comment on function topup.is_currency is 'Whether a code is one of ISO 4217.';

-- Every trigger is made by now.
select topup.enable_guards();
