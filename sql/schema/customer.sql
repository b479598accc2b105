-- Customers: those whom a tenant sends credit to, and whose wallets it keeps.

create table topup.customer (
    tenant_id         uuid not null,
    environment       topup.environment not null,
    customer_id       uuid not null,
    name              text not null check (length(name) between 1 and 320),
    -- The tenant's own id of the customer.
    external_id       text check (length(external_id) between 1 and 255),
    email             text,
    metadata          jsonb check (jsonb_typeof(metadata) = 'object'),
    external_accounts jsonb check (jsonb_typeof(external_accounts) = 'array'),
    created_at        timestamptz not null default now(),
    primary key (tenant_id, environment, customer_id),
    foreign key (tenant_id, environment) references topup.tenant_environment
);
-- Two sends to one new address make one customer. The letter case of ASCII alone does not matter: what other letters fold
-- to depends on the database's locale, and some fold to ASCII ones.
create unique index customer_email on topup.customer (tenant_id, environment, lower(email collate "C"));
create unique index customer_external_id on topup.customer (tenant_id, environment, external_id)
    where external_id is not null;
comment on table topup.customer is
    'A customer of a tenant (cust_…), found by id, by the tenant''s own id, or by e-mail address without regard to the case of ASCII letters.';

-- Says which unique value another customer has already, instead of raising: the caller's transaction goes on. What is in
-- cleared becomes null; who has no name is called by the address, the tenant's own id or the id.
create function topup.change_customer(
    tenant_id uuid, environment topup.environment, customer_id uuid, name text, external_id text, email text,
    cleared text[]) returns text
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    taken text;
begin
    update topup.customer c
       set name = coalesce(change_customer.name,
                           case when 'name' = any (cleared) or ('email' = any (cleared) and c.name = c.email) then
                               coalesce(n.email, n.external_id, topup.format_id('cust', c.customer_id)) end,
                           c.name),
           external_id = n.external_id,
           email = n.email
      from (select o.customer_id,
                   case when not 'external_id' = any (cleared)
                        then coalesce(change_customer.external_id, o.external_id) end as external_id,
                   case when not 'email' = any (cleared) then coalesce(change_customer.email, o.email) end as email
              from topup.customer o
             where o.tenant_id = tenant_id and o.environment = environment and o.customer_id = customer_id
               for no key update) n
     where c.customer_id = n.customer_id and c.tenant_id = tenant_id and c.environment = environment and c.customer_id = customer_id;
    return null;
exception when unique_violation then
    get stacked diagnostics taken = constraint_name;
    return taken;
end
$$;

select pg_extension_config_dump('topup.customer', '');

comment on function topup.change_customer is 'Changes a customer, and clears the fields of cleared; gives the name of the unique index where a value is taken.';
