-- Refunds of payments: money that goes back to the payer, and the credit that is taken back for it.

create table topup.payment_refund (
    tenant_id       uuid not null,
    environment     topup.environment not null,
    refund_id       uuid not null,
    payment_id      uuid not null,
    -- What goes back, in the payment's currency, and what that had bought.
    amount          numeric not null check (amount > 0),
    credit          numeric not null check (credit >= 0),
    -- What of that was still there, and is taken back.
    recovered       numeric not null check (recovered between 0 and credit),
    -- api: wanted here, and sent back by the provider. provider: made there, and told.
    origin          text not null check (origin in ('api', 'provider')),
    status          text not null check (status in ('pending', 'succeeded', 'failed')),
    description     text,
    failure_code    text,
    failure_message text,
    -- The ledger's transactions that took the credit back, and that gave it back when the provider refused.
    transaction_id  uuid,
    reversal_id     uuid,
    created_at      timestamptz not null default clock_timestamp(),
    ended_at        timestamptz,
    due_at          timestamptz,
    fence           bigint not null default 0,
    attempts        integer not null default 0,
    first_claimed_at timestamptz,
    primary key (tenant_id, environment, refund_id),
    foreign key (tenant_id, environment, payment_id) references topup.payment,
    check ((recovered > 0) = (transaction_id is not null)),
    check ((reversal_id is not null) = (status = 'failed' and transaction_id is not null)),
    check ((status = 'pending') = (ended_at is null)),
    check ((status = 'pending') = (due_at is not null))
) with (fillfactor = 80);
create index payment_refund_of_payment on topup.payment_refund (tenant_id, environment, payment_id);
create index payment_refund_due on topup.payment_refund (due_at) where due_at is not null;
comment on table topup.payment_refund is
    'A refund (re_…) of part or all of a payment. Credit that was used already stays used: recovered says how much came back.';

select pg_extension_config_dump('topup.payment_refund', '');
