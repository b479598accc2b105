-- The yardstick of a send: a plain PL/pgSQL function that writes the same rows into like tables with the same
-- indices, for a wallet with a webhook endpoint, and checks nothing: no key, no limits, no price, no request.
create schema plain;
create table plain.balance     (like topup.balance     including defaults including indexes) with (fillfactor = 50);
create table plain.transaction (like topup.transaction including defaults including indexes);
create table plain.entry       (like topup.entry       including defaults including indexes);
create table plain.top_up      (like topup.top_up      including defaults including indexes);
create table plain.key_usage   (like topup.key_usage   including defaults including indexes) with (fillfactor = 50);
create table plain.outbox      (like topup.outbox      including defaults including indexes);

create table plain.wallet as
    select w.n, e.tenant_id, e.wallet_id, topup.parse_id('key', w.key_id) as key_id, topup.new_id() as endpoint_id,
           (select account_id from topup.account a
             where a.tenant_id = e.tenant_id and a.environment = 'staging' and a.kind = 'voucher') as voucher_id
      from bench.wallet w
      join topup.tenant_environment e on e.tenant_id = topup.parse_id('acct', w.tenant_id) and e.environment = 'staging';
alter table plain.wallet add primary key (n);
insert into plain.balance select b.* from topup.balance b join plain.wallet w on b.account_id = w.wallet_id;

create function plain.send(n int, cents bigint) returns text language plpgsql as $$
#variable_conflict use_variable
declare
    w        plain.wallet;
    send_id  uuid := topup.new_id();
    event_id uuid := topup.new_id();
    voucher  text := 'ATU-' || upper(substr(md5(send_id::text), 1, 16));
    amount   numeric := cents / 100.0;
    now      timestamptz := clock_timestamp();
    after    numeric;
    number   bigint;
    reply    text;
begin
    select * into strict w from plain.wallet p where p.n = n;
    update plain.balance b set balance = b.balance - amount, version = b.version + 1
     where b.tenant_id = w.tenant_id and b.account_id = w.wallet_id returning b.balance, b.version into after, number;
    insert into plain.transaction (tenant_id, transaction_id, environment, kind, top_up_id, created_at)
    values (w.tenant_id, send_id, 'staging', 'send', send_id, now);
    insert into plain.entry (tenant_id, transaction_id, account_id, amount, account_version, balance_after)
    values (w.tenant_id, send_id, w.wallet_id, -amount, number, after),
           (w.tenant_id, send_id, w.voucher_id, amount, null, null);
    insert into plain.top_up (tenant_id, environment, transaction_id, key_id, status, platform, amount_cents, cost_cents,
                              discount_bps, voucher_code, created_at, ended_at)
    values (w.tenant_id, 'staging', send_id, w.key_id, 'delivered', 'claude', cents, cents, 0, voucher, now, now);
    insert into plain.key_usage as u (tenant_id, key_id, day, cost_cents, list_cents)
    values (w.tenant_id, w.key_id, (now at time zone 'UTC')::date, cents, cents)
    on conflict (tenant_id, key_id, day) do update
       set cost_cents = u.cost_cents + excluded.cost_cents, list_cents = u.list_cents + excluded.list_cents;
    reply := format(
        '{"success":true,"code":1001,"transaction_id":"txn_%s","status":"delivered","timestamp":"%s","data":'
        '{"voucher_code":"%s","platform":"claude","amount_cents":%s,"new_balance_cents":%s,"cost_cents":%s,'
        '"discount_bps":0,"recipient_email":null}}', send_id, now, voucher, cents, floor(after * 100), cents);
    insert into plain.outbox (tenant_id, environment, event_id, type, transaction_id, new_balance_cents, created_at, endpoint_ids)
    values (w.tenant_id, 'staging', event_id, 'topup.delivered', send_id, floor(after * 100), now, array[w.endpoint_id]);
    return reply;
end
$$;
vacuum analyze;
