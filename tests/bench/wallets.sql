-- The extension, and :wallets wallets with 20 million dollars of play money each. The key of the n-th is
-- ak_staging_0…0bench<n>, as long as a real one, so that a script can name it without looking it up.
create extension pg_topup;
set topup.staging_credit_cents = 2000000000;
create schema bench;

create table bench.wallet (n int primary key, tenant_id text not null, key_id text not null);
create temporary table tenant as
    select n, topup.create_tenant('Tenant ' || n) as tenant_id from generate_series(1, :wallets) n;
insert into bench.wallet
    select n, tenant_id, k.key_id from tenant cross join lateral topup.mint_key(tenant_id, 'staging') k;
update topup.key k set secret_hash = topup.hash_api_key('ak_staging_000000000000000000000000000bench' || w.n)
  from bench.wallet w where k.key_id = topup.parse_id('key', w.key_id);

-- From now on the session speaks for the n-th wallet.
create function bench.be(n int) returns text language sql as
    $$select set_config('topup.api_key', 'ak_staging_000000000000000000000000000bench' || n, false)$$;

-- A reply, or an error where it is a refusal: a benchmark of refusals would be fast and worthless.
create function bench.accept(reply jsonb) returns jsonb language plpgsql as $$
begin
    if reply ->> 'success' <> 'true' then
        raise exception 'refused: %', reply;
    end if;
    return reply;
end
$$;
vacuum analyze;
