-- The audit of auto top-ups, read by topup.check().

create view topup.auto_top_up_fault as
    select 'watched accounts have an auto top-up that may fire' as invariant,
           format('account %s is watched below %s', b.account_id, b.auto_top_up_below) as what
      from topup.balance b
      left join topup.auto_top_up c using (tenant_id, account_id)
     where b.auto_top_up_below is not null
       and (b.auto_top_up_below is distinct from c.threshold or c.disabled_reason is not null
            or exists (select from topup.payment p
                        where p.tenant_id = b.tenant_id and p.account_id = b.account_id and p.origin = 'auto'
                          and p.status in ('initiated', 'pending')))
    union all
    -- It waits for a time, for its own charge, for a card, or for somebody to set it anew.
    select 'auto top-ups that do not watch wait for something', format('account %s', c.account_id)
      from topup.auto_top_up c
      left join topup.balance b using (tenant_id, account_id)
     where b.auto_top_up_below is null and c.due_at is null and c.disabled_reason is null
       and not exists (select from topup.payment p
                        where p.tenant_id = c.tenant_id and p.account_id = c.account_id and p.origin = 'auto'
                          and p.status in ('initiated', 'pending'))
       and exists (select from topup.payment_method m
                    where m.tenant_id = c.tenant_id and m.environment = c.environment
                      and m.customer_id is not distinct from c.customer_id and m.replaced_at is null)
    union all
    select 'auto top-ups belong to their account', format('account %s', c.account_id)
      from topup.auto_top_up c
      left join topup.account a on a.tenant_id = c.tenant_id and a.account_id = c.account_id
            and a.environment = c.environment and a.customer_id is not distinct from c.customer_id
            and a.kind in ('wallet', 'customer')
     where a.account_id is null;

comment on view topup.auto_top_up_fault is 'What is wrong with auto top-ups; read by topup.check().';
