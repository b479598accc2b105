-- How administrators' functions judge their arguments: each mistake is an error that names the argument, before a constraint
-- of a table would answer it with the whole row.

create function topup.refuse_argument(argument text, message text) returns void
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '%: %', argument, message using errcode = 'invalid_parameter_value';
end
$$;
comment on function topup.refuse_argument is 'Ends the statement with an error that names an argument and what is wrong with it.';

-- What was given, cut to what a message has room for.
create function topup.given(value text) returns text
    language sql immutable parallel safe
    return coalesce(quote_literal(left(value, 80)), 'null');
comment on function topup.given is 'A value as a message shows it.';

create function topup.require_id(prefix text, id text, what text) returns uuid
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    found uuid := topup.parse_id(prefix, id);
begin
    if found is null then
        perform topup.refuse_argument(what || '_id', format('%s is not the id of a %s (%s_…)', topup.given(id), what, prefix));
    end if;
    return found;
end
$$;
comment on function topup.require_id is 'parse_id, or an error that names what was expected.';

create function topup.require_environment(environment text) returns topup.environment
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    if environment is null or environment not in ('staging', 'live') then
        perform topup.refuse_argument('environment', format('%s is not staging or live', topup.given(environment)));
    end if;
    return environment::topup.environment;
end
$$;
comment on function topup.require_environment is 'The environment of that name, or an error.';

create function topup.require_one_of(argument text, value text, wanted text[]) returns void
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    if value is null or value <> all (wanted) then
        perform topup.refuse_argument(
            argument, format('%s is not one of %s', topup.given(value), array_to_string(wanted, ', ')));
    end if;
end
$$;
comment on function topup.require_one_of is 'An error unless the value is among those that are wanted.';

create function topup.require_length(argument text, value text, shortest integer, longest integer) returns void
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    if value is null or length(value) not between shortest and longest then
        perform topup.refuse_argument(argument, format('it must have %s to %s characters', shortest, longest));
    end if;
end
$$;
comment on function topup.require_length is 'An error unless the text has so many characters.';

create function topup.require_between(argument text, value bigint, lowest bigint, highest bigint) returns void
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    if value is null or value not between lowest and highest then
        perform topup.refuse_argument(argument, format('%s is not from %s to %s', coalesce(value::text, 'null'), lowest, highest));
    end if;
end
$$;
comment on function topup.require_between is 'An error unless the number lies within bounds.';

create function topup.require_scopes(scopes text[]) returns void
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
    known  text[] := topup.known_scopes();
    unknown text;
begin
    if cardinality(scopes) > cardinality(known) then
        perform topup.refuse_argument('scopes', format('there are %s scopes, and %s are named', cardinality(known), cardinality(scopes)));
    end if;
    select topup.given(s) into unknown from unnest(scopes) s where s is null or s <> all (known) limit 1;
    if found then
        perform topup.refuse_argument('scopes', format('%s is not one of %s', unknown, array_to_string(known, ', ')));
    end if;
end
$$;
comment on function topup.require_scopes is 'An error unless there is a scope of each name.';

create function topup.require_networks(allowed_ips cidr[]) returns void
    language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
    if cardinality(allowed_ips) > 100 then
        perform topup.refuse_argument('allowed_ips', 'a key has at most 100 networks');
    end if;
    if array_position(allowed_ips, null) is not null then
        perform topup.refuse_argument('allowed_ips', 'null is no network');
    end if;
end
$$;
comment on function topup.require_networks is 'An error unless the list of networks is one that a key can have.';
