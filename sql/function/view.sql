-- What roles may read: the rows of their own tenant and environment, ids as clients write them, no secrets.
-- topup.visible() decides; an administrator without a key sees every environment.

create view topup.accounts with (security_barrier) as
    select topup.format_id('acct', a.tenant_id) as tenant_id, a.environment, a.account_id, a.kind,
           topup.format_id('cust', a.customer_id) as customer_id, a.name, a.asset,
           coalesce(case when b.next_due_at <= clock_timestamp() then
                        (select d.balance from topup.due_changes(a.tenant_id, a.account_id, clock_timestamp())
                           with ordinality d order by d.ordinality desc limit 1) end, b.balance) as balance,
           b.version, a.created_at
      from topup.visible() v
      join topup.account a on a.tenant_id = v.tenant_id and a.environment = v.environment::topup.environment
      left join topup.balance b on b.tenant_id = a.tenant_id and b.account_id = a.account_id;
comment on view topup.accounts is 'Accounts; balance is null for system accounts, whose totals are sums of entries.';

create view topup.transactions with (security_barrier) as
    select topup.format_id('acct', t.tenant_id) as tenant_id, t.environment,
           topup.format_id('txn', t.transaction_id) as transaction_id, t.kind,
           topup.format_id('txn', t.top_up_id) as top_up_id, t.reference, t.detail, t.created_at
      from topup.visible() v
      join topup.transaction t on t.tenant_id = v.tenant_id and t.environment = v.environment::topup.environment;
comment on view topup.transactions is 'The journal''s transactions: what was posted and why.';

create view topup.entries with (security_barrier) as
    select topup.format_id('acct', e.tenant_id) as tenant_id, t.environment,
           topup.format_id('txn', e.transaction_id) as transaction_id, t.kind, e.account_id, e.amount,
           e.account_version, e.balance_after, t.created_at
      from topup.visible() v
      join topup.transaction t on t.tenant_id = v.tenant_id and t.environment = v.environment::topup.environment
      join topup.entry e on e.tenant_id = t.tenant_id and e.transaction_id = t.transaction_id;
comment on view topup.entries is 'The journal''s entries: amounts in major units of the account''s asset.';

create view topup.top_ups with (security_barrier) as
    select topup.format_id('acct', t.tenant_id) as tenant_id, t.environment,
           topup.format_id('txn', t.transaction_id) as transaction_id, topup.format_id('key', t.key_id) as key_id,
           t.status, t.platform, t.amount_cents, t.cost_cents, t.amount_cents - t.cost_cents as margin_cents,
           t.discount_bps, t.recipient_email, t.metadata,
           case when t.account_id is not null and (v.sees_vouchers or t.key_id = v.key_id) then t.voucher_code end
               as voucher_code,
           t.account_id, t.failure_reason, t.created_at, t.ended_at
      from topup.visible() v
      join topup.top_up t on t.tenant_id = v.tenant_id and t.environment = v.environment::topup.environment;
comment on view topup.top_ups is 'Top-ups with their state and price. A delivered one without an account waits in its voucher, whose code only the operations show; the code of a redeemed one is for the key that sent it and for keys with the scope vouchers.';

create view topup.customers with (security_barrier) as
    select topup.format_id('acct', c.tenant_id) as tenant_id, c.environment,
           topup.format_id('cust', c.customer_id) as customer_id, c.name, c.external_id, c.email, c.metadata,
           c.created_at
      from topup.visible() v
      join topup.customer c on c.tenant_id = v.tenant_id and c.environment = v.environment::topup.environment;
comment on view topup.customers is 'Those who hold or received credit.';

create view topup.unpriced_usage with (security_barrier) as
    select topup.format_id('acct', e.tenant_id) as tenant_id, e.environment, e.event_id,
           topup.format_id('cust', e.customer_id) as customer_id, e.event_type, e.occurred_at, e.subject, e.created_at
      from topup.visible() v
      join topup.usage_event e on e.tenant_id = v.tenant_id and e.environment = v.environment::topup.environment
     where not e.priced;
comment on view topup.unpriced_usage is
    'Usage that nothing prices, and that is free: of a type that is spelt otherwise, or outside of its customer''s subscriptions.';

create view topup.keys with (security_barrier) as
    select topup.format_id('acct', k.tenant_id) as tenant_id, k.environment, topup.format_id('key', k.key_id) as key_id,
           k.name, k.tier, k.contract, k.cap_cents, k.cap_period, k.scopes, k.allowed_ips, k.created_at, k.revoked_at
      from topup.visible() v
      join topup.key k on k.tenant_id = v.tenant_id and k.environment = v.environment::topup.environment;
comment on view topup.keys is 'Keys and what they may do. The key itself is nowhere in the database.';

create view topup.webhook_endpoints with (security_barrier) as
    select topup.format_id('acct', w.tenant_id) as tenant_id, w.environment,
           topup.format_id('whk', w.endpoint_id) as webhook_id, w.url, w.events, w.description, w.retry_schedule_s,
           w.created_at, w.disabled_at, w.disabled_reason, w.deleted_at
      from topup.visible() v
      join topup.webhook_endpoint w on w.tenant_id = v.tenant_id and w.environment = v.environment::topup.environment;
comment on view topup.webhook_endpoints is 'Webhook endpoints, without their secrets.';

create view topup.deliveries with (security_barrier) as
    -- The type is looked up row by row: a join may read all events for a page of deliveries.
    select topup.format_id('acct', d.tenant_id) as tenant_id, d.environment,
           topup.format_id('dlv', d.delivery_id) as delivery_id, topup.format_id('evt', d.event_id) as event_id,
           topup.format_id('whk', d.endpoint_id) as webhook_id,
           (select e.type from topup.event e where e.tenant_id = d.tenant_id and e.environment = d.environment
               and e.event_id = d.event_id) as type,
           d.status, d.attempts, d.created_at
      from topup.visible() v
      join topup.delivery d on d.tenant_id = v.tenant_id and d.environment = v.environment::topup.environment
    union all
    select topup.format_id('acct', o.tenant_id), o.environment, topup.format_id('dlv', d.delivery_id),
           topup.format_id('evt', o.event_id), topup.format_id('whk', d.endpoint_id), o.type,
           case when exists (select from topup.webhook_endpoint w
                              where w.tenant_id = o.tenant_id and w.environment = o.environment
                                and w.endpoint_id = d.endpoint_id
                                and (w.disabled_at is not null or w.enabled_at > o.created_at))
                then 'skipped' else 'pending' end, 0, o.created_at
      from topup.visible() v
      join topup.outbox o on o.tenant_id = v.tenant_id and o.environment = v.environment::topup.environment
     cross join lateral unnest(topup.delivery_ids(o.event_id, cardinality(o.endpoint_ids)), o.endpoint_ids)
           as d (delivery_id, endpoint_id);
comment on view topup.deliveries is 'Events on their way to endpoints.';
