-- Statements: what an account had, what moved it, and what it has. Read from the journal, and flat with its
-- length: an account's entries are numbered without gaps, and their times rise with their numbers (both are
-- given under the account's lock). So the entry at a time is found from the end backwards, in steps that double and
-- then halve, through two unique indexes: what is asked for is mostly recent, and costs the same however long the
-- account has been there. A period is one range of numbers.

-- How many entries the account has from before a time: the number of the last of them, 0 if none.
create function topup.version_before(tenant_id uuid, account_id uuid, at timestamptz) returns bigint
    language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    low    bigint := 0;
    high   bigint;
    middle bigint;
    step   bigint := 1;
    is_before boolean;
begin
    if at = '-infinity' then
        return 0;
    end if;
    select max(e.account_version) into high
      from topup.entry e
     where e.tenant_id = tenant_id and e.account_id = account_id and e.account_version is not null;
    high := coalesce(high, 0);
    while low < high loop
        if low = 0 then
            middle := greatest(high + 1 - step, 1);
            step := step * 2;
        else
            middle := (low + high + 1) / 2;
        end if;
        -- Two look-ups by whole keys, whatever the planner knows of the tenant.
        select t.created_at < at into strict is_before
          from topup.transaction t
         where t.tenant_id = tenant_id
           and t.transaction_id = (
               select e.transaction_id from topup.entry e
                where e.tenant_id = tenant_id and e.account_id = account_id and e.account_version = middle);
        if is_before then
            low := middle;
        else
            high := middle - 1;
        end if;
    end loop;
    return low;
end
$$;

-- The balance after an entry of that number.
create function topup.balance_at_version(tenant_id uuid, account_id uuid, version bigint) returns numeric
    language sql stable parallel safe set search_path = pg_catalog, pg_temp as $$
    select coalesce((select e.balance_after from topup.entry e
                      where e.tenant_id = balance_at_version.tenant_id and e.account_id = balance_at_version.account_id
                        and e.account_version = balance_at_version.version), 0)
$$;

-- The balance before a time: as booked, and with what time alone had changed by then, booked or not. Entries
-- after such a change cannot be there yet, since whoever posts books it first.
-- version: of the last entry from before it.
create function topup.balance_before(tenant_id uuid, account_id uuid, at timestamptz, version bigint) returns numeric
    language sql stable parallel unsafe set search_path = pg_catalog, pg_temp as $$
    select coalesce(
               (select d.balance
                  from topup.due_changes(balance_before.tenant_id, balance_before.account_id,
                                         balance_before.at - interval '1 microsecond') with ordinality d
                 order by d.ordinality desc limit 1),
               topup.balance_at_version(balance_before.tenant_id, balance_before.account_id, balance_before.version))
$$;

-- The lines of a statement from a time on (null: from the beginning) until before another, in order: the
-- opening balance, at most entries_max entries, what has changed and is not booked, the closing balance.
create function topup.account_lines(
    tenant_id uuid, account_id uuid, period_from timestamptz, period_to timestamptz, entries_max bigint)
    returns table (line bigint, at timestamptz, kind text, transaction_id uuid, reference text, description text,
                   amount numeric, balance numeric)
    language plpgsql stable parallel unsafe set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    period_from  timestamptz := coalesce(period_from, '-infinity');
    before_first bigint := topup.version_before(tenant_id, account_id, period_from);
    last_one     bigint := greatest(topup.version_before(tenant_id, account_id, period_to), before_first);
    lines        bigint := last_one - before_first;
    found        bigint;
begin
    return query
    select 0::bigint, nullif(period_from, '-infinity'), 'opening'::text, null::uuid, null::text, null::text, null::numeric,
           topup.balance_before(tenant_id, account_id, period_from, before_first);
    return query
    select e.account_version - before_first, t.created_at, t.kind, t.transaction_id,
           coalesce(t.reference, topup.format_id('txn', t.top_up_id), t.detail ->> 'hold_id', t.detail ->> 'grant_id'),
           t.detail ->> 'description', e.amount, e.balance_after
      from topup.entry e
      join topup.transaction t on t.tenant_id = e.tenant_id and t.transaction_id = e.transaction_id
     where e.tenant_id = tenant_id and e.account_id = account_id
       and e.account_version > before_first and e.account_version <= last_one
     order by e.account_version limit entries_max;
    return query
    select lines + d.ordinality, d.at, d.kind, null::uuid, d.of, null::text, d.amount, d.balance
      from topup.due_changes(tenant_id, account_id, period_to - interval '1 microsecond') with ordinality d
     where d.at >= period_from;
    get diagnostics found = row_count;
    return query
    select lines + found + 1, period_to, 'closing'::text, null::uuid, null::text, null::text, null::numeric,
           topup.balance_before(tenant_id, account_id, period_to, last_one);
end
$$;

-- What is before it is all that there is by now: where the clock was set back, the last entry is ahead of it.
create function topup.after_last_entry(tenant_id uuid, account_id uuid) returns timestamptz
    language sql stable parallel safe set search_path = pg_catalog, pg_temp as $$
    select greatest(now(), (select b.posted_at from topup.balance b
                             where b.tenant_id = after_last_entry.tenant_id and b.account_id = after_last_entry.account_id))
           + interval '1 microsecond'
$$;

-- The account of a customer that the session may see; null where there is none.
create function topup.visible_account(customer_id text, account_id text, out tenant_id uuid, out found_id uuid)
    language sql stable parallel unsafe set search_path = pg_catalog, pg_temp as $$
    select a.tenant_id, a.account_id
      from topup.visible() v
      join topup.account a on a.tenant_id = v.tenant_id and a.environment = v.environment::topup.environment
     where a.customer_id = topup.parse_id('cust', visible_account.customer_id)
       and a.name || ':' || a.asset = visible_account.account_id
$$;

create function topup.statement_lines(
    customer_id text, account_id text, period_from timestamptz = null, period_to timestamptz = null)
    returns table (line bigint, at timestamptz, kind text, transaction_id text, reference text, description text,
                   amount numeric, balance numeric)
    language sql stable parallel unsafe security definer set search_path = pg_catalog, pg_temp as $$
    select l.line, l.at, l.kind, topup.format_id('txn', l.transaction_id), l.reference, l.description, l.amount, l.balance
      from topup.visible_account(statement_lines.customer_id, statement_lines.account_id) a
     cross join lateral topup.account_lines(
               a.tenant_id, a.found_id, statement_lines.period_from,
               coalesce(statement_lines.period_to, topup.after_last_entry(a.tenant_id, a.found_id)), null) l
     where a.found_id is not null
$$;

create function topup.balance_at(customer_id text, account_id text, at timestamptz) returns numeric
    language sql stable parallel unsafe security definer set search_path = pg_catalog, pg_temp as $$
    select topup.balance_before(a.tenant_id, a.found_id, p.at, topup.version_before(a.tenant_id, a.found_id, p.at))
      from topup.visible_account(balance_at.customer_id, balance_at.account_id) a
     cross join lateral (select coalesce(balance_at.at + interval '1 microsecond',
                                 topup.after_last_entry(a.tenant_id, a.found_id)) as at) p
     where a.found_id is not null
$$;

-- What the search for a time relies on.
create view topup.time_fault as
    select 'times of an account never fall' as invariant,
           format('account %s, last entry at %s', b.account_id, topup.rfc3339(e.last_at)) as what
      from topup.balance b
      join (select tenant_id, account_id, max(at) as last_at, bool_or(at < at_before) as falls
              from (select e.tenant_id, e.account_id, t.created_at as at, lag(t.created_at) over w as at_before
                      from topup.entry e join topup.transaction t using (tenant_id, transaction_id)
                     where e.account_version is not null
                    window w as (partition by e.tenant_id, e.account_id order by e.account_version)) timed
             group by tenant_id, account_id) e using (tenant_id, account_id)
     where e.falls or b.posted_at is null or b.posted_at < e.last_at;
comment on view topup.time_fault is 'Accounts whose entries are not in the order of time; read by topup.check().';
comment on function topup.statement_lines is
    'The same as rows, without limit: line 0 opens, the last one closes. Amounts in major units. No rows where the session sees no such account. What has expired and is not booked yet has no transaction_id.';
comment on function topup.balance_at is
    'The balance of an account ({name}:{asset}) in major units as it was at a time; null where the session sees no such account.';
comment on function topup.version_before is 'The number of the account''s last entry from before a time; 0 if there is none.';
comment on function topup.after_last_entry is 'Just after now, or after the account''s last entry where that is ahead of the clock.';
comment on function topup.balance_at_version is 'The balance after the account''s entry of that number, in major units.';
comment on function topup.balance_before is
    'The balance of an account before a time, in major units; version is the number of its last entry from before then.';
comment on function topup.account_lines is 'The lines of a statement: opening balance, entries (at most entries_max), closing balance.';
comment on function topup.visible_account is 'The account of that customer and id, where topup.visible() shows it.';
