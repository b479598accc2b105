-- The ledger: accounts, the journal of balanced transactions, and the running balances of wallets.
-- extension/src/ledger is the only writer. The journal is the truth; topup.check() recomputes the rest.

-- wallet: the tenant's own. customer: one of its customers'. All others are system accounts, which keep
-- no running balance, so that no two transactions wait for one row: their totals are sums of entries.
create table topup.account (
    tenant_id   uuid not null,
    account_id  uuid not null,
    environment topup.environment not null,
    kind        text not null check (kind in ('wallet', 'customer', 'cash', 'revenue', 'discount', 'voucher',
                                              'pending', 'breakage', 'adjustment', 'conversion', 'held')),
    customer_id uuid,
    name        text not null,
    asset       text not null,
    created_at  timestamptz not null default now(),
    primary key (tenant_id, account_id),
    foreign key (tenant_id, environment) references topup.tenant_environment,
    check ((kind = 'customer') = (customer_id is not null))
);
create index account_of_customer on topup.account (tenant_id, environment, customer_id) where customer_id is not null;
comment on table topup.account is
    'A place where value of one asset can be. Its id is derived from its owner, name and asset, so that it is never looked up.';

-- Narrow, and nothing indexed changes with the balance: updates stay on the page (HOT).
create table topup.balance (
    tenant_id             uuid not null,
    account_id            uuid not null,
    balance               numeric not null default 0,
    version               bigint not null default 0,
    credit_limit          numeric not null default 0,
    low_balance_threshold numeric,
    -- Below this an auto top-up begins. null: there is none, or it waits for something.
    auto_top_up_below     numeric,
    -- No later than the next change that time alone brings: a grant that begins or expires, a hold that ends.
    -- infinity: there are only grants without an end. null: there are no open grants and no open holds.
    next_due_at           timestamptz,
    -- The time of its last entry, which the next one is not before, even where the clock was set back. null: there is none.
    posted_at             timestamptz,
    primary key (tenant_id, account_id),
    foreign key (tenant_id, account_id) references topup.account
) with (fillfactor = 50);
create index balance_due on topup.balance (next_due_at) where next_due_at is not null;
comment on table topup.balance is
    'The running balance of a wallet or customer account in major units of its asset; version counts its entries.';

-- The journal carries no foreign keys to what many transactions share: each would lock a shared row on
-- every send. Nor do the tables that every send writes carry checks, which Postgres reads and compiles anew for each
-- statement. There is one writer, and topup.check() proves what both would.
create table topup.transaction (
    tenant_id      uuid not null,
    transaction_id uuid not null,
    environment    topup.environment not null,
    kind           text not null,
    -- The top-up that this transaction sends, cancels, fails, delivers or redeems.
    top_up_id      uuid,
    -- The caller's own id, where the operation takes one (fund, adjust, charge, refund, hold).
    reference      text,
    detail         jsonb,
    created_at     timestamptz not null default clock_timestamp(),
    primary key (tenant_id, transaction_id)
);
create index transaction_of_top_up on topup.transaction (tenant_id, top_up_id)
    where top_up_id is not null and top_up_id <> transaction_id;
-- A credit from outside is there once, whatever else fails.
create unique index transaction_reference on topup.transaction (tenant_id, environment, kind, reference)
    where reference is not null;
comment on table topup.transaction is 'A balanced set of entries and why it was written. Never updated, never deleted.';

create table topup.entry (
    tenant_id       uuid not null,
    transaction_id  uuid not null,
    account_id      uuid not null,
    amount          numeric not null,
    account_version bigint,
    balance_after   numeric,
    primary key (tenant_id, transaction_id, account_id)
);
create unique index entry_of_account on topup.entry (tenant_id, account_id, account_version)
    where account_version is not null;
comment on table topup.entry is
    'One posting: amount in major units of the account''s asset, positive when the account gains. '
    'Wallet and customer accounts also carry the version and balance after it. Never updated, never deleted.';

create function topup.refuse_change() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'the ledger is append-only: % on topup.% is refused', tg_op, tg_table_name
        using errcode = 'integrity_constraint_violation',
              hint = 'Correct a mistake with a new transaction, for example topup.adjust().';
end
$$;
create trigger refuse_change before update or delete on topup.entry
    for each row execute function topup.refuse_change();
create trigger refuse_truncate before truncate on topup.entry
    for each statement execute function topup.refuse_change();
create trigger refuse_change before update or delete on topup.transaction
    for each row execute function topup.refuse_change();
create trigger refuse_truncate before truncate on topup.transaction
    for each statement execute function topup.refuse_change();

select pg_extension_config_dump('topup.account', '');
select pg_extension_config_dump('topup.balance', '');
select pg_extension_config_dump('topup.transaction', '');
select pg_extension_config_dump('topup.entry', '');

comment on function topup.refuse_change is 'Keeps the ledger append-only.';
