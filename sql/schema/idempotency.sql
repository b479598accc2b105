-- The replies that are kept, so that a repeated request is done once.

create table topup.idempotency (
    tenant_id    uuid not null,
    environment  topup.environment not null,
    -- key: the caller's Idempotency-Key. The others: the caller's transaction_id of that operation; a charge's is
    -- among the adjustments'.
    namespace    text not null check (namespace in ('key', 'fund', 'adjust', 'refund', 'hold')),
    key          text not null,
    request_hash bytea not null,
    http_status  smallint not null,
    reply        text not null,
    -- null: for good.
    expires_at   timestamptz,
    -- The API key that asked. null: an administrator.
    key_id       uuid,
    primary key (tenant_id, environment, namespace, key)
);
create index idempotency_expires on topup.idempotency (expires_at) where expires_at is not null;
comment on table topup.idempotency is 'The first reply to a request under its key, given again byte for byte when the same request comes again.';

select pg_extension_config_dump('topup.idempotency', '');
