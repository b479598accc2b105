-- The schema and the four roles that divide it. Everything else in this folder builds on this file.

do $$
begin
    if pg_catalog.getdatabaseencoding() <> 'UTF8' then
        raise exception 'pg_topup needs a database in UTF8, and this one is in %', pg_catalog.getdatabaseencoding();
    end if;
end
$$;

create schema topup;
comment on schema topup is
    'Prepaid AI credit: a double-entry ledger, the operations on it, and the effects that follow from them.';

-- Roles belong to the cluster, not to a database: a second database finds them already there.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['topup_admin', 'topup_app', 'topup_gateway', 'topup_reader'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception when duplicate_object or unique_violation then
                null; -- Another database's CREATE EXTENSION has made it in the meantime.
            end;
        end if;
    end loop;
end
$$;
