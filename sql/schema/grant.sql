-- Credit grants: credit with an end, or with a beginning still to come, and what burned of each.
-- Plain credit has no row here. extension/src/ledger.rs and grant.rs are the only writers.

create table topup.credit_grant (
    tenant_id      uuid not null,
    account_id     uuid not null,
    grant_id       uuid not null,
    -- The ledger transaction that gave it, and the one that brought a pending one into effect.
    transaction_id uuid not null,
    activation_id  uuid,
    purpose        text not null check (purpose in ('promotional', 'bundled', 'paid')),
    priority       integer not null,
    amount         numeric not null check (amount > 0),
    -- What is neither used nor expired. An expired grant that nobody has swept yet still shows it here,
    -- and nowhere else.
    remaining      numeric not null check (remaining between 0 and amount),
    -- Not in effect yet: its credit is in the account of kind held.
    pending        boolean not null,
    effective_at   timestamptz not null,
    expires_at     timestamptz check (expires_at > effective_at),
    created_at     timestamptz not null,
    -- Changes once in a grant's life, so that burning from it stays on the page (HOT).
    is_open        boolean not null generated always as (remaining > 0) stored,
    primary key (tenant_id, account_id, grant_id),
    foreign key (tenant_id, account_id) references topup.account
) with (fillfactor = 80);
create index credit_grant_open on topup.credit_grant (tenant_id, account_id) where is_open;
comment on table topup.credit_grant is
    'Credit that expires or begins later (grant_…), in major units of its account''s asset. Burn order: purpose, priority, earliest expiry, oldest.';

create table topup.grant_use (
    tenant_id      uuid not null,
    transaction_id uuid not null,
    grant_id       uuid not null,
    account_id     uuid not null,
    used           numeric not null check (used >= 0),
    returned       numeric not null check (returned >= 0),
    primary key (tenant_id, transaction_id, grant_id),
    check (used + returned > 0)
);
comment on table topup.grant_use is
    'What a ledger transaction took from a grant (a debit, a debt that it paid, its expiry) and gave back to it. Never updated, never deleted.';

create table topup.credit_return (
    tenant_id         uuid not null,
    transaction_id    uuid not null,
    account_id        uuid not null,
    of_transaction_id uuid not null,
    amount            numeric not null check (amount > 0),
    primary key (tenant_id, transaction_id, account_id)
);
create index credit_return_of on topup.credit_return (tenant_id, of_transaction_id);
comment on table topup.credit_return is
    'So much of an earlier debit was given back by a later transaction: a refund, or the end of a hold.';

create trigger refuse_change before update or delete on topup.grant_use
    for each row execute function topup.refuse_change();
create trigger refuse_truncate before truncate on topup.grant_use
    for each statement execute function topup.refuse_change();
create trigger refuse_change before update or delete on topup.credit_return
    for each row execute function topup.refuse_change();
create trigger refuse_truncate before truncate on topup.credit_return
    for each statement execute function topup.refuse_change();

select pg_extension_config_dump('topup.credit_grant', '');
select pg_extension_config_dump('topup.grant_use', '');
select pg_extension_config_dump('topup.credit_return', '');
