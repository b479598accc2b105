-- :customers customers of the first wallet's tenant, subscribed to a product that prices each event by its volume.
select set_config('bench.customers', :'customers', false) \g /dev/null
create table bench.customer (n int primary key, id text not null);
do $$
declare
    customer text;
begin
    perform bench.be(1);
    perform bench.accept(topup.product_create('Chat', 'chat', publish => true, prices => '[
        {"name": "Input", "type": "usage_based", "billing_model": {"type": "real_time"},
         "usage_calculation": {"event_type": "chat", "usage_type": "volume", "volume_field": "tokens"},
         "pricing": [{"asset": "USD", "values": [{"volume_rate": 1.25, "package_size": 1000000}]}]}]'));
    for n in 1 .. current_setting('bench.customers')::int loop
        customer := bench.accept(topup.customer_create('Customer ' || n, external_id => 'c' || n)) -> 'data' ->> 'id';
        perform bench.accept(topup.subscription_create(customer, '[{"code": "chat"}]', starts_at => '2026-01-01Z'));
        insert into bench.customer values (n, customer);
    end loop;
end
$$;

-- A batch whose events have ids of their own; what is not said here is the same each time.
create function bench.batch(events int, name text) returns jsonb language sql immutable as $$
    select jsonb_agg(jsonb_build_object('id', name || n, 'event_type', 'chat', 'occurred_at', '2026-01-05T00:00:00Z',
                                        'data', jsonb_build_object('tokens', 100 + n, 'model', 'opus')))
      from generate_series(1, events) n
$$;
