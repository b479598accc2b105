-- What a customer's account can hold beside fiat money: a tenant's own assets, and what assets are worth.

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

-- Of the windows that hold a time, the one that begins last counts, and of those the one told last. So a
-- new rate ends the one before it, and nothing is ever changed.
create table topup.asset_rate (
    tenant_id    uuid not null,
    environment  topup.environment not null,
    code         text not null,
    source       text not null,
    rate_id      uuid not null,
    valid_from   timestamptz not null,
    -- null: until another begins.
    valid_to     timestamptz,
    -- The one of the two that was told: source for one unit of the asset, or the asset for one unit of source.
    rate         numeric check (rate > 0),
    inverse_rate numeric check (inverse_rate > 0),
    primary key (tenant_id, environment, code, source, rate_id),
    check (source <> code),
    check (valid_to > valid_from),
    check (num_nonnulls(rate, inverse_rate) = 1)
);
create index asset_rate_at on topup.asset_rate (tenant_id, environment, code, source, valid_from, rate_id);
comment on table topup.asset_rate is
    'What an asset (code) costs in another (source) from valid_from until valid_to. The asset may be a fiat currency.';

create view topup.asset_fault as
    select 'rates belong to an asset' as invariant, format('rate of %s in %s', r.code, r.source) as what
      from topup.asset_rate r
     cross join lateral (values (r.code), (r.source)) side (code)
      left join topup.asset a on a.tenant_id = r.tenant_id and a.environment = r.environment and a.code = side.code
     where a.code is null and not topup.is_currency(side.code)
    union all
    select 'accounts hold an asset that there is', format('account %s holds %s', c.account_id, c.asset)
      from topup.account c
      left join topup.asset a on a.tenant_id = c.tenant_id and a.environment = c.environment and a.code = c.asset
     where a.code is null and not topup.is_currency(c.asset)
    union all
    select 'amounts are not finer than their asset', format('account %s: %s', e.account_id, e.amount)
      from topup.entry e
      join topup.account c using (tenant_id, account_id)
      left join topup.asset a on a.tenant_id = c.tenant_id and a.environment = c.environment and a.code = c.asset
     where scale(trim_scale(e.amount)) > coalesce(a.precision, 9);
comment on view topup.asset_fault is 'What is wrong with assets, rates and amounts; read by topup.check().';

select pg_extension_config_dump('topup.asset', '');
select pg_extension_config_dump('topup.asset_rate', '');
