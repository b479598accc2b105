-- How statements are planned, and how long functions wait. Nothing here changes what they return.

-- What is written in Rust plans its own statements (extension/src/pg/planner.rs); these plan theirs alike: by indexes and row by
-- row, whatever Postgres found when it looked.
do $$
declare
    planned text;
    setting text;
begin
    foreach planned in array array['renew_due', 'version_before', 'balance_at_version', 'account_lines'] loop
        foreach setting in array array['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin'] loop
            execute format('alter function topup.%I set %I = off', planned, setting);
        end loop;
    end loop;
end
$$;
-- What all tenants share must not wait for one's open transaction. What is locked is skipped where it can be; this is for the rest.
alter function topup.claim_effects set lock_timeout = '250ms';
alter function topup.settle_effects set lock_timeout = '250ms';
alter function topup.run_due set lock_timeout = '250ms';
alter function topup.settle_payments set lock_timeout = '250ms';
alter function topup.report_payment set lock_timeout = '250ms';
-- Most rows may be one tenant's: its id alone must never look like a good key.
alter table topup.transaction alter column tenant_id set (n_distinct = 10);
alter table topup.entry alter column tenant_id set (n_distinct = 10);
alter table topup.top_up alter column tenant_id set (n_distinct = 10);
alter table topup.idempotency alter column tenant_id set (n_distinct = 10);
alter table topup.outbox alter column tenant_id set (n_distinct = 10);
alter table topup.event alter column tenant_id set (n_distinct = 10);
alter table topup.delivery alter column tenant_id set (n_distinct = 10);
alter table topup.attempt alter column tenant_id set (n_distinct = 10);
alter table topup.effect alter column tenant_id set (n_distinct = 10);
alter table topup.customer alter column tenant_id set (n_distinct = 10);
alter table topup.account alter column tenant_id set (n_distinct = 10);
alter table topup.balance alter column tenant_id set (n_distinct = 10);
alter table topup.credit_grant alter column tenant_id set (n_distinct = 10);
alter table topup.usage_event alter column tenant_id set (n_distinct = 10);
alter table topup.usage_fee alter column tenant_id set (n_distinct = 10);
-- One environment for nearly everybody: the views then go by their indexes.
alter function topup.visible rows 2;
