-- Webhooks: who wants to be told (endpoint, secret), what is to be told (outbox), what happened (event), each telling
-- (delivery) with every try (attempt), and the queue of work that must be done outside the database (effect).

create table topup.webhook_endpoint (
    tenant_id        uuid not null,
    environment      topup.environment not null,
    endpoint_id      uuid not null,
    url              text not null,
    -- null: every type.
    events           text[],
    description      text,
    retry_schedule_s integer[] not null default '{0,5,30}',
    created_at       timestamptz not null default clock_timestamp(),
    disabled_at      timestamptz,
    disabled_reason  text,
    -- When it was last switched on again: what happened before is skipped, seen by a worker or not.
    enabled_at       timestamptz,
    deleted_at       timestamptz,
    -- Who registered it, and whether that key saw the voucher codes of what others send.
    key_id           uuid,
    sees_vouchers    boolean not null default true,
    primary key (tenant_id, environment, endpoint_id),
    foreign key (tenant_id, environment) references topup.tenant_environment
);
create index webhook_endpoint_on on topup.webhook_endpoint (tenant_id, environment)
    where deleted_at is null and disabled_at is null;
comment on table topup.webhook_endpoint is
    'A URL that is told about events. retry_schedule_s: seconds after the first attempt at which each attempt is due.';

create function topup.webhooks_of(tenant_id uuid, environment topup.environment) returns text
    language sql stable set search_path = pg_catalog, pg_temp as $$
    select json_agg(json_build_object('endpoint_id', w.endpoint_id, 'types', w.events,
                                      'off_since_s', floor(extract(epoch from w.disabled_at))::bigint)
                    order by w.endpoint_id)::text
      from topup.webhook_endpoint w
     where w.tenant_id = webhooks_of.tenant_id and w.environment = webhooks_of.environment and w.deleted_at is null
$$;

-- The lock comes first, and the endpoints are read by a statement of their own: of two changes at once, the second sees both.
create function topup.keep_webhooks() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    changed topup.webhook_endpoint := coalesce(new, old);
begin
    perform from topup.tenant_environment e
      where e.tenant_id = changed.tenant_id and e.environment = changed.environment for no key update;
    update topup.tenant_environment e set webhooks = topup.webhooks_of(changed.tenant_id, changed.environment)
     where e.tenant_id = changed.tenant_id and e.environment = changed.environment;
    return null;
end
$$;
create trigger keep_webhooks after insert or update or delete on topup.webhook_endpoint
    for each row execute function topup.keep_webhooks();

-- The secret itself is kept, since it signs; no role reads this table, and it leaves only as a signature.
create table topup.webhook_secret (
    tenant_id   uuid not null,
    endpoint_id uuid not null,
    secret_id   uuid not null,
    secret      text not null,
    -- null: the current one. Otherwise it goes on signing until then.
    expires_at  timestamptz,
    primary key (tenant_id, endpoint_id, secret_id)
);
comment on table topup.webhook_secret is 'The signing secrets of an endpoint: the current one, and those of a rotation until their overlap ends.';

-- What a transaction has to tell is one row here. The worker's next claim fans it out into the event, its deliveries and their
-- effects, in one transaction: an event is either here or there.
create table topup.outbox (
    tenant_id         uuid not null,
    environment       topup.environment not null,
    event_id          uuid not null,
    type              text not null,
    transaction_id    uuid,
    -- null: a send's. It is made as the event is fanned out, of the top-up and the balance that it left.
    body              text,
    new_balance_cents bigint,
    created_at        timestamptz not null,
    -- Who is told.
    endpoint_ids      uuid[] not null,
    primary key (tenant_id, environment, event_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
comment on table topup.outbox is 'Events that the worker has not seen yet, with the endpoints that are to be told.';

create table topup.event (
    tenant_id      uuid not null,
    environment    topup.environment not null,
    event_id       uuid not null,
    type           text not null,
    transaction_id uuid,
    body           text not null,
    created_at     timestamptz not null default clock_timestamp(),
    primary key (tenant_id, environment, event_id)
);
comment on table topup.event is 'What endpoints are told: the exact bytes of the body. Written only where an endpoint wants the type.';

create table topup.delivery (
    tenant_id   uuid not null,
    environment topup.environment not null,
    delivery_id uuid not null,
    event_id    uuid not null,
    endpoint_id uuid not null,
    -- pending, succeeded, failed, or skipped: its endpoint was off.
    status      text not null default 'pending',
    attempts    integer not null default 0,
    created_at  timestamptz not null default clock_timestamp(),
    primary key (tenant_id, environment, delivery_id)
) with (fillfactor = 80);
create index delivery_of_endpoint on topup.delivery (tenant_id, environment, endpoint_id, delivery_id);
comment on table topup.delivery is 'An event on its way to one endpoint.';

create table topup.attempt (
    tenant_id   uuid not null,
    delivery_id uuid not null,
    -- That of the claim, so that an attempt is logged once however often it is told.
    fence       bigint not null,
    number      integer not null,
    started_at  timestamptz not null,
    duration_ms integer not null,
    http_status integer,
    error       text,
    response    text,
    primary key (tenant_id, delivery_id, fence)
);
comment on table topup.attempt is 'One try of a delivery: when, how long, what the receiver said (its first 1 KiB) or what went wrong.';

-- The queue. A row comes with its delivery, out of the outbox or by a replay, is leased by raising due_at, and
-- deleted when the work is settled; fence rises with each claim, so that a lease that was lost settles nothing.
create table topup.effect (
    tenant_id         uuid not null,
    effect_id         uuid not null,
    environment       topup.environment not null,
    -- webhook, or ping: whoever asked for that waits for its end.
    kind              text not null,
    -- Work of one lane is limited together: an endpoint's.
    lane              uuid not null,
    due_at            timestamptz not null,
    leased            boolean not null default false,
    -- Starts from the clock, so that an effect written anew after its end never repeats a fence.
    fence             bigint not null default (extract(epoch from clock_timestamp()) * 1000000)::bigint,
    failures          integer not null default 0,
    first_attempt_at  timestamptz,
    retry_schedule_s  integer[] not null,
    primary key (tenant_id, effect_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
-- The only way to the queue: lane by lane. An index by time alone would lead the planner through all that
-- one slow endpoint has waiting.
create index effect_lane on topup.effect (lane, due_at);
comment on table topup.effect is 'Open work outside the database. For a webhook, effect_id is the delivery''s.';

-- That of an event in the outbox.
create function topup.body_of(
    tenant_id uuid, environment topup.environment, event_id uuid, type text, transaction_id uuid, body text,
    new_balance_cents bigint, created_at timestamptz)
    returns table (body text)
    language sql stable
begin atomic
    select coalesce(body_of.body, (
        select topup.send_body(
                   body_of.event_id, body_of.type, body_of.created_at, body_of.environment::text, body_of.transaction_id,
                   t.voucher_code, t.platform, t.amount_cents, body_of.new_balance_cents, t.cost_cents, t.discount_bps,
                   t.recipient_email)
          from topup.top_up t
         where t.tenant_id = body_of.tenant_id and t.environment = body_of.environment
           and t.transaction_id = body_of.transaction_id));
end;

-- What an endpoint is told of an event: a voucher's code only where the key that registered it may see it. In a body, only the
-- code stands after that name without a backslash between them.
create function topup.body_for(
    tenant_id uuid, environment topup.environment, endpoint_id uuid, type text, transaction_id uuid, body text)
    returns text
    language sql stable
begin atomic
    select case
               when body_for.type <> 'topup.delivered' or (
                    select w.sees_vouchers or w.key_id = (
                           select t.key_id from topup.top_up t
                            where t.tenant_id = body_for.tenant_id and t.environment = body_for.environment
                              and t.transaction_id = body_for.transaction_id)
                      from topup.webhook_endpoint w
                     where w.tenant_id = body_for.tenant_id and w.environment = body_for.environment
                       and w.endpoint_id = body_for.endpoint_id)
               then body_for.body
               else regexp_replace(body_for.body, '"voucher_code":"(\\.|[^"\\])*"', '"voucher_code":null')
           end;
end;

-- A ping is tried once.
create function topup.deliveries_of(
    tenant_id uuid, environment topup.environment, event_id uuid, type text, created_at timestamptz, endpoint_ids uuid[])
    returns table (delivery_id uuid, endpoint_id uuid, retry_schedule_s integer[], due_at timestamptz, is_off boolean)
    language sql stable
begin atomic
    select d.delivery_id, d.endpoint_id, r.retry_schedule_s,
           deliveries_of.created_at + make_interval(secs => coalesce(r.retry_schedule_s[1], 0)),
           exists (select from topup.webhook_endpoint w
                    where w.tenant_id = deliveries_of.tenant_id and w.environment = deliveries_of.environment
                      and w.endpoint_id = d.endpoint_id
                      and (w.disabled_at is not null or w.enabled_at > deliveries_of.created_at))
      from unnest(topup.delivery_ids(deliveries_of.event_id, cardinality(deliveries_of.endpoint_ids)),
                  deliveries_of.endpoint_ids) as d (delivery_id, endpoint_id)
     cross join lateral (
           select case when deliveries_of.type = 'ping' then '{0}' else coalesce(
                      (select nullif(w.retry_schedule_s, '{}') from topup.webhook_endpoint w
                        where w.tenant_id = deliveries_of.tenant_id and w.environment = deliveries_of.environment
                          and w.endpoint_id = d.endpoint_id), '{0}') end as retry_schedule_s) r;
end;

-- A worker that found nothing to do says so here, and only then do transactions notify: NOTIFY takes a
-- lock that all commits share. Unlogged, since a lost row costs no more than one round of polling.
create unlogged table topup.sleeper (
    worker_id   uuid primary key,
    sleeps_until timestamptz not null
);
comment on table topup.sleeper is 'Workers that wait for a notification on channel topup_effects.';

select pg_extension_config_dump('topup.webhook_endpoint', '');
select pg_extension_config_dump('topup.webhook_secret', '');
select pg_extension_config_dump('topup.outbox', '');
select pg_extension_config_dump('topup.event', '');
select pg_extension_config_dump('topup.delivery', '');
select pg_extension_config_dump('topup.attempt', '');
select pg_extension_config_dump('topup.effect', '');

comment on function topup.webhooks_of is 'The endpoints of an environment, as it keeps them.';
comment on function topup.body_of is 'What endpoints are told of an event of the outbox.';
comment on function topup.body_for is 'What one endpoint is told of an event: the body, without a voucher code that is not for it.';
comment on function topup.deliveries_of is 'The deliveries of an event of the outbox, as they will be.';
comment on function topup.keep_webhooks is 'Keeps with an environment which endpoints it has, and since when they are off.';
