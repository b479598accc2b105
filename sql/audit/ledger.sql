-- The audit: recomputes from the journal everything that is kept beside it, and names what disagrees.

-- Each fault of the books: which invariant it breaks, and what breaks it.
create view topup.ledger_fault as
    select 'transactions balance' as invariant,
           format('transaction %s is off by %s %s', topup.format_id('txn', e.transaction_id), sum(e.amount), a.asset) as what
      from topup.entry e join topup.account a using (tenant_id, account_id)
     group by e.tenant_id, e.transaction_id, a.asset having sum(e.amount) <> 0
    union all
    select 'entries, transactions and accounts belong together',
           format('transaction %s', topup.format_id('txn', coalesce(e.transaction_id, t.transaction_id)))
      from topup.entry e
      full join topup.transaction t using (tenant_id, transaction_id)
      left join topup.account a using (tenant_id, account_id)
     where t.transaction_id is null or e.transaction_id is null or a.account_id is null or a.environment <> t.environment
        or (a.kind in ('wallet', 'customer')) is distinct from (e.account_version is not null)
    union all
    select 'accounts are the ones they are derived to be', format('account %s, kind %s', account_id, kind)
      from topup.account a
     where a.account_id is distinct from case a.kind
               when 'customer' then topup.customer_account_id(a.customer_id, a.name, a.asset)
               when 'wallet' then (select f.account_id from topup.founding_accounts(a.tenant_id, a.environment::text) f
                                    where f.kind = a.kind and f.asset = a.asset)
               else topup.system_account_id(a.tenant_id, a.environment::text, a.kind, a.asset) end
        or (a.kind = 'customer' and not exists (
               select from topup.customer c where c.tenant_id = a.tenant_id and c.environment = a.environment
                  and c.customer_id = a.customer_id))
    union all
    select 'every environment has its accounts', format('%s of %s lacks %s', n.environment, topup.format_id('acct', n.tenant_id), f.kind)
      from topup.tenant_environment n
     cross join lateral topup.founding_accounts(n.tenant_id, n.environment::text) f
      left join topup.account a on a.tenant_id = n.tenant_id and a.account_id = f.account_id and a.kind = f.kind
     where a.account_id is null or (f.kind = 'wallet' and n.wallet_id <> f.account_id)
    union all
    select 'balances are the sums of their entries',
           format('account %s: balance %s, entries %s', a.account_id, b.balance, s.amount)
      from topup.account a
      full join topup.balance b using (tenant_id, account_id)
      left join (select tenant_id, account_id, sum(amount) as amount, count(*) as entries
                   from topup.entry where account_version is not null group by tenant_id, account_id) s
             using (tenant_id, account_id)
     where (coalesce(a.kind, '') in ('wallet', 'customer')) is distinct from (b.account_id is not null)
        or b.balance <> coalesce(s.amount, 0) or b.version <> coalesce(s.entries, 0)
    union all
    select 'entries of an account follow one another', format('account %s, version %s', e.account_id, e.account_version)
      from (select *, lag(account_version, 1, 0::bigint) over w as version_before,
                   lag(balance_after, 1, 0::numeric) over w as balance_before
              from topup.entry where account_version is not null
            window w as (partition by tenant_id, account_id order by account_version)) e
     where e.account_version <> e.version_before + 1 or e.balance_after <> e.balance_before + e.amount
    union all
    select 'no balance is below its limit', format('account %s: %s', b.account_id, b.balance)
      from topup.balance b
     where b.balance < -b.credit_limit
       -- Usage alone may overdraw, and only by the last debit can an account have fallen so far.
       and 'usage' is distinct from (
               select t.kind from topup.entry e join topup.transaction t using (tenant_id, transaction_id)
                where e.tenant_id = b.tenant_id and e.account_id = b.account_id and e.amount < 0
                order by e.account_version desc limit 1)
    union all
    select 'entries and balances are such as there can be', format('transaction %s', topup.format_id('txn', e.transaction_id))
      from topup.entry e
     where e.amount = 0 or (e.account_version is null) <> (e.balance_after is null)
    union all
    select 'entries and balances are such as there can be', format('account %s: limit %s', b.account_id, b.credit_limit)
      from topup.balance b
     where b.credit_limit < 0
    union all
    select 'credit from outside is remembered', format('transaction %s', topup.format_id('txn', t.transaction_id))
      from topup.transaction t
      left join topup.idempotency i on i.tenant_id = t.tenant_id and i.environment = t.environment
                                   and i.namespace = case t.kind when 'charge' then 'adjust' else t.kind end
                                   and i.key = t.reference
     where t.kind not in ('send', 'deliver', 'redeem', 'cancel', 'fail', 'fund', 'adjust', 'charge', 'refund', 'hold',
                          'settle', 'release', 'activate', 'expire', 'usage', 'subscription', 'entitlement', 'top_up',
                          'top_up_refund', 'top_up_dispute')
        or (t.kind in ('fund', 'adjust', 'charge', 'refund', 'subscription', 'entitlement', 'top_up', 'top_up_refund', 'top_up_dispute')
            and t.reference is null)
        or (t.kind not in ('fund', 'adjust', 'charge', 'refund', 'hold', 'subscription', 'entitlement', 'top_up', 'top_up_refund', 'top_up_dispute')
            and t.reference is not null)
        or (t.reference is not null and i.key is null and t.kind not in ('subscription', 'entitlement', 'top_up', 'top_up_refund', 'top_up_dispute'))
        or (t.kind in ('send', 'deliver', 'redeem', 'cancel', 'fail')) is distinct from (t.top_up_id is not null);

-- The faults of top-ups, of what keys used, and of the queue.
create view topup.top_up_fault as
    with moved as (
        select t.tenant_id, t.environment, t.top_up_id, t.kind, a.kind as account_kind, a.account_id, e.amount
          from topup.transaction t
          join topup.entry e using (tenant_id, transaction_id)
          join topup.account a using (tenant_id, account_id)
         where t.top_up_id is not null),
    flow as (
        select tenant_id, environment, top_up_id,
               sum(amount) filter (where kind = 'send' and account_kind = 'wallet') as paid,
               sum(amount) filter (where kind in ('cancel', 'fail') and account_kind = 'wallet') as refunded,
               sum(amount) filter (where kind = 'send' and account_kind in ('pending', 'voucher', 'customer')) as listed,
               coalesce(sum(amount) filter (where account_kind = 'discount'), 0) as discount,
               coalesce(sum(amount) filter (where account_kind = 'pending'), 0) as pending,
               coalesce(sum(amount) filter (where account_kind = 'voucher'), 0) as voucher,
               sum(amount) filter (where account_kind = 'customer') as received,
               (array_agg(account_id) filter (where account_kind = 'customer'))[1] as receiver,
               count(*) filter (where account_kind = 'customer') as receivers
          from moved group by tenant_id, environment, top_up_id),
    expected as (
        select t.*, t.amount_cents / 100.0 as list, t.cost_cents / 100.0 as cost,
               t.status in ('cancelled', 'failed') as returned, t.status = 'delivered' as delivered
          from topup.top_up t)
    select 'top-ups have the postings of their state' as invariant,
           format('top-up %s is %s', topup.format_id('txn', coalesce(t.transaction_id, f.top_up_id)), t.status) as what
      from expected t
      full join flow f on f.tenant_id = t.tenant_id and f.environment = t.environment and f.top_up_id = t.transaction_id
     where t.transaction_id is null or f.top_up_id is null
        or f.paid is distinct from -t.cost or f.listed is distinct from t.list
        or f.refunded is distinct from case when t.returned then t.cost end
        or f.discount <> case when t.returned then 0 else t.cost - t.list end
        or f.pending <> case when t.status = 'pending' then t.list else 0 end
        or f.voucher <> case when t.delivered and t.account_id is null then t.list else 0 end
        or f.received is distinct from case when t.account_id is not null then t.list end
        or f.receiver is distinct from t.account_id or f.receivers > 1
        or (t.account_id is not null and not t.delivered)
        or (t.voucher_code is not null) <> t.delivered
    union all
    select 'top-ups and deliveries are such as there can be', format('top-up %s', topup.format_id('txn', t.transaction_id))
      from topup.top_up t
     where t.status not in ('pending', 'delivered', 'failed', 'cancelled')
        or t.amount_cents <= 0 or t.cost_cents not between 0 and t.amount_cents
    union all
    select 'top-ups and deliveries are such as there can be', format('delivery %s', topup.format_id('dlv', d.delivery_id))
      from topup.delivery d
      left join topup.effect f on f.tenant_id = d.tenant_id and f.effect_id = d.delivery_id
     where d.status not in ('pending', 'succeeded', 'failed', 'skipped') or f.kind not in ('webhook', 'ping')
    union all
    select 'top-ups cost what their discount says', format('top-up %s', topup.format_id('txn', t.transaction_id))
      from topup.top_up t
     cross join lateral (select t.amount_cents * (10000 - t.discount_bps) as exact) p
     where t.cost_cents <> div(p.exact, 10000) + case when p.exact % 10000 > 5000 then 1
               when p.exact % 10000 = 5000 and div(p.exact, 10000) % 2 = 1 then 1 else 0 end
    union all
    select 'top-ups belong to a key of their environment', format('top-up %s', topup.format_id('txn', t.transaction_id))
      from topup.top_up t
      left join topup.key k on k.key_id = t.key_id and k.tenant_id = t.tenant_id and k.environment = t.environment
     where k.key_id is null
    union all
    select 'key usage is the sum of standing top-ups', format('key %s on %s', topup.format_id('key', key_id), to_char(day::timestamp, 'YYYY-MM-DD'))
      from topup.key_usage u
      full join (select tenant_id, key_id, (created_at at time zone 'UTC')::date as day,
                        sum(cost_cents) as cost, sum(amount_cents) as list
                   from topup.top_up where status in ('pending', 'delivered')
                  group by tenant_id, key_id, (created_at at time zone 'UTC')::date) t
           using (tenant_id, key_id, day)
     where coalesce(u.cost_cents, 0) <> coalesce(t.cost, 0) or coalesce(u.list_cents, 0) <> coalesce(t.list, 0)
    union all
    select 'deliveries are pending exactly while they are queued',
           format('delivery %s is %s', topup.format_id('dlv', coalesce(d.delivery_id, f.effect_id)), d.status)
      from topup.delivery d
      full join topup.effect f on f.tenant_id = d.tenant_id and f.effect_id = d.delivery_id
     where (d.status = 'pending') is distinct from (f.effect_id is not null)
        or f.lane <> d.endpoint_id or f.environment <> d.environment
    union all
    select 'deliveries have their event, endpoint and attempts', format('delivery %s', topup.format_id('dlv', d.delivery_id))
      from topup.delivery d
      left join topup.event e using (tenant_id, environment, event_id)
      left join topup.webhook_endpoint w using (tenant_id, environment, endpoint_id)
     where e.event_id is null or w.endpoint_id is null
        or d.attempts <> (select count(*) from topup.attempt a
                           where a.tenant_id = d.tenant_id and a.delivery_id = d.delivery_id)
    union all
    select 'events in the outbox have their body and endpoints', format('event %s', topup.format_id('evt', o.event_id))
      from topup.outbox o
     where cardinality(o.endpoint_ids) = 0 or num_nulls(o.body, o.new_balance_cents) <> 1
        or o.body is null and (o.type not in ('topup.delivered', 'topup.pending') or not exists (
               select from topup.top_up t
                where t.tenant_id = o.tenant_id and t.environment = o.environment and t.transaction_id = o.transaction_id))
        or exists (select from topup.event e
                    where e.tenant_id = o.tenant_id and e.environment = o.environment and e.event_id = o.event_id)
        or exists (select from topup.delivery d
                    where d.tenant_id = o.tenant_id and d.environment = o.environment
                      and d.delivery_id = any (topup.delivery_ids(o.event_id, cardinality(o.endpoint_ids))))
        or exists (select from unnest(o.endpoint_ids) told (endpoint_id)
                    where not exists (select from topup.webhook_endpoint w
                                       where w.tenant_id = o.tenant_id and w.environment = o.environment
                                         and w.endpoint_id = told.endpoint_id))
    union all
    select 'environments know their webhooks', format('%s of %s', n.environment, topup.format_id('acct', n.tenant_id))
      from topup.tenant_environment n
     where n.webhooks is distinct from topup.webhooks_of(n.tenant_id, n.environment)
    union all
    select 'live endpoints have a secret', format('webhook %s', topup.format_id('whk', w.endpoint_id))
      from topup.webhook_endpoint w
     where w.deleted_at is null and not exists (
               select from topup.webhook_secret s
                where s.tenant_id = w.tenant_id and s.endpoint_id = w.endpoint_id and s.expires_at is null);

comment on view topup.ledger_fault is 'What is wrong in the books; read by topup.check().';
comment on view topup.top_up_fault is 'What is wrong with top-ups, keys'' use and the queue; read by topup.check().';
