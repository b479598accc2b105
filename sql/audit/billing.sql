-- The audit of billing: usage, its fees and meters, and subscriptions.

create view topup.billing_fault as
    select 'usage is booked as it was priced' as invariant,
           format('transaction %s, account %s: fees %s, entries %s', topup.format_id('txn', transaction_id), account_id,
                  f.amount, e.amount) as what
      from (select tenant_id, transaction_id, account_id, -sum(amount) as amount from topup.usage_fee
             group by tenant_id, transaction_id, account_id having sum(amount) <> 0) f
      full join (select e.tenant_id, e.transaction_id, e.account_id, e.amount
                   from topup.transaction t join topup.entry e using (tenant_id, transaction_id)
                  where t.kind = 'usage' and e.account_version is not null) e
           using (tenant_id, transaction_id, account_id)
     where f.amount is distinct from e.amount
    union all
    select 'events are priced exactly when they have fees', format('event %s', e.event_id)
      from topup.usage_event e
     where e.priced is distinct from exists (
               select from topup.usage_fee f
                where f.tenant_id = e.tenant_id and f.environment = e.environment and f.event_id = e.event_id)
    union all
    select 'fees belong to their event, payer and version', format('event %s, fee %s', f.event_id, topup.format_id('fee', f.fee_id))
      from topup.usage_fee f
      left join topup.usage_event e using (tenant_id, environment, event_id)
      left join topup.account a on a.tenant_id = f.tenant_id and a.account_id = f.account_id
                               and a.environment = f.environment and a.asset = f.asset and a.customer_id = e.customer_id
      left join topup.product_version v on v.tenant_id = f.tenant_id and v.environment = f.environment
                                       and v.product_id = f.product_id and v.version = f.product_version
     where e.event_id is null or a.account_id is null or v.version is null
    union all
    select 'meters are the sums of what was metered', format('price %s of %s, since %s: %s, fees %s', price_id,
                  topup.format_id('cust', customer_id), to_char(period_start::timestamp, 'YYYY-MM-DD'), m.quantity, f.quantity)
      from (select tenant_id, environment, customer_id, price_id, period_start, quantity,
                   coalesce(nullif(dimensions, '')::jsonb, 'null') as dimensions from topup.usage_meter) m
      full join (select f.tenant_id, f.environment, e.customer_id, f.price_id, f.period_start, sum(f.quantity) as quantity,
                        coalesce(f.dimensions, 'null') as dimensions
                   from topup.usage_fee f join topup.usage_event e using (tenant_id, environment, event_id)
                  where f.quantity is not null
                  group by f.tenant_id, f.environment, e.customer_id, f.price_id, f.period_start, f.dimensions) f
           using (tenant_id, environment, customer_id, price_id, period_start, dimensions)
     where m.quantity is distinct from f.quantity
    union all
    select 'subscriptions have one version of a product at a time',
           format('subscription %s from %s', topup.format_id('sub', p.subscription_id), topup.rfc3339(p.valid_from))
      from (select *, lag(coalesce(valid_to, 'infinity')) over w as end_before,
                   lead(valid_from) over w as next_from
              from topup.subscription_product
            window w as (partition by tenant_id, environment, subscription_id, product_id order by valid_from)) p
      join topup.subscription s using (tenant_id, environment, subscription_id)
     where p.valid_from < p.end_before
        or (p.next_from is null and (p.valid_to is null) is distinct from (s.status <> 'inactive'))
    union all
    select 'subscriptions are due when their items are', format('subscription %s', topup.format_id('sub', s.subscription_id))
      from topup.subscription s
     cross join lateral (
           select min(i.next_at) as next_at from topup.subscription_item i
            where i.tenant_id = s.tenant_id and i.environment = s.environment and i.subscription_id = s.subscription_id
              and i.is_part) i
     where case s.status when 'inactive' then s.due_at is not null
                         -- Later where something was in the way.
                         when 'active' then (s.due_at is null) <> (i.next_at is null) or s.due_at < i.next_at
                         else s.due_at is null end
    union all
    select 'subscriptions account for their transactions',
           format('%s: %s moves, %s transactions', coalesce(topup.format_id('sub', s.subscription_id), t.subscription), s.moves, t.count)
      from topup.subscription s
      full join (select tenant_id, environment, split_part(reference, '/', 1) as subscription, count(*)
                   from topup.transaction where kind in ('subscription', 'entitlement')
                  group by tenant_id, environment, split_part(reference, '/', 1)) t
        on t.tenant_id = s.tenant_id and t.environment = s.environment
       and t.subscription = topup.format_id('sub', s.subscription_id)
     where coalesce(s.moves, -1) <> coalesce(t.count, 0);

comment on view topup.billing_fault is 'What is wrong with usage, fees, meters and subscriptions; read by topup.check().';
