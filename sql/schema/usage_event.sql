-- Usage: the events that tenants report, what each cost, and how far the meters of tiered prices have come.

create table topup.usage_event (
    tenant_id    uuid not null,
    environment  topup.environment not null,
    -- The tenant's own id of it: the same id is the same event, for good.
    event_id     text not null,
    customer_id  uuid not null,
    event_type   text not null,
    occurred_at  timestamptz not null,
    subject      text,
    description  text,
    data         jsonb,
    -- Whether something prices it, be it at nothing.
    priced       boolean not null,
    -- Of everything above: what else comes under this id is another event, and refused.
    content_hash bytea not null check (length(content_hash) = 32),
    -- UUIDv7, in the order in which events came.
    sequence     uuid not null,
    created_at   timestamptz not null default clock_timestamp(),
    primary key (tenant_id, environment, event_id)
);
create unique index usage_event_sequence on topup.usage_event (tenant_id, environment, sequence);
create unique index usage_event_of_customer on topup.usage_event (tenant_id, environment, customer_id, sequence);
-- Where everything is priced these are empty, and cost nothing.
create index usage_event_unpriced on topup.usage_event (tenant_id, environment, sequence) where not priced;
create index usage_event_unpriced_lately on topup.usage_event (sequence) where not priced;
comment on table topup.usage_event is 'What a customer used and when. What nothing prices is kept and free.';

create table topup.usage_fee (
    tenant_id       uuid not null,
    environment     topup.environment not null,
    event_id        text not null,
    -- Its place among the fees of the event.
    position        integer not null,
    fee_id          uuid not null,
    -- The transaction that booked it; null where all fees of the batch came to nothing.
    transaction_id  uuid,
    account_id      uuid not null,
    product_id      uuid not null,
    product_code    text not null,
    product_version integer not null,
    price_id        text not null,
    price_name      text not null,
    asset           text not null,
    dimensions      jsonb,
    usage_type      text not null,
    volume_field    text,
    input_volume    numeric,
    unit_price      numeric,
    volume_rate     numeric,
    package_size    numeric,
    amount          numeric not null check (amount >= 0),
    -- Of a price with tiers: what the event added to the meter, and since when that counts.
    quantity        numeric,
    period_start    date,
    primary key (tenant_id, environment, event_id, position),
    foreign key (tenant_id, environment, event_id) references topup.usage_event,
    check ((quantity is null) = (period_start is null))
);
comment on table topup.usage_fee is
    'What an event cost by one price: amount in major units of the asset, with what it was calculated from.';

create table topup.usage_meter (
    tenant_id    uuid not null,
    environment  topup.environment not null,
    customer_id  uuid not null,
    price_id     text not null,
    dimensions   text not null,
    period_start date not null,
    quantity     numeric not null,
    primary key (tenant_id, environment, customer_id, price_id, dimensions, period_start)
) with (fillfactor = 50);
comment on table topup.usage_meter is
    'How much of a price with tiers a customer has used in a period: events, volume or packages. The sum of its fees'' quantities.';

-- The sequence of an event begins with the time at which it came, in milliseconds.
create function topup.unpriced_last_hour() returns bigint
    language sql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
    select count(*)
      from (select from topup.usage_event e
             where not e.priced
               and e.sequence >= rpad(lpad(to_hex((extract(epoch from now() - interval '1 hour') * 1000)::bigint), 12, '0'),
                                      32, '0')::uuid
             limit 100000) lately
$$;

select pg_extension_config_dump('topup.usage_event', '');
select pg_extension_config_dump('topup.usage_fee', '');
select pg_extension_config_dump('topup.usage_meter', '');

comment on function topup.unpriced_last_hour is
    'For the gateway''s metrics: how many events that nothing prices were recorded within the last hour, by all; at most 100,000 are counted.';
