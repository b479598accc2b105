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

-- Apps: the operations, for the key of their session.
grant execute on function topup.send, topup.send_many, topup.validate, topup.cancel, topup.status, topup.balance,
    topup.history, topup.redeem, topup.deliver, topup.fail, topup.account_self, topup.webhook_register, topup.webhook_list,
    topup.webhook_update, topup.webhook_delete, topup.webhook_rotate, topup.webhook_test, topup.webhook_test_result, topup.delivery_list,
    topup.delivery_replay, topup.webhook_replay, topup.authenticate, topup.call, topup.call_many, topup.asset_create,
    topup.asset_list, topup.asset_get, topup.asset_add_rate, topup.asset_quote, topup.customer_create,
    topup.customer_list, topup.customer_get, topup.customer_update, topup.wallet, topup.wallet_account,
    topup.wallet_transaction, topup.adjust, topup.charge, topup.refund, topup.statement, topup.statement_csv,
    topup.grant_list, topup.hold, topup.settle, topup.release, topup.hold_status, topup.product_create,
    topup.product_list, topup.product_get, topup.product_delete, topup.product_version_create,
    topup.product_version_get, topup.product_version_update, topup.product_version_archive, topup.simulate_usage,
    topup.product_subscribers, topup.subscription_create, topup.subscription_update,
    topup.subscription_product_update, topup.record_usage, topup.usage_event_list, topup.usage_event_get,
    topup.funding_top_up, topup.funding_top_up_status, topup.funding_config_get, topup.funding_config_set, topup.funding_config_delete,
    topup.credit_balance, topup.payment_methods, topup.payment_method_replace, topup.payment_method_remove, topup.invoice_history, topup.invoice_preview, topup.usage_history, topup.spending_limit_get,
    topup.spending_limit_set, topup.spending_limit_delete,
    topup.top_up_create, topup.top_up_get, topup.set_auto_top_up, topup.remove_auto_top_up, topup.auto_top_up,
    topup.portal_session_create,
    topup.top_up_refund
    to topup_app, topup_admin;

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

comment on view topup.ledger_fault is 'What is wrong in the books; read by topup.check().';
comment on view topup.restore_fault is 'What a restore or a replica left out or switched off; read by topup.check().';
comment on view topup.guard is 'The triggers of the extension: when each fires, and when it has to.';
comment on view topup.top_up_fault is 'What is wrong with top-ups, keys'' use and the queue; read by topup.check().';

comment on function topup.send is
    'Sends a top-up: amount_cents is list price in US cents, the wallet pays the tier''s price. Returns the envelope (1001 delivered, 1002 pending, or a refusal, which writes nothing). The same idempotency_key is the same top-up, for good.';
comment on function topup.send_many is
    'Sends a JSON array of at most 1,000 requests (fields as send''s arguments, idempotency_key too) in one transaction; one envelope each, in order. A refusal touches no other request.';
comment on function topup.validate is
    'Answers what send would: 1000 with the price and the balance after it in US cents, or the very refusal. Writes nothing.';
comment on function topup.cancel is
    'Cancels a pending top-up (txn_…): 3001 with refunded_cents and new_balance_cents, 3002 if delivered, 3004 if failed, 3003 if unknown. Cancelling twice is 3001.';
comment on function topup.status is 'The envelope of a top-up (txn_…) as it stands now; 3003 if unknown.';
comment on function topup.balance is 'The wallet in US cents, and the key''s tier, cap, use and margin.';
comment on function topup.history is
    'Top-ups, newest first: page_size 1 to 50 (50), cursor from the page before, status, platform.';
comment on function topup.redeem is
    'Credits an unredeemed voucher to its bearer, named by customer_id or email. 3005 unknown, 3006 redeemed before.';
comment on function topup.deliver is
    'Ends a pending top-up as delivered, with the platform''s voucher_code or a new one. Needs scope fulfil.';
comment on function topup.fail is 'Ends a pending top-up as failed, and returns its cost. Needs scope fulfil.';
comment on function topup.account_self is 'The tenant, its name, and the environment (live or test) of the key.';
comment on function topup.webhook_register is
    'Registers a webhook URL: https, public. The reply alone shows the secret. events: types, all if null; retry_schedule_s: seconds after the first attempt, {0,5,30} if null. 5002 for a URL that may not be.';
comment on function topup.webhook_list is 'The webhooks of this environment, without secrets.';
comment on function topup.webhook_update is
    'Changes a webhook (whk_…); what is null stays. enabled false switches it off, true on again: what happened meanwhile is kept for a replay. 5004 if unknown.';
comment on function topup.webhook_delete is 'Deletes a webhook (whk_…); 5004 if unknown.';
comment on function topup.webhook_rotate is
    'Gives a webhook a new secret; the old one signs too for overlap_seconds (86,400).';
comment on function topup.webhook_test is
    'Queues a ping to a webhook: 1002 with its delivery_id, for webhook_test_result.';
comment on function topup.webhook_test_result is 'How a ping went: 1002 under way, 1000 delivered, 5001 with what the receiver said.';
comment on function topup.delivery_list is
    'The delivery log, newest first, each with its attempts: status pending, succeeded, failed or skipped (the webhook was off); event type; page_size 1 to 50; cursor.';
comment on function topup.delivery_replay is 'Attempts a delivery (dlv_…) again, with the same event id and body.';
comment on function topup.webhook_replay is
    'Attempts again what was to be delivered to a webhook from since until before until, at most 10,000; data.replayed says how many.';
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
comment on function topup.check is
    'The audit: one row for each invariant of the ledger, with what disagrees. Reads everything; run it on a standby when the ledger is large.';
comment on function topup.create_tenant is 'Makes a tenant with a staging and a live environment; returns its id (acct_…).';
comment on function topup.mint_key is
    'Makes an API key for staging or live and shows it this once. tier: standard, silver, gold, platinum; cap_cents for each day, month or total; scopes: if null, all but funding and fulfil; allowed_ips: from anywhere if null. The first staging key of a tenant finds play money (setting topup.staging_credit_cents).';
comment on function topup.revoke_key is 'Ends a key (key_…) for good: no call that begins afterwards is let in.';
comment on function topup.bind_role is
    'Lets a database role speak for a key when it calls the SQL functions, and makes it a member of topup_app; a null key_id unbinds it. The binding goes by the role''s name and outranks the key''s allowed addresses.';
comment on function topup.fund is
    'Puts money into a tenant''s wallet, in US cents, once for each transaction_id. Returns the envelope.';
comment on function topup.set_tier is 'Sets a key''s tier; with contract true, review_tiers() leaves it alone.';
comment on function topup.review_tiers is
    'Moves keys to the tier that their list-price volume of the last full month (UTC) earned; returns those it moved.';
comment on function topup.set_platform is
    'Makes or changes a platform: limits in US cents; delivery instant or deferred.';
comment on function topup.set_low_balance is 'Sets the balance, in US cents, below which a wallet sends balance.low.';
comment on function topup.set_unpriced_usage is
    'What becomes of usage that nothing prices, in an environment (staging or live) of a tenant (acct_…): accept keeps it for free, as without a call; refuse refuses its batch (2000) and names the nearest types that are priced.';
comment on function topup.visible is 'The environments whose rows the views show to this session, its key (null: an administrator without one), and whether it sees the voucher codes of other keys.';
comment on function topup.version is 'The installed version of the extension.';
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
comment on function topup.rfc3339 is 'A time as clients read it: RFC 3339, UTC, milliseconds.';
comment on function topup.new_api_key is 'The text of a new API key.';
comment on function topup.hash_api_key is 'What is kept of an API key: its SHA-256.';
comment on function topup.founding_accounts is 'The accounts that an environment has from its beginning.';
comment on function topup.system_account_id is 'The system account of a kind and asset.';
comment on function topup.customer_account_id is 'The account that a customer has for a name and asset.';
comment on function topup.staging_credit_cents is 'Setting topup.staging_credit_cents.';
comment on function topup.replace_row is 'Lets a platform or tier that a dump or a replica brings take the place of the one that CREATE EXTENSION made.';
comment on function topup.missing_references is 'Rows whose foreign key leads nowhere, of all foreign keys of the extension.';
comment on function topup.enable_guards is
    'Has every trigger of the extension fire when it has to, for a superuser to run after pg_restore --disable-triggers; changes nothing else.';
comment on function topup.refuse_change is 'Keeps the ledger append-only.';
comment on function topup.webhooks_of is 'The endpoints of an environment, as it keeps them.';
comment on function topup.delivery_ids is 'The deliveries of an event to so many endpoints.';
comment on function topup.body_of is 'What endpoints are told of an event of the outbox.';
comment on function topup.body_for is 'What one endpoint is told of an event: the body, without a voucher code that is not for it.';
comment on function topup.send_body is 'What endpoints are told of a send.';
comment on function topup.deliveries_of is 'The deliveries of an event of the outbox, as they will be.';
comment on function topup.keep_webhooks is 'Keeps with an environment which endpoints it has, and since when they are off.';
comment on function topup.forget_cached is 'Announces a change of what sessions keep.';
comment on function topup.invalidate_cached is 'Makes all sessions forget, when the transaction commits, what they keep of keys and platforms.';
comment on function topup.refuse_drop is 'Refuses to drop the extension while the ledger has entries.';

-- What is written in Rust plans its own statements (extension/src/planner.rs); these plan theirs alike: by indexes and row by
-- row, whatever Postgres found when it looked.
do $$
declare
    planned text;
    setting text;
begin
    foreach planned in array array['renew_due', 'version_before', 'balance_at_version', 'account_lines'] loop
        foreach setting in array array['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin'] loop
            execute format('alter function topup.%I set %I = off', planned, setting);
        end loop;
    end loop;
end
$$;
-- What all tenants share must not wait for one's open transaction. What is locked is skipped where it can be; this is for the rest.
alter function topup.claim_effects set lock_timeout = '250ms';
alter function topup.settle_effects set lock_timeout = '250ms';
alter function topup.run_due set lock_timeout = '250ms';
alter function topup.settle_payments set lock_timeout = '250ms';
alter function topup.report_payment set lock_timeout = '250ms';
-- Most rows may be one tenant's: its id alone must never look like a good key.
alter table topup.transaction alter column tenant_id set (n_distinct = 10);
alter table topup.entry alter column tenant_id set (n_distinct = 10);
alter table topup.top_up alter column tenant_id set (n_distinct = 10);
alter table topup.idempotency alter column tenant_id set (n_distinct = 10);
alter table topup.outbox alter column tenant_id set (n_distinct = 10);
alter table topup.event alter column tenant_id set (n_distinct = 10);
alter table topup.delivery alter column tenant_id set (n_distinct = 10);
alter table topup.attempt alter column tenant_id set (n_distinct = 10);
alter table topup.effect alter column tenant_id set (n_distinct = 10);
alter table topup.customer alter column tenant_id set (n_distinct = 10);
alter table topup.account alter column tenant_id set (n_distinct = 10);
alter table topup.balance alter column tenant_id set (n_distinct = 10);
alter table topup.credit_grant alter column tenant_id set (n_distinct = 10);
alter table topup.usage_event alter column tenant_id set (n_distinct = 10);
alter table topup.usage_fee alter column tenant_id set (n_distinct = 10);
-- One environment for nearly everybody: the views then go by their indexes.
alter function topup.visible rows 2;

-- Every trigger is made by now.
select topup.enable_guards();
