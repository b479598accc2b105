-- topup.check(): every invariant, and what disagrees with it.

create function topup.check(out invariant text, out holds boolean, out detail text) returns setof record
    language sql stable parallel safe security definer set search_path = pg_catalog, pg_temp as $$
    with known (position, invariant) as (
        select position, invariant from unnest(array[
            'transactions balance', 'entries, transactions and accounts belong together',
            'accounts are the ones they are derived to be', 'every environment has its accounts',
            'balances are the sums of their entries', 'entries of an account follow one another',
            'times of an account never fall', 'no balance is below its limit', 'amounts are not finer than their asset',
            'credit from outside is remembered', 'top-ups have the postings of their state',
            'top-ups cost what their discount says', 'top-ups belong to a key of their environment',
            'key usage is the sum of standing top-ups', 'deliveries are pending exactly while they are queued',
            'deliveries have their event, endpoint and attempts', 'live endpoints have a secret',
            'events in the outbox have their body and endpoints',
            'environments know their webhooks', 'entries and balances are such as there can be',
            'top-ups and deliveries are such as there can be',
            'grants have left what their uses leave', 'grants have their credit in the journal',
            'grants burn while they last', 'grants burn no more than was posted', 'debits are given back once',
            'accounts cover their grants', 'accounts know when they change next', 'what is held is in grants and holds',
            'holds have the postings of their state', 'holds are known to the journal', 'refunds belong to their charge',
            'rates belong to an asset', 'accounts hold an asset that there is', 'usage is booked as it was priced',
            'events are priced exactly when they have fees', 'fees belong to their event, payer and version', 'meters are the sums of what was metered',
            'subscriptions have one version of a product at a time', 'subscriptions are due when their items are',
            'subscriptions account for their transactions', 'payments are credited exactly when they succeeded',
            'credit is what was paid for it', 'payments have a card, payer and account of their own',
            'a payer has one card', 'watched accounts have an auto top-up that may fire',
            'auto top-ups that do not watch wait for something', 'auto top-ups belong to their account',
            'no more is refunded than was paid', 'refunds of payments have their postings',
            'disputes of payments have their postings', 'disputes take what their payment bought',
            'rows that others refer to are there', 'tiers and platforms are there', 'triggers guard the ledger'])
            with ordinality as i (invariant, position)),
    fault as (
        select f.invariant, f.what from topup.ledger_fault f
        union all
        select f.invariant, f.what from topup.time_fault f
        union all
        select f.invariant, f.what from topup.top_up_fault f
        union all
        select f.invariant, f.what from topup.grant_fault f
        union all
        select f.invariant, f.what from topup.hold_fault f
        union all
        select f.invariant, f.what from topup.asset_fault f
        union all
        select f.invariant, f.what from topup.billing_fault f
        union all
        select f.invariant, f.what from topup.payment_fault f
        union all
        select f.invariant, f.what from topup.auto_top_up_fault f
        union all
        select f.invariant, f.what from topup.payment_refund_fault f
        union all
        select f.invariant, f.what from topup.payment_dispute_fault f
        union all
        select f.invariant, f.what from topup.restore_fault f)
    -- A fault of an invariant that is not listed above is reported all the same, after the others.
    select coalesce(k.invariant, f.invariant, 'unnamed'), count(f.what) = 0,
           case when count(f.what) > 0
                then format('%s at fault: %s', count(f.what), (array_agg(f.what order by f.what))[1]) end
      from known k full join fault f on f.invariant = k.invariant
     group by k.position, coalesce(k.invariant, f.invariant, 'unnamed') order by k.position
$$;

comment on function topup.check is
    'The audit: one row for each invariant of the ledger, with what disagrees. Reads everything; run it on a standby when the ledger is large.';
