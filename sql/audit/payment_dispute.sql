-- The audit of disputes of payments, read by topup.check().

create view topup.payment_dispute_fault as
    select 'disputes of payments have their postings' as invariant, format('dispute %s', coalesce(d.id, t.reference)) as what
      from (select *, topup.format_id('dp', dispute_id) as id from topup.payment_dispute) d
      full join (select tenant_id, environment, split_part(reference, '/', 1) as reference,
                        sum(e.amount) filter (where reference like '%/taken/%') as taken,
                        sum(e.amount) filter (where reference like '%/returned/%') as returned
                   from topup.transaction join topup.entry e using (tenant_id, transaction_id)
                  where kind = 'top_up_dispute' and e.account_version is not null
                  group by tenant_id, environment, split_part(reference, '/', 1)) t
        on t.tenant_id = d.tenant_id and t.environment = d.environment and t.reference = d.id
     where d.id is null or d.taken <> -coalesce(t.taken, 0) or d.returned <> coalesce(t.returned, 0)
    union all
    select 'disputes take what their payment bought', format('dispute %s', topup.format_id('dp', d.dispute_id))
      from topup.payment_dispute d
      join topup.payment p using (tenant_id, environment, payment_id)
     where (p.status = 'succeeded') is distinct from (d.told is not null)
        or d.told is distinct from case when p.status = 'succeeded' then d.status end
        or d.amount > p.amount
        or d.taken - d.returned > p.credit
        or (d.status = 'inquiry' and d.taken > 0);

comment on view topup.payment_dispute_fault is 'What is wrong with disputes of payments; read by topup.check().';
