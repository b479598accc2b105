-- What administrators do: tenants, keys, roles, tiers, platforms. Mistakes are SQL errors here, since the
-- one who makes them sits before the prompt; what apps and clients call answers with the envelope instead.

-- Its body is bound as it is created, whatever the search_path. A setting of its own would keep it from being inlined,
-- and lists call it for each of their rows.
create function topup.rfc3339(at timestamptz) returns text
    language sql stable parallel safe strict
    return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

create function topup.version() returns text
    language sql stable parallel safe set search_path = pg_catalog, pg_temp
    begin atomic select extversion from pg_catalog.pg_extension where extname = 'pg_topup'; end;

-- More than any wallet of this world: sums of amounts below it never overflow.
create function topup.most_cents() returns bigint
    language sql immutable parallel safe
    return 1000000000000;
comment on function topup.most_cents is 'The largest amount, in US cents, that an administrator can set: ten billion dollars.';

create function topup.create_tenant(name text) returns text
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    tenant uuid := topup.new_id();
    env    text;
begin
    perform topup.require_length('name', name, 1, 200);
    insert into topup.tenant (tenant_id, name) values (tenant, create_tenant.name);
    foreach env in array array['staging', 'live'] loop
        insert into topup.tenant_environment (tenant_id, environment, wallet_id)
        select tenant, env::topup.environment, account_id from topup.founding_accounts(tenant, env) where kind = 'wallet';
        insert into topup.account (tenant_id, account_id, environment, kind, name, asset)
        select tenant, account_id, env::topup.environment, kind, kind, asset from topup.founding_accounts(tenant, env);
        insert into topup.balance (tenant_id, account_id, low_balance_threshold)
        select tenant, account_id, 10 from topup.founding_accounts(tenant, env) where kind = 'wallet';
    end loop;
    return topup.format_id('acct', tenant);
end
$$;

create function topup.mint_key(
    tenant_id text, environment text, name text = '', tier text = 'standard', cap_cents bigint = null,
    cap_period text = 'month', scopes text[] = null, allowed_ips cidr[] = null, out key_id text, out api_key text)
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    tenant uuid := topup.require_id('acct', tenant_id, 'tenant');
    env    topup.environment := topup.require_environment(environment);
    id     uuid := topup.new_id();
    first_staging_key boolean;
    reply  jsonb;
begin
    perform topup.require_length('name', coalesce(name, ''), 0, 200);
    perform topup.require_one_of('tier', tier, array(select t.tier from topup.tier t order by t.discount_bps));
    perform topup.require_between('cap_cents', coalesce(cap_cents, 0), 0, topup.most_cents());
    perform topup.require_one_of('cap_period', cap_period, array['day', 'month', 'total']);
    perform topup.require_scopes(scopes);
    perform topup.require_networks(allowed_ips);
    -- The lock lets only one key be the first.
    perform from topup.tenant_environment e where e.tenant_id = tenant and e.environment = env for no key update;
    if not found then
        perform topup.refuse_argument('tenant_id', 'there is no tenant ' || topup.given(tenant_id));
    end if;
    first_staging_key := env = 'staging'
        and not exists (select from topup.key k where k.tenant_id = tenant and k.environment = env);
    api_key := topup.new_api_key(env::text);
    key_id := topup.format_id('key', id);
    insert into topup.key (key_id, tenant_id, environment, name, secret_hash, tier, cap_cents, cap_period, scopes, allowed_ips)
    values (id, tenant, env, coalesce(name, ''), topup.hash_api_key(api_key), tier, cap_cents, cap_period,
            coalesce(scopes, topup.default_scopes()), allowed_ips);
    if first_staging_key and topup.staging_credit_cents() > 0 then
        reply := topup.fund(tenant_id, 'staging', topup.staging_credit_cents(), 'staging_credit', 'Play money');
        if reply ->> 'code' <> '1000' then
            raise exception 'the play money was refused: %', reply -> 'data' ->> 'message';
        end if;
    end if;
end
$$;

create function topup.revoke_key(key_id text) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    id uuid := topup.require_id('key', key_id, 'key');
begin
    update topup.key k set revoked_at = coalesce(k.revoked_at, clock_timestamp()) where k.key_id = id;
    if not found then
        perform topup.refuse_argument('key_id', 'there is no key ' || topup.given(key_id));
    end if;
end
$$;

create function topup.bind_role(role name, key_id text) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    id uuid := case when key_id is not null then topup.require_id('key', key_id, 'key') end;
begin
    if not exists (select from pg_catalog.pg_roles r where r.rolname = role) then
        raise exception 'role: there is no role %', coalesce(quote_ident(role), 'null') using errcode = 'undefined_object';
    end if;
    if key_id is null then
        delete from topup.role_binding b where b.role_name = role;
        return;
    end if;
    if not exists (select from topup.key k where k.key_id = id and k.revoked_at is null) then
        perform topup.refuse_argument('key_id', format('there is no key %s, or it is revoked', topup.given(key_id)));
    end if;
    insert into topup.role_binding (role_name, key_id) values (role, id)
    on conflict (role_name) do update set key_id = excluded.key_id;
    -- A role that is meant to read only stays one that reads only.
    if not pg_has_role(role, 'topup_app', 'member') and not pg_has_role(role, 'topup_reader', 'member') then
        execute format('grant topup_app to %I', role);
    end if;
end
$$;

create function topup.set_tier(key_id text, tier text, contract boolean = false) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    id uuid := topup.require_id('key', key_id, 'key');
begin
    perform topup.require_one_of('tier', tier, array(select t.tier from topup.tier t order by t.discount_bps));
    if contract is null then
        perform topup.refuse_argument('contract', 'it must be true or false');
    end if;
    update topup.key k set tier = set_tier.tier, contract = set_tier.contract where k.key_id = id;
    if not found then
        perform topup.refuse_argument('key_id', 'there is no key ' || topup.given(key_id));
    end if;
end
$$;

create function topup.review_tiers(out key_id text, out old_tier text, out new_tier text) returns setof record
    language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
    with month as (
        select (date_trunc('month', now() at time zone 'UTC') - interval '1 month')::date as first_day,
               date_trunc('month', now() at time zone 'UTC')::date as next_first_day),
    earned as (
        select k.key_id, k.tier as old_tier,
               (select t.tier from topup.tier t
                 where t.wanted_volume_cents <= coalesce(
                       (select sum(u.list_cents) from topup.key_usage u, month
                         where u.tenant_id = k.tenant_id and u.key_id = k.key_id
                           and u.day >= month.first_day and u.day < month.next_first_day), 0)
                 order by t.wanted_volume_cents desc limit 1) as new_tier
          from topup.key k
         where not k.contract and k.revoked_at is null)
    update topup.key k set tier = e.new_tier
      from earned e
     where k.key_id = e.key_id and e.new_tier <> e.old_tier
    returning topup.format_id('key', k.key_id), e.old_tier, e.new_tier
$$;

create function topup.set_platform(
    platform text, label text, min_cents bigint = 100, max_cents bigint = 100000, delivery text = 'instant') returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
    if platform is null or platform !~ '^[a-z0-9][a-z0-9_-]{0,62}$' then
        perform topup.refuse_argument('platform', 'it must be 1 to 63 of a-z, 0-9, _ and -, and begin with a letter or digit');
    end if;
    perform topup.require_length('label', label, 1, 200);
    perform topup.require_between('min_cents', min_cents, 1, topup.most_cents());
    perform topup.require_between('max_cents', max_cents, min_cents, topup.most_cents());
    perform topup.require_one_of('delivery', delivery, array['instant', 'deferred']);
    insert into topup.platform (platform, label, min_cents, max_cents, delivery)
    values (platform, label, min_cents, max_cents, delivery);
end
$$;

create function topup.set_low_balance(tenant_id text, environment text, threshold_cents bigint) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    tenant uuid := topup.require_id('acct', tenant_id, 'tenant');
    env    topup.environment := topup.require_environment(environment);
begin
    perform topup.require_between('threshold_cents', threshold_cents, 0, topup.most_cents());
    update topup.balance b set low_balance_threshold = threshold_cents / 100.0
      from topup.tenant_environment e
     where e.tenant_id = tenant and e.environment = env
       and b.tenant_id = e.tenant_id and b.account_id = e.wallet_id;
    if not found then
        perform topup.refuse_argument('tenant_id', 'there is no tenant ' || topup.given(tenant_id));
    end if;
end
$$;

create function topup.set_unpriced_usage(tenant_id text, environment text, policy text) returns void
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    tenant uuid := topup.require_id('acct', tenant_id, 'tenant');
    env    topup.environment := topup.require_environment(environment);
begin
    perform topup.require_one_of('policy', policy, array['accept', 'refuse']);
    update topup.tenant_environment e set refuses_unpriced_usage = policy = 'refuse'
     where e.tenant_id = tenant and e.environment = env;
    if not found then
        perform topup.refuse_argument('tenant_id', 'there is no tenant ' || topup.given(tenant_id));
    end if;
end
$$;

comment on function topup.create_tenant is 'Makes a tenant with a staging and a live environment; returns its id (acct_…).';
comment on function topup.mint_key is
    'Makes an API key for staging or live and shows it this once. tier: standard, silver, gold, platinum; cap_cents for each day, month or total; scopes: if null, all but funding and fulfil; allowed_ips: from anywhere if null. The first staging key of a tenant finds play money (setting topup.staging_credit_cents).';
comment on function topup.revoke_key is 'Ends a key (key_…) for good: no call that begins afterwards is let in.';
comment on function topup.bind_role is
    'Lets a database role speak for a key when it calls the SQL functions, and makes it a member of topup_app; a null key_id unbinds it. The binding goes by the role''s name and outranks the key''s allowed addresses.';
comment on function topup.set_tier is 'Sets a key''s tier; with contract true, review_tiers() leaves it alone.';
comment on function topup.review_tiers is
    'Moves keys to the tier that their list-price volume of the last full month (UTC) earned; returns those it moved.';
comment on function topup.set_platform is
    'Makes or changes a platform: limits in US cents; delivery instant or deferred.';
comment on function topup.set_low_balance is 'Sets the balance, in US cents, below which a wallet sends balance.low.';
comment on function topup.set_unpriced_usage is
    'What becomes of usage that nothing prices, in an environment (staging or live) of a tenant (acct_…): accept keeps it for free, as without a call; refuse refuses its batch (2000) and names the nearest types that are priced.';
comment on function topup.version is 'The installed version of the extension.';
comment on function topup.rfc3339 is 'A time as clients read it: RFC 3339, UTC, milliseconds.';
