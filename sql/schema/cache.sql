-- What sessions keep of the rows that nearly every call reads and few change: keys with their tier and environment, platforms,
-- and whether a worker sleeps (extension/src/cache.rs). A change of one is announced to all sessions when it commits, as that of a role is.

create table topup.cached (nothing boolean);
comment on table topup.cached is 'Stands for what sessions keep, and is always empty: its invalidation makes them forget.';

create function topup.forget_cached() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform topup.invalidate_cached();
    return null;
end
$$;

do $$
declare
    relation regclass;
begin
    foreach relation in array array['topup.key', 'topup.tier', 'topup.tenant_environment', 'topup.role_binding', 'topup.platform',
                                    'topup.sleeper'] loop
        execute format('create trigger forget_cached after insert or update or delete on %s
                            for each row execute function topup.forget_cached()', relation);
        execute format('create trigger forget_all_cached after truncate on %s
                            for each statement execute function topup.forget_cached()', relation);
    end loop;
end
$$;

comment on function topup.forget_cached is 'Announces a change of what sessions keep.';
