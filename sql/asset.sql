-- What a customer's account can hold beside fiat money: a tenant's own assets, and what they are worth.

-- Fiat currencies are known by their ISO 4217 codes and have no row.
create table topup.asset (
    tenant_id   uuid not null,
    environment topup.environment not null,
    code        text not null check (code ~ '^[A-Z][A-Z0-9_]{1,29}$'),
    name        text not null check (length(name) between 1 and 200),
    precision   smallint not null check (precision between 0 and 18),
    label       text,
    symbol      text,
    created_at  timestamptz not null default clock_timestamp(),
    primary key (tenant_id, environment, code),
    foreign key (tenant_id, environment) references topup.tenant_environment
);
comment on table topup.asset is
    'A tenant''s own asset. precision is the number of decimals that the ledger keeps of it.';

select pg_extension_config_dump('topup.asset', '');
