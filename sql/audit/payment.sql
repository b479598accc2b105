-- The audit of payments, read by topup.check().

create view topup.payment_fault as
    select 'payments are credited exactly when they succeeded' as invariant,
           format('payment %s is %s', coalesce(p.id, t.reference), p.status) as what
      from (select *, topup.format_id(case when customer_id is null then 'in' else 'top' end, payment_id) as id
              from topup.payment) p
      full join (select * from topup.transaction where kind = 'top_up') t
        on t.tenant_id = p.tenant_id and t.environment = p.environment and t.reference = p.id
      left join topup.entry e
        on e.tenant_id = p.tenant_id and e.transaction_id = p.transaction_id and e.account_id = p.account_id
     where p.transaction_id is distinct from t.transaction_id
        or (p.status = 'succeeded' and e.amount is distinct from p.credit)
    union all
    select 'credit is what was paid for it',
           format('payment %s: %s %s for %s %s', p.payment_id, p.credit, p.asset, p.amount, p.currency)
      from topup.payment p
      left join topup.asset a on a.tenant_id = p.tenant_id and a.environment = p.environment and a.code = p.asset
     -- The rate that is kept is rounded to 18 decimals where the one that was used is not a decimal number.
     where abs(p.credit - p.amount * p.exchange_rate)
               > 0.5 * ('1e-' || coalesce(a.precision, 9))::numeric + p.amount * 1e-18
        or (p.currency = p.asset and p.exchange_rate <> 1)
        or not topup.is_currency(p.currency)
    union all
    select 'payments are taken by a provider of their environment', format('payment %s', p.payment_id)
      from topup.payment p
     where p.provider not in ('test', 'stripe') or (p.provider = 'test' and p.environment = 'live')
    union all
    select 'payments have a card, payer and account of their own', format('payment %s', p.payment_id)
      from topup.payment p
      left join topup.tenant_environment n on n.tenant_id = p.tenant_id and n.environment = p.environment
      left join topup.customer c
        on c.tenant_id = p.tenant_id and c.environment = p.environment and c.customer_id = p.customer_id
      left join topup.payment_method m
        on m.tenant_id = p.tenant_id and m.environment = p.environment and m.method_id = p.method_id
     where p.account_id is distinct from case when p.customer_id is null then n.wallet_id
               else topup.customer_account_id(p.customer_id, p.account_name, p.asset) end
        or (p.customer_id is not null and c.customer_id is null)
        or (p.method_id is not null
            and (m.customer_id is distinct from p.customer_id or m.provider is distinct from p.provider))
    union all
    select 'a payer has one card', format('%s of %s', coalesce(topup.format_id('cust', m.customer_id), 'the tenant'),
                                          topup.format_id('acct', m.tenant_id))
      from topup.payment_method m
      left join topup.customer c
        on c.tenant_id = m.tenant_id and c.environment = m.environment and c.customer_id = m.customer_id
     where m.customer_id is not null and c.customer_id is null
        or (m.replaced_at is null and exists (
                select from topup.payment_method o
                 where o.tenant_id = m.tenant_id and o.environment = m.environment and o.method_id <> m.method_id
                   and o.customer_id is not distinct from m.customer_id and o.replaced_at is null));

comment on view topup.payment_fault is 'What is wrong with payments and saved cards; read by topup.check().';
