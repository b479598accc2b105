-- The audit of refunds of payments, read by topup.check().

create view topup.payment_refund_fault as
    select 'no more is refunded than was paid' as invariant, format('payment %s', p.payment_id) as what
      from topup.payment p
      join topup.payment_refund r using (tenant_id, environment, payment_id)
     where r.status <> 'failed'
     group by p.tenant_id, p.environment, p.payment_id, p.amount, p.credit, p.status
    having sum(r.amount) > p.amount or sum(r.credit) > p.credit or p.status <> 'succeeded'
    union all
    -- Each is rounded so that all together are exact; what failed in between leaves a unit or so.
    select 'a refund takes the share that it pays for', format('payment %s', p.payment_id)
      from topup.payment p
      join topup.payment_refund r using (tenant_id, environment, payment_id)
      left join topup.asset a on a.tenant_id = p.tenant_id and a.environment = p.environment and a.code = p.asset
     where r.status <> 'failed'
     group by p.tenant_id, p.environment, p.payment_id, p.amount, p.credit, a.precision
    having abs(sum(r.credit) - p.credit * sum(r.amount) / p.amount)
               > (count(*) + 1) * ('1e-' || coalesce(a.precision, 9))::numeric
    union all
    select 'refunds of payments have their postings', format('refund %s', coalesce(r.id, t.reference))
      from (select r.*, topup.format_id('re', r.refund_id) as id, p.account_id
              from topup.payment_refund r join topup.payment p using (tenant_id, environment, payment_id)) r
      full join (select tenant_id, environment, split_part(reference, '/', 1) as reference,
                        count(*) as count,
                        sum(e.amount) filter (where reference not like '%/failed') as taken,
                        sum(e.amount) filter (where reference like '%/failed') as returned
                   from topup.transaction join topup.entry e using (tenant_id, transaction_id)
                  where kind = 'top_up_refund' and e.account_version is not null
                  group by tenant_id, environment, split_part(reference, '/', 1)) t
        on t.tenant_id = r.tenant_id and t.environment = r.environment and t.reference = r.id
     where r.id is null
        or t.taken is distinct from case when r.recovered > 0 then -r.recovered end
        or t.returned is distinct from case when r.recovered > 0 and r.status = 'failed' then r.recovered end;

comment on view topup.payment_refund_fault is 'What is wrong with refunds of payments; read by topup.check().';
