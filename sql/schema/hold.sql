-- Holds: credit set aside before it is known what a call costs, and what became of it.

create table topup.hold (
    tenant_id          uuid not null,
    environment        topup.environment not null,
    hold_id            uuid not null,
    account_id         uuid not null,
    -- The ledger transaction that set the amount aside, and the one that ended it.
    transaction_id     uuid not null,
    end_transaction_id uuid,
    status             text not null default 'open' check (status in ('open', 'settled', 'released', 'expired')),
    amount             numeric not null check (amount > 0),
    -- What was really used; more than the amount where that was allowed.
    settled_amount     numeric check (settled_amount >= 0),
    -- The client's own id, where it gave one.
    reference          text,
    description        text,
    metadata           jsonb,
    expires_at         timestamptz not null,
    created_at         timestamptz not null,
    ended_at           timestamptz,
    is_open            boolean not null generated always as (status = 'open') stored,
    primary key (tenant_id, environment, hold_id),
    foreign key (tenant_id, account_id) references topup.account,
    check ((status = 'settled') = (settled_amount is not null)),
    check ((status = 'open') = (ended_at is null)),
    check ((status = 'open') = (end_transaction_id is null))
) with (fillfactor = 80);
create index hold_open on topup.hold (tenant_id, account_id, expires_at) include (amount) where is_open;
-- A client's own id is one hold's, for good.
create unique index hold_reference on topup.hold (tenant_id, environment, reference) where reference is not null;
comment on table topup.hold is
    'Credit reserved (hold_…), in major units of its account''s asset. An open one whose expires_at has come is over, swept or not.';

select pg_extension_config_dump('topup.hold', '');
