-- The audit: recomputes from the journal everything that is kept beside it, and names what disagrees.

create function topup.check(out invariant text, out holds boolean, out detail text) returns setof record
    language sql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
    with fault (invariant, what) as (
        select 'transactions balance',
               format('transaction %s is off by %s %s', topup.format_id('txn', e.transaction_id), sum(e.amount), a.asset)
          from topup.entry e join topup.account a using (tenant_id, account_id)
         group by e.tenant_id, e.transaction_id, a.asset having sum(e.amount) <> 0
        union all
        select 'entries have a transaction and an account',
               format('an entry of transaction %s', topup.format_id('txn', e.transaction_id))
          from topup.entry e
          left join topup.transaction t using (tenant_id, transaction_id)
          left join topup.account a using (tenant_id, account_id)
         where t.transaction_id is null or a.account_id is null or a.environment <> t.environment
        union all
        select 'balances are the sums of their entries',
               format('account %s: balance %s, entries %s', b.account_id, b.balance, coalesce(s.amount, 0))
          from topup.balance b
          left join (select tenant_id, account_id, sum(amount) as amount, count(*) as entries
                       from topup.entry where account_version is not null group by tenant_id, account_id) s
                 using (tenant_id, account_id)
         where b.balance <> coalesce(s.amount, 0) or b.version <> coalesce(s.entries, 0)
        union all
        select 'entries of an account follow one another',
               format('account %s, version %s', e.account_id, e.account_version)
          from (select *, lag(account_version, 1, 0::bigint) over w as version_before,
                       lag(balance_after, 1, 0::numeric) over w as balance_before
                  from topup.entry where account_version is not null
                window w as (partition by tenant_id, account_id order by account_version)) e
         where e.account_version <> e.version_before + 1 or e.balance_after <> e.balance_before + e.amount
        union all
        select 'accounts with a balance carry it in every entry', format('account %s', e.account_id)
          from topup.entry e join topup.balance b using (tenant_id, account_id) where e.account_version is null
        union all
        select 'no balance is below its limit', format('account %s: %s', account_id, balance)
          from topup.balance where balance < -credit_limit
        union all
        select 'amounts are not finer than their asset', format('account %s: %s', e.account_id, e.amount)
          from topup.entry e join topup.account a using (tenant_id, account_id)
         where a.asset = 'USD' and scale(trim_scale(e.amount)) > 9
        union all
        select 'top-ups cost what their entries say',
               format('top-up %s', topup.format_id('txn', t.transaction_id))
          from topup.top_up t
          join topup.tenant_environment n using (tenant_id, environment)
          left join topup.entry e on e.tenant_id = t.tenant_id and e.transaction_id = t.transaction_id
                                 and e.account_id = n.wallet_id
         where e.amount is distinct from -t.cost_cents / 100.0
        union all
        select 'open top-ups and vouchers are covered',
               format('%s %s of %s: %s held, %s open', s.environment, s.kind, topup.format_id('acct', s.tenant_id), s.held, s.open)
          from (select a.tenant_id, a.environment, a.kind,
                       coalesce((select sum(e.amount) from topup.entry e
                                  where e.tenant_id = a.tenant_id and e.account_id = a.account_id), 0) as held,
                       coalesce((select sum(t.amount_cents) / 100.0 from topup.top_up t
                                  where t.tenant_id = a.tenant_id and t.environment = a.environment
                                    and case a.kind when 'pending' then t.status = 'pending'
                                        else t.status = 'delivered' and t.account_id is null end), 0) as open
                  from topup.account a where a.kind in ('pending', 'voucher')) s
         where s.held <> s.open
        union all
        select 'top-ups have the postings of their state',
               format('top-up %s is %s', topup.format_id('txn', t.transaction_id), t.status)
          from topup.top_up t
          left join (select tenant_id, top_up_id,
                            count(*) filter (where kind = 'send') as sends,
                            count(*) filter (where kind = 'deliver') as deliveries,
                            count(*) filter (where kind in ('cancel', 'fail')) as refunds,
                            count(*) filter (where kind = 'redeem') as redemptions
                       from topup.transaction where top_up_id is not null group by tenant_id, top_up_id) k
                 on k.tenant_id = t.tenant_id and k.top_up_id = t.transaction_id
         where coalesce(k.sends, 0) <> 1 or k.deliveries > 1 or k.redemptions > 1
            or k.refunds <> (t.status in ('cancelled', 'failed'))::int
            or (t.voucher_code is null) <> (t.status <> 'delivered')
        union all
        select 'key usage is the sum of standing top-ups', format('key %s', topup.format_id('key', key_id))
          from (select tenant_id, key_id, sum(cost_cents) as cost, sum(list_cents) as list
                  from topup.key_usage group by tenant_id, key_id) u
          full join (select tenant_id, key_id, sum(cost_cents) as cost, sum(amount_cents) as list
                       from topup.top_up where status in ('pending', 'delivered') group by tenant_id, key_id) t
               using (tenant_id, key_id)
         where coalesce(u.cost, 0) <> coalesce(t.cost, 0) or coalesce(u.list, 0) <> coalesce(t.list, 0)
        union all
        select 'deliveries are pending exactly while they are queued',
               format('delivery %s is %s', topup.format_id('dlv', coalesce(d.delivery_id, f.effect_id)), d.status)
          from topup.delivery d
          full join topup.effect f on f.tenant_id = d.tenant_id and f.effect_id = d.delivery_id
         where (d.status = 'pending') is distinct from (f.effect_id is not null)),
    invariant (position, invariant) as (
        select position, invariant from unnest(array[
            'transactions balance', 'entries have a transaction and an account',
            'balances are the sums of their entries', 'entries of an account follow one another',
            'accounts with a balance carry it in every entry', 'no balance is below its limit',
            'amounts are not finer than their asset', 'top-ups cost what their entries say',
            'open top-ups and vouchers are covered', 'top-ups have the postings of their state',
            'key usage is the sum of standing top-ups',
            'deliveries are pending exactly while they are queued']) with ordinality as i (invariant, position))
    select i.invariant, count(f.what) = 0,
           case when count(f.what) > 0
                then format('%s at fault: %s', count(f.what), (array_agg(f.what order by f.what))[1]) end
      from invariant i left join fault f using (invariant)
     group by i.position, i.invariant order by i.position
$$;
