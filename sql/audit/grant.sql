-- The audit of grants and holds, read by topup.check().

create view topup.grant_fault as
    with used as (
        select tenant_id, account_id, grant_id, sum(used) as used, sum(returned) as returned
          from topup.grant_use group by tenant_id, account_id, grant_id)
    select 'grants have left what their uses leave' as invariant,
           format('grant %s has %s left', topup.format_id('grant', coalesce(g.grant_id, u.grant_id)), g.remaining) as what
      from topup.credit_grant g full join used u using (tenant_id, account_id, grant_id)
     where g.grant_id is null or g.remaining <> g.amount - coalesce(u.used, 0) + coalesce(u.returned, 0)
        or (g.pending and u.grant_id is not null)
    union all
    select 'grants have their credit in the journal', format('grant %s', topup.format_id('grant', g.grant_id))
      from topup.credit_grant g
      join topup.account a using (tenant_id, account_id)
      left join topup.entry given on given.tenant_id = g.tenant_id and given.transaction_id = g.transaction_id
            and given.account_id = case when g.pending or g.activation_id is not null
                    then topup.system_account_id(g.tenant_id, a.environment::text, 'held', a.asset) else g.account_id end
      left join topup.entry begun on begun.tenant_id = g.tenant_id and begun.transaction_id = g.activation_id
            and begun.account_id = g.account_id
     where given.amount is distinct from g.amount
        or (g.activation_id is not null and begun.amount is distinct from g.amount)
        or (g.pending and g.activation_id is not null)
    union all
    select 'grants burn while they last', format('transaction %s', topup.format_id('txn', u.transaction_id))
      from topup.grant_use u
      left join topup.transaction t using (tenant_id, transaction_id)
      left join topup.credit_return r using (tenant_id, transaction_id, account_id)
      left join topup.credit_grant g
        on g.tenant_id = u.tenant_id and g.account_id = u.account_id and g.grant_id = u.grant_id
     where t.transaction_id is null or g.grant_id is null
        or t.created_at < g.effective_at
        or (t.kind = 'expire') <> coalesce(t.created_at >= g.expires_at and r.transaction_id is null, false)
        or (u.returned > 0 and r.transaction_id is null)
    union all
    select 'grants burn no more than was posted', format('transaction %s', topup.format_id('txn', u.transaction_id))
      from (select tenant_id, transaction_id, account_id, sum(used) as used, sum(returned) as returned
              from topup.grant_use group by tenant_id, transaction_id, account_id) u
      left join topup.entry e using (tenant_id, transaction_id, account_id)
      left join topup.transaction t using (tenant_id, transaction_id)
     where e.amount is null or greatest(u.used, u.returned) > abs(e.amount)
        or (t.kind = 'expire' and u.used <> -e.amount)
    union all
    select 'debits are given back once', format('transaction %s', topup.format_id('txn', r.of_transaction_id))
      from (select tenant_id, of_transaction_id, account_id, sum(r.amount) as amount,
                   count(*) filter (where e.amount is distinct from r.amount) as strange
              from topup.credit_return r left join topup.entry e using (tenant_id, transaction_id, account_id)
             group by tenant_id, of_transaction_id, account_id) r
      left join topup.entry e
        on e.tenant_id = r.tenant_id and e.transaction_id = r.of_transaction_id and e.account_id = r.account_id
     where e.amount is null or r.amount > -e.amount or r.strange > 0
    union all
    select 'refunds belong to their charge', format('refund %s', topup.format_id('txn', t.transaction_id))
      from topup.transaction t
      left join topup.credit_return r using (tenant_id, transaction_id)
      left join topup.transaction c on c.tenant_id = r.tenant_id and c.transaction_id = r.of_transaction_id
     where t.kind = 'refund' and c.kind is distinct from 'charge'
    union all
    select 'accounts cover their grants', format('account %s: %s of %s', b.account_id, g.remaining, b.balance)
      from topup.balance b
      join (select tenant_id, account_id, sum(remaining) as remaining
              from topup.credit_grant where not pending group by tenant_id, account_id) g using (tenant_id, account_id)
     where g.remaining > greatest(b.balance, 0)
    union all
    select 'accounts know when they change next', format('account %s: %s', b.account_id, topup.rfc3339(b.next_due_at))
      from topup.balance b
      join (select tenant_id, account_id, min(at) as at
              from (select tenant_id, account_id,
                           case when pending then effective_at else coalesce(expires_at, 'infinity') end as at
                      from topup.credit_grant where is_open
                    union all
                    select tenant_id, account_id, expires_at from topup.hold where is_open) each
             group by tenant_id, account_id) d using (tenant_id, account_id)
     where b.next_due_at is null or b.next_due_at > d.at
    union all
    select 'what is held is in grants and holds', format('account %s: %s', a.account_id, h.amount)
      from topup.account a
      left join (select tenant_id, account_id, sum(amount) as amount from topup.entry group by tenant_id, account_id) h
             using (tenant_id, account_id)
      left join (select o.tenant_id, c.environment, c.asset, sum(o.amount) as amount
                   from (select tenant_id, account_id, amount from topup.credit_grant where pending
                         union all
                         select tenant_id, account_id, amount from topup.hold where is_open) o
                   join topup.account c using (tenant_id, account_id)
                  group by o.tenant_id, c.environment, c.asset) o
             on o.tenant_id = a.tenant_id and o.environment = a.environment and o.asset = a.asset
     where a.kind = 'held' and coalesce(h.amount, 0) <> coalesce(o.amount, 0);

-- A hold's own postings, and those of its end.
create view topup.hold_fault as
    select 'holds have the postings of their state' as invariant,
           format('hold %s is %s', topup.format_id('hold', h.hold_id), h.status) as what
      from topup.hold h
      join topup.account a using (tenant_id, account_id)
      left join topup.entry taken on taken.tenant_id = h.tenant_id and taken.transaction_id = h.transaction_id
            and taken.account_id = h.account_id
      left join topup.transaction t on t.tenant_id = h.tenant_id and t.transaction_id = h.end_transaction_id
      left join topup.entry back on back.tenant_id = h.tenant_id and back.transaction_id = h.end_transaction_id
            and back.account_id = h.account_id
      left join topup.entry earned on earned.tenant_id = h.tenant_id and earned.transaction_id = h.end_transaction_id
            and earned.account_id = topup.system_account_id(h.tenant_id, h.environment::text, 'revenue', a.asset)
     where a.environment <> h.environment or taken.amount is distinct from -h.amount
        or t.kind is distinct from case h.status when 'open' then null when 'settled' then 'settle' else 'release' end
        or coalesce(earned.amount, 0) <> coalesce(h.settled_amount, 0)
        or (h.status <> 'open' and coalesce(back.amount, 0) <> h.amount - coalesce(h.settled_amount, 0))
        or t.created_at is distinct from h.ended_at
        or h.ended_at > greatest(h.expires_at, h.created_at)
        or (h.status = 'expired' and h.ended_at < h.expires_at)
    union all
    select 'holds are known to the journal', format('transaction %s', topup.format_id('txn', t.transaction_id))
      from topup.transaction t
      left join topup.hold h on h.tenant_id = t.tenant_id and h.environment = t.environment
            and case t.kind when 'hold' then h.transaction_id else h.end_transaction_id end = t.transaction_id
     where t.kind in ('hold', 'settle', 'release') and h.hold_id is null;

comment on view topup.grant_fault is 'What is wrong with credit grants; read by topup.check().';
comment on view topup.hold_fault is 'What is wrong with holds; read by topup.check().';
