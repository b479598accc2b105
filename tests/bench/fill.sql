-- A ledger of :sends sends of one dollar by the first wallet to 100 customers in turn, told to an endpoint and
-- delivered, as the real ones before it: each customer has received one by topup.send() already.
create unlogged table bench.fill as
with start as (
    select (select w.tenant_id from bench.wallet w where n = 1) as tenant, clock_timestamp() as at),
first as (
    select topup.parse_id('acct', s.tenant) as tenant_id, s.at, floor(extract(epoch from s.at) * 1000)::bigint as ms,
           e.wallet_id, b.version, b.balance
      from start s
      join topup.tenant_environment e on e.tenant_id = topup.parse_id('acct', s.tenant) and e.environment = 'staging'
      join topup.balance b on b.tenant_id = e.tenant_id and b.account_id = e.wallet_id),
receiver as (
    select row_number() over (order by c.customer_id) as k, c.email, b.account_id, b.version, b.balance
      from first f
      join topup.customer c on c.tenant_id = f.tenant_id and c.environment = 'staging'
      join topup.account a on a.tenant_id = c.tenant_id and a.environment = c.environment and a.customer_id = c.customer_id
      join topup.balance b on b.tenant_id = a.tenant_id and b.account_id = a.account_id)
select f.tenant_id, f.wallet_id, f.at + n * interval '1 microsecond' as at,
       -- UUIDv7, in the order of n.
       (lpad(to_hex(f.ms + n / 1000), 12, '0') || '7' || lpad(to_hex(n % 1000), 3, '0') || '8000'
           || lpad(to_hex(n), 12, '0'))::uuid as id,
       f.version + n as version, f.balance - n as balance,
       r.email, r.account_id, r.version + (n - 1) / 100 + 1 as received_version, r.balance + (n - 1) / 100 + 1 as received
  from first f, generate_series(1, :sends) n join receiver r on r.k = (n - 1) % 100 + 1
 order by n;

insert into topup.transaction (tenant_id, transaction_id, environment, kind, top_up_id, created_at)
select tenant_id, id, 'staging', 'send', id, at from bench.fill;
insert into topup.entry (tenant_id, transaction_id, account_id, amount, account_version, balance_after)
select tenant_id, id, wallet_id, -1, version, balance from bench.fill
union all
select tenant_id, id, account_id, 1, received_version, received from bench.fill;
insert into topup.top_up (tenant_id, environment, transaction_id, key_id, status, platform, amount_cents, cost_cents,
                          discount_bps, recipient_email, voucher_code, account_id, created_at, ended_at)
select tenant_id, 'staging', id, (select topup.parse_id('key', key_id) from bench.wallet where n = 1), 'delivered', 'claude',
       100, 100, 0, email, 'ATU-' || upper(substr(md5(id::text), 1, 16)), account_id, at, at from bench.fill;
insert into topup.key_usage as u (tenant_id, key_id, day, cost_cents, list_cents)
select tenant_id, (select topup.parse_id('key', key_id) from bench.wallet where n = 1), (at at time zone 'UTC')::date,
       count(*) * 100, count(*) * 100 from bench.fill group by 1, 2, 3
on conflict (tenant_id, key_id, day) do update
   set cost_cents = u.cost_cents + excluded.cost_cents, list_cents = u.list_cents + excluded.list_cents;
update topup.balance b set balance = f.balance, version = f.version, posted_at = f.at
  from (select distinct on (wallet_id) * from bench.fill order by wallet_id, version desc) f
 where b.tenant_id = f.tenant_id and b.account_id = f.wallet_id;
update topup.balance b set balance = f.received, version = f.received_version, posted_at = f.at
  from (select distinct on (account_id) * from bench.fill order by account_id, received_version desc) f
 where b.tenant_id = f.tenant_id and b.account_id = f.account_id;

insert into topup.event (tenant_id, environment, event_id, type, transaction_id, body, created_at)
select tenant_id, 'staging', id, 'topup.delivered', id, repeat('x', 480), at from bench.fill;
insert into topup.delivery (tenant_id, environment, delivery_id, event_id, endpoint_id, status, attempts, created_at)
select f.tenant_id, 'staging', f.id, f.id, w.endpoint_id, 'succeeded', 1, f.at
  from bench.fill f join topup.webhook_endpoint w on w.tenant_id = f.tenant_id;
insert into topup.attempt (tenant_id, delivery_id, fence, number, started_at, duration_ms, http_status, response)
select tenant_id, id, 1, 1, at, 1, 204, '' from bench.fill;

-- What the questions are about: some sends, and the beginning of the last twenty entries of a customer.
create table bench.sent as
    select row_number() over () as n, id from (
        select topup.format_id('txn', id) as id from bench.fill order by random() limit 1000) f;
alter table bench.sent add primary key (n);
create table bench.page as
    select topup.format_id('cust', a.customer_id) as customer_id, a.name || ':' || a.asset as account_id, f.at
      from topup.account a
     cross join lateral (select at from bench.fill f where f.account_id = a.account_id
                          order by received_version desc offset 19 limit 1) f
     where a.name = 'claude' order by a.account_id limit 1;
drop table bench.fill;
vacuum analyze;
