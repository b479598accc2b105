-- Disputes of payments: the payer's bank asks for the money back, and the credit that is left is taken meanwhile.

create table topup.payment_dispute (
    tenant_id           uuid not null,
    environment         topup.environment not null,
    dispute_id          uuid not null,
    payment_id          uuid not null,
    provider_dispute_id text not null,
    -- What the payer wants back, in the payment's currency.
    amount              numeric not null check (amount > 0),
    reason              text,
    -- inquiry: the bank asks and has taken no money.
    status              text not null check (status in ('inquiry', 'open', 'won', 'lost')),
    -- The status that the ledger and the tenant know of; null until the payment has succeeded.
    told                text check (told in ('inquiry', 'open', 'won', 'lost')),
    -- What of the credit was taken, by which of the ledger's transactions, and what of that was given back.
    taken               numeric not null default 0 check (taken >= 0),
    taken_by            uuid[] not null default '{}',
    returned            numeric not null default 0 check (returned between 0 and taken),
    created_at          timestamptz not null default clock_timestamp(),
    ended_at            timestamptz,
    primary key (tenant_id, environment, dispute_id),
    unique (tenant_id, environment, payment_id, provider_dispute_id),
    foreign key (tenant_id, environment, payment_id) references topup.payment,
    check ((taken > 0) = (cardinality(taken_by) > 0)),
    check (returned = 0 or told = 'won'),
    check ((status in ('won', 'lost')) = (ended_at is not null))
);
comment on table topup.payment_dispute is
    'A dispute (dp_…) of a payment. Credit that was used already stays used: taken says how much was still there.';

select pg_extension_config_dump('topup.payment_dispute', '');
