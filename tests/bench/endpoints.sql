-- A webhook endpoint at :url for each of the first :wallets wallets.
select set_config('bench.url', :'url', false), set_config('bench.wallets', :'wallets', false) \g /dev/null
set topup.allow_private_webhooks = on;
do $$
begin
    for n in 1 .. current_setting('bench.wallets')::int loop
        perform bench.be(n);
        perform bench.accept(topup.webhook_register(current_setting('bench.url')));
    end loop;
end
$$;
vacuum analyze;
