-- Auto top-ups: an account that falls below a threshold is filled from a saved card. One mechanism for the tenant's
-- own wallet and for its customers' accounts.

create table topup.auto_top_up (
    tenant_id       uuid not null,
    account_id      uuid not null,
    environment     topup.environment not null,
    -- null: the tenant's own wallet.
    customer_id     uuid,
    -- What is charged each time, in major units of the currency.
    currency        text not null,
    amount          numeric not null check (amount > 0),
    -- In major units of the account's asset.
    threshold       numeric not null check (threshold >= 0),
    -- At most so many purchases in any window of that length; null: no limit.
    max_purchases   integer check (max_purchases > 0),
    window_s        integer check (window_s > 0),
    -- Declines in a row, and what they led to.
    failures        integer not null default 0,
    not_before      timestamptz,
    disabled_reason text,
    error           text,
    last_failed_at  timestamptz,
    -- When to look whether the account may be watched again.
    due_at          timestamptz check (isfinite(due_at)),
    primary key (tenant_id, account_id),
    foreign key (tenant_id, account_id) references topup.account,
    check ((max_purchases is null) = (window_s is null)),
    check (disabled_reason is null or (due_at is null and not_before is null))
);
create index auto_top_up_due on topup.auto_top_up (due_at) where due_at is not null;
create index auto_top_up_of_payer on topup.auto_top_up (tenant_id, environment, customer_id);
comment on table topup.auto_top_up is
    'When and with how much an account is filled by itself. It is watched while topup.balance has its threshold.';

-- Never two at once for an account, whatever else fails.
create unique index payment_one_auto on topup.payment (tenant_id, account_id)
    where origin = 'auto' and status in ('initiated', 'pending');
-- How many there were in the window is asked at every look.
create index payment_auto on topup.payment (tenant_id, account_id, created_at) where origin = 'auto';

-- Written where a balance is (extension/src/ledger/entry.rs), rather than found by a trigger of topup.balance, whose condition
-- Postgres would read and compile anew for each balance that changes.
create table topup.low_account (
    tenant_id  uuid not null,
    account_id uuid not null,
    primary key (tenant_id, account_id)
);
comment on table topup.low_account is
    'Accounts that fell below the threshold of their auto top-up, until the transaction ends: others always see it empty.';

-- The one trigger that a replica does not fire (topup.guard): the card is charged where the balance fell.
-- Looks when the transaction ends: what counts is the balance that it leaves, not one in between. Whoever brings the
-- balance down does not fail for it.
create function topup.auto_top_up_when_low() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    delete from topup.low_account where tenant_id = new.tenant_id and account_id = new.account_id;
    perform topup.begin_auto_top_up(new.tenant_id, new.account_id);
    return null;
exception when others then
    raise warning 'account %: the auto top-up was not begun: %', new.account_id, sqlerrm;
    delete from topup.low_account where tenant_id = new.tenant_id and account_id = new.account_id;
    perform topup.auto_top_up_not_begun(new.tenant_id, new.account_id);
    return null;
end
$$;
create constraint trigger auto_top_up_when_low after insert on topup.low_account
    deferrable initially deferred for each row execute function topup.auto_top_up_when_low();

select pg_extension_config_dump('topup.auto_top_up', '');

comment on function topup.auto_top_up_when_low is 'Has an account that fell below its threshold looked at when the transaction ends.';
