-- What customers are subscribed to, and since when to which version: usage is priced by what held when it occurred.

create table topup.subscription (
    tenant_id       uuid not null,
    environment     topup.environment not null,
    subscription_id uuid not null,
    customer_id     uuid not null,
    status          text not null check (status in ('scheduled', 'active', 'action_required', 'inactive')),
    starts_at       timestamptz not null,
    -- The end of the first period, where the caller chose it.
    first_renews_at timestamptz,
    return_url      text,
    failure_url     text,
    created_at      timestamptz not null default clock_timestamp(),
    ended_at        timestamptz,
    -- When there is something to do: a start, a renewal, another try to collect.
    due_at          timestamptz,
    -- Collections that failed, one after the other.
    failures        integer not null default 0,
    -- How many times credit was moved for it, so that each move has a reference of its own.
    moves           integer not null default 0,
    primary key (tenant_id, environment, subscription_id)
);
create index subscription_of_customer on topup.subscription (tenant_id, environment, customer_id);
create index subscription_due on topup.subscription (due_at) where due_at is not null;
comment on table topup.subscription is
    'A subscription (sub_…) of a customer. action_required: a fixed price could not be collected; it is tried again.';

create table topup.subscription_product (
    tenant_id       uuid not null,
    environment     topup.environment not null,
    subscription_id uuid not null,
    product_id      uuid not null,
    version         integer not null,
    valid_from      timestamptz not null,
    valid_to        timestamptz,
    primary key (tenant_id, environment, subscription_id, product_id, valid_from),
    foreign key (tenant_id, environment, subscription_id) references topup.subscription,
    foreign key (tenant_id, environment, product_id, version) references topup.product_version,
    check (valid_to is null or valid_to >= valid_from)
);
-- The subscription is in it, so that one of many of a product is found by this index as well as by the key.
create index subscription_product_of_product on topup.subscription_product
    (tenant_id, environment, product_id, subscription_id) where valid_to is null;
comment on table topup.subscription_product is
    'Which version of a product a subscription had from when (included) to when (not included).';

-- One row for each fixed price and each entitlement of what is subscribed to.
create table topup.subscription_item (
    tenant_id       uuid not null,
    environment     topup.environment not null,
    subscription_id uuid not null,
    product_id      uuid not null,
    -- The id of a price, or the name of an entitlement.
    kind            text not null check (kind in ('price', 'entitlement')),
    item            text not null,
    -- Periods are counted from here: month ends do not drift.
    anchor          timestamptz not null,
    periods         integer not null,
    -- When it is charged or granted next; null when it never is again.
    next_at         timestamptz,
    -- The transaction that granted the latest credit.
    granted_by      uuid,
    -- Whether the version that is subscribed to has it.
    is_part         boolean not null default true,
    primary key (tenant_id, environment, subscription_id, product_id, kind, item),
    foreign key (tenant_id, environment, subscription_id) references topup.subscription
);
comment on table topup.subscription_item is
    'When a fixed price is collected next, and when an entitlement is granted next.';

-- Does for one subscription, of any tenant, what is due. What is locked comes again soon, and what is at fault
-- later, as it was: neither may hold up the others.
create function topup.renew_due() returns boolean
    language plpgsql volatile set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    due     record;
    put_off interval;
begin
    select s.tenant_id, s.environment, e.wallet_id, s.subscription_id into due
      from topup.subscription s
      join topup.tenant_environment e on e.tenant_id = s.tenant_id and e.environment = s.environment
     where s.due_at <= clock_timestamp() order by s.due_at limit 1 for update of s skip locked;
    if not found then
        return false;
    end if;
    begin
        perform topup.renew(due.tenant_id, due.environment::text, due.wallet_id, due.subscription_id);
    exception
        when lock_not_available or deadlock_detected or serialization_failure then
            put_off := '5 seconds';
        when others then
            raise warning 'subscription % was not renewed and is tried again in an hour: %',
                topup.format_id('sub', due.subscription_id), sqlerrm;
            put_off := '1 hour';
    end;
    if put_off is not null then
        update topup.subscription s set due_at = clock_timestamp() + put_off
         where s.tenant_id = due.tenant_id and s.environment = due.environment and s.subscription_id = due.subscription_id;
    end if;
    return true;
end
$$;

select pg_extension_config_dump('topup.subscription', '');
select pg_extension_config_dump('topup.subscription_product', '');
select pg_extension_config_dump('topup.subscription_item', '');

comment on function topup.renew_due is 'Does for one subscription what is due; false where nothing is.';
