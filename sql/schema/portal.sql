-- The billing portal: what lets a customer in. A row is a link at first and, once that is used, a session.

create table topup.portal_session (
    tenant_id    uuid not null,
    environment  topup.environment not null,
    session_id   uuid not null,
    customer_id  uuid not null,
    -- The SHA-256 of what stands in the link's address, and of what stands in the session's cookie.
    link_hash    bytea not null check (length(link_hash) = 32),
    session_hash bytea check (length(session_hash) = 32),
    return_url   text not null,
    failure_url  text not null,
    created_at   timestamptz not null default clock_timestamp(),
    entered_at   timestamptz,
    -- When the link, or the session that nobody uses, is over; the session moves it on, up to ends_at.
    expires_at   timestamptz not null,
    ends_at      timestamptz,
    primary key (tenant_id, environment, session_id),
    foreign key (tenant_id, environment, customer_id) references topup.customer,
    check ((entered_at is null) = (session_hash is null)),
    check ((entered_at is null) = (ends_at is null)),
    check (expires_at <= coalesce(ends_at, created_at + interval '10 minutes'))
);
-- What comes from outside names a link or a session, and no tenant.
create unique index portal_session_by_link on topup.portal_session (link_hash);
create unique index portal_session_by_session on topup.portal_session (session_hash) where session_hash is not null;
create index portal_session_over on topup.portal_session (expires_at);
create index portal_session_of_customer on topup.portal_session (tenant_id, environment, customer_id);
comment on table topup.portal_session is
    'A link into the billing portal, and the session of the customer who used it. Neither token is here, only its hash. Rows go a day after their end.';

select pg_extension_config_dump('topup.portal_session', '');
