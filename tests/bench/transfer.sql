-- The yardstick of a ledger: a transfer in PL/pgSQL of the usual kind. Account rows are locked in order of their
-- ids, one transfer and two entries are written, both balances kept; ids are text, amounts numeric.
create schema ledger;
create sequence ledger.id;
-- Text ids that rise with time, as those of such ledgers do.
create function ledger.new_id(prefix text) returns text language sql volatile as $$
    select prefix || '_' || lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
           || lpad(to_hex(nextval('ledger.id')), 8, '0') || substr(md5(random()::text), 1, 8)
$$;

create table ledger.account (
    id            text primary key,
    name          text not null,
    currency      text not null,
    balance       numeric not null default 0,
    version       bigint not null default 0,
    allow_negative boolean not null default true,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);
create table ledger.transfer (
    id              text primary key default ledger.new_id('trf'),
    from_account_id text not null references ledger.account,
    to_account_id   text not null references ledger.account,
    amount          numeric not null check (amount > 0),
    created_at      timestamptz not null default now(),
    check (from_account_id <> to_account_id)
);
create index on ledger.transfer (from_account_id);
create index on ledger.transfer (to_account_id);
create table ledger.entry (
    id               text primary key default ledger.new_id('ent'),
    account_id       text not null references ledger.account,
    transfer_id      text not null references ledger.transfer,
    amount           numeric not null,
    previous_balance numeric not null,
    current_balance  numeric not null,
    account_version  bigint not null,
    created_at       timestamptz not null default now()
);
create index on ledger.entry (account_id);
create index on ledger.entry (transfer_id);

create function ledger.move(account_id text, transfer_id text, amount numeric) returns void language plpgsql as $$
#variable_conflict use_variable
declare
    a ledger.account;
begin
    update ledger.account t set balance = t.balance + amount, version = t.version + 1, updated_at = now()
     where t.id = account_id returning * into strict a;
    if a.balance < 0 and not a.allow_negative then
        raise exception 'account % would fall below zero', account_id;
    end if;
    insert into ledger.entry (account_id, transfer_id, amount, previous_balance, current_balance, account_version)
    values (account_id, transfer_id, amount, a.balance - amount, a.balance, a.version);
end
$$;

create function ledger.transfer(from_id text, to_id text, amount numeric) returns text language plpgsql as $$
#variable_conflict use_variable
declare
    currencies int;
    transfer_id text;
begin
    perform from ledger.account where id in (from_id, to_id) order by id for update;
    select count(distinct currency) into currencies from ledger.account where id in (from_id, to_id);
    if currencies <> 1 then
        raise exception 'both accounts must hold one currency';
    end if;
    insert into ledger.transfer (from_account_id, to_account_id, amount) values (from_id, to_id, amount)
    returning id into transfer_id;
    perform ledger.move(from_id, transfer_id, -amount);
    perform ledger.move(to_id, transfer_id, amount);
    return transfer_id;
end
$$;
insert into ledger.account (id, name, currency)
    select 'acc_' || lpad(n::text, 26, '0'), 'Account ' || n, 'USD' from generate_series(1, :wallets) n;
vacuum analyze;
