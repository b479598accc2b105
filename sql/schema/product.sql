-- What a tenant sells to its customers: products, and their versions with prices and entitlements.

create table topup.product (
    tenant_id       uuid not null,
    environment     topup.environment not null,
    product_id      uuid not null,
    code            text not null check (length(code) between 1 and 100),
    name            text not null check (length(name) between 1 and 200),
    -- What those get who do not ask for a version; null until one is published.
    default_version integer,
    created_at      timestamptz not null default clock_timestamp(),
    deleted_at      timestamptz,
    primary key (tenant_id, environment, product_id),
    foreign key (tenant_id, environment) references topup.tenant_environment
);
create unique index product_code on topup.product (tenant_id, environment, code) where deleted_at is null;
comment on table topup.product is
    'A product (prod_…), by its code unique among those that are not deleted. A deleted one stays, for the usage that it priced.';

create table topup.product_version (
    tenant_id    uuid not null,
    environment  topup.environment not null,
    product_id   uuid not null,
    version      integer not null check (version > 0),
    status       text not null check (status in ('draft', 'published', 'archived')),
    prices       jsonb not null,
    entitlements jsonb not null,
    created_at   timestamptz not null default clock_timestamp(),
    primary key (tenant_id, environment, product_id, version),
    foreign key (tenant_id, environment, product_id) references topup.product
);
comment on table topup.product_version is
    'A version of a product: draft, published (can be subscribed to) or archived. Prices and entitlements in the shapes of the API, amounts in major units of their asset.';

-- What was sold cannot be changed behind the buyer's back, by anybody.
create function topup.keep_published_version() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if old.status <> 'draft'
       and (new.status = 'draft' or new.prices <> old.prices or new.entitlements <> old.entitlements) then
        raise exception 'version % of this product is %: it cannot be changed', old.version, old.status
            using errcode = 'integrity_constraint_violation', hint = 'Make a new version.';
    end if;
    return new;
end
$$;
create trigger keep_published_version before update on topup.product_version
    for each row execute function topup.keep_published_version();

select pg_extension_config_dump('topup.product', '');
select pg_extension_config_dump('topup.product_version', '');

comment on function topup.keep_published_version is 'Keeps what was published from being changed.';
