-- Who uses the system: tenants, their two environments, their keys with tier and cap, the roles bound
-- to keys, and the platforms that credit can be sent for. Small tables, mostly read, shared by all.

create type topup.environment as enum ('staging', 'live');

create table topup.tenant (
    tenant_id  uuid primary key,
    name       text not null check (length(name) between 1 and 200),
    created_at timestamptz not null default now()
);
comment on table topup.tenant is 'An organisation (acct_…). Everything that has a tenant_id belongs to it alone.';

-- Staging and live share nothing: the environment is part of every key below it.
create table topup.tenant_environment (
    tenant_id   uuid not null references topup.tenant,
    environment topup.environment not null,
    wallet_id   uuid not null,
    -- What all its keys together may spend in a time; null: no limit.
    spending_limit_cents    bigint check (spending_limit_cents > 0),
    spending_limit_duration text check (spending_limit_duration in ('daily', 'weekly', 'monthly')),
    spending_limit_strategy text check (spending_limit_strategy in ('fixed', 'sliding')),
    -- Otherwise usage that nothing prices is kept, and free.
    refuses_unpriced_usage  boolean not null default false,
    -- Who is told of what happens, as JSON: its endpoints that are switched on, from topup.webhooks_of(). Whoever calls
    -- knows them with the key. null: nobody.
    webhooks                text,
    primary key (tenant_id, environment),
    check (num_nulls(spending_limit_cents, spending_limit_duration, spending_limit_strategy) in (0, 3))
);
comment on table topup.tenant_environment is 'One of the two separate worlds of a tenant, and its wallet''s account.';

create table topup.tier (
    tier                text primary key,
    discount_bps        integer not null check (discount_bps between 0 and 10000),
    wanted_volume_cents bigint not null
);
comment on table topup.tier is 'Wholesale discount in basis points and the monthly list-price volume that earns it.';
insert into topup.tier values
    ('standard', 0, 0), ('silver', 1000, 50000), ('gold', 1700, 250000), ('platinum', 2500, 1000000);

-- Charging the owner's card and ending top-ups as the platform does are by grant only.
create function topup.default_scopes() returns text[]
    language sql immutable parallel safe
    return array['send', 'read', 'cancel', 'cancel_any', 'vouchers', 'redeem', 'webhooks', 'wallets'];
comment on function topup.default_scopes is 'The scopes of a key that is minted without any named.';
create function topup.known_scopes() returns text[]
    language sql immutable parallel safe
    return topup.default_scopes() || array['funding', 'fulfil'];
comment on function topup.known_scopes is 'Every scope that a key can have.';

create table topup.key (
    key_id      uuid primary key,
    tenant_id   uuid not null,
    environment topup.environment not null,
    name        text not null check (length(name) <= 200),
    secret_hash bytea not null unique check (length(secret_hash) = 32),
    tier        text not null references topup.tier,
    -- A contract fixes the tier: the monthly review leaves it alone.
    contract    boolean not null default false,
    cap_cents   bigint check (cap_cents >= 0),
    cap_period  text not null check (cap_period in ('day', 'month', 'total')),
    scopes      text[] not null check (scopes <@ topup.known_scopes()),
    allowed_ips cidr[],
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz,
    foreign key (tenant_id, environment) references topup.tenant_environment
);
create index key_of_tenant on topup.key (tenant_id, environment);
comment on table topup.key is 'An API key: whom it speaks for, what it may do, at which price and up to what cap. Only its SHA-256 is kept.';

-- What a key spent and sold on a day (UTC); months and totals are sums of days. Like the journal it carries no foreign
-- key: every send comes by here.
create table topup.key_usage (
    tenant_id  uuid not null,
    key_id     uuid not null,
    day        date not null,
    cost_cents bigint not null,
    list_cents bigint not null,
    primary key (tenant_id, key_id, day)
) with (fillfactor = 50);
comment on table topup.key_usage is 'Cost and list price of the standing top-ups of a key, by the UTC day they were sent on. Margin is their difference.';

-- By name, not oid: a dump keeps the binding when it is restored into another cluster.
create table topup.role_binding (
    role_name name primary key,
    key_id    uuid not null references topup.key
);
comment on table topup.role_binding is 'The key for which a database role speaks when it calls the SQL functions.';

create table topup.platform (
    platform  text primary key check (platform ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    label     text not null,
    min_cents bigint not null default 100 check (min_cents > 0),
    max_cents bigint not null default 100000,
    delivery  text not null default 'instant' check (delivery in ('instant', 'deferred')),
    check (max_cents >= min_cents)
);
comment on table topup.platform is
    'What credit can be sent for. instant: delivered in the sending transaction; deferred: pending until deliver or fail.';
insert into topup.platform (platform, label) values
    ('claude', 'Claude'), ('chatgpt', 'ChatGPT'), ('gemini', 'Gemini');

-- CREATE EXTENSION makes the rows above, and a restored dump or a replica's first copy brings them again: a row of
-- the same name is then changed, not refused. set_platform() relies on it too.
create function topup.replace_row() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    columns text := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
                       from pg_attribute a where a.attrelid = tg_relid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '');
    changed bigint;
begin
    -- Both tables have their name as the name of their key.
    execute format('update topup.%1$I set (%2$s) = (select ($1).*) where %1$I = ($1).%1$I', tg_table_name, columns) using new;
    get diagnostics changed = row_count;
    if changed = 0 then
        return new;
    end if;
    return null;
end
$$;
create trigger replace_row before insert on topup.platform for each row execute function topup.replace_row();
create trigger replace_row before insert on topup.tier for each row execute function topup.replace_row();

select pg_extension_config_dump('topup.tenant', '');
select pg_extension_config_dump('topup.tenant_environment', '');
select pg_extension_config_dump('topup.key', '');
select pg_extension_config_dump('topup.key_usage', '');
select pg_extension_config_dump('topup.role_binding', '');
select pg_extension_config_dump('topup.platform', '');
select pg_extension_config_dump('topup.tier', '');

comment on function topup.replace_row is 'Lets a platform or tier that a dump or a replica brings take the place of the one that CREATE EXTENSION made.';
