-- What a restore or a replica can leave out or switch off: rows that others refer to, the rows of CREATE EXTENSION, triggers.

-- When each trigger of ours has to fire: A always, O wherever nobody replicates, D never.
-- Postgres checks a foreign key as a row is inserted, but pg_restore --jobs loads the extension's tables in any order, with
-- their keys in force from CREATE EXTENSION on. So that check is off, and topup.check() looks for all of them at once; those
-- of updates and deletes stay. A table's owner may have foreign keys of its own to tables of its own: they are left alone.
create view topup.guard as
    select t.tgrelid::regclass as relation, t.tgname as trigger, t.tgenabled as enabled,
           case when t.tgfoid = '"RI_FKey_check_ins"'::regproc then 'D'
                when t.tgconstraint <> 0 and t.tgisinternal then 'O'
                -- A replica that applies the fall of a balance must not charge the card once more.
                when t.tgname = 'auto_top_up_when_low' then 'O'
                else 'A' end::"char" as wanted
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_class c on c.oid = t.tgrelid
      join pg_catalog.pg_proc p on p.oid = t.tgfoid
      left join pg_catalog.pg_constraint k on k.oid = t.tgconstraint and t.tgisinternal
      left join pg_catalog.pg_class child on child.oid = k.conrelid
      left join pg_catalog.pg_class parent on parent.oid = k.confrelid
     where c.relnamespace = 'topup'::regnamespace
       and case when t.tgisinternal then child.relnamespace = c.relnamespace and parent.relnamespace = c.relnamespace
                else p.pronamespace = c.relnamespace end;

create function topup.enable_guards() returns void
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    guard record;
begin
    for guard in select g.relation, g.trigger, g.wanted from topup.guard g where g.enabled <> g.wanted loop
        execute format('alter table %s %s trigger %I', guard.relation,
                       case guard.wanted when 'A' then 'enable always' when 'O' then 'enable' else 'disable' end, guard.trigger);
    end loop;
end
$$;

-- Rows whose foreign key leads nowhere, of every foreign key between the extension's tables.
create function topup.missing_references(out what text) returns setof text
    language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    reference record;
begin
    for reference in
        select k.conrelid::regclass as child, k.confrelid::regclass as parent,
               string_agg(format('c.%I', a.attname), ', ' order by u.n) as columns,
               string_agg(format('p.%I = c.%I', b.attname, a.attname), ' and ') as is_parent,
               string_agg(format('c.%I is not null', a.attname), ' and ') as is_set
          from pg_constraint k
         cross join lateral unnest(k.conkey, k.confkey) with ordinality as u (child_column, parent_column, n)
          join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.child_column
          join pg_attribute b on b.attrelid = k.confrelid and b.attnum = u.parent_column
         where k.contype = 'f' and k.connamespace = 'topup'::regnamespace
         group by k.oid, k.conrelid, k.confrelid
    loop
        return query execute format(
            'select format(''%%s of %%s: %%s'', %1$L, %2$L, concat_ws('', '', %3$s)) from %2$s c
              where %4$s and not exists (select from %1$s p where %5$s)',
            reference.parent, reference.child, reference.columns, reference.is_set, reference.is_parent);
    end loop;
end
$$;

create view topup.restore_fault as
    select 'rows that others refer to are there' as invariant, m.what from topup.missing_references() m
    union all
    select 'rows that others refer to are there', format('topup.platform of topup.top_up: %s', t.platform)
      from topup.top_up t
     where not exists (select from topup.platform p where p.platform = t.platform)
    union all
    select 'tiers and platforms are there', format('tier %s', s.tier)
      from unnest(array['standard', 'silver', 'gold', 'platinum']) s (tier)
     where not exists (select from topup.tier t where t.tier = s.tier)
    union all
    select 'tiers and platforms are there', format('platform %s', s.platform)
      from unnest(array['claude', 'chatgpt', 'gemini']) s (platform)
     where not exists (select from topup.platform p where p.platform = s.platform)
    union all
    -- That a foreign key checks what is inserted, as it does after pg_restore --disable-triggers, is no fault.
    select 'triggers guard the ledger', format('%s of %s; run topup.enable_guards()', g.trigger, g.relation)
      from topup.guard g
     where g.enabled <> g.wanted and g.wanted <> 'D';

comment on view topup.restore_fault is 'What a restore or a replica left out or switched off; read by topup.check().';
comment on view topup.guard is 'The triggers of the extension: when each fires, and when it has to.';
comment on function topup.missing_references is 'Rows whose foreign key leads nowhere, of all foreign keys of the extension.';
comment on function topup.enable_guards is
    'Has every trigger of the extension fire when it has to, for a superuser to run after pg_restore --disable-triggers; changes nothing else.';
