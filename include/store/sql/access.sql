-- Who may have what (include/store/access.py). Owner * is everybody who has no line of his own.

-- name: granted
-- The Airflow connections that an owner may name.
select conn_id from connection_grant where owner in (%(owner)s, '*');

-- name: quota
-- The most that an owner may have: his own line, or else that of everybody.
select max_rows, max_fires_per_minute, min_interval, max_bytes from quota
where owner in (%(owner)s, '*')
order by owner = '*'
limit 1;

-- name: lock_owner
-- Whoever adds rows for an owner, within a quota or by an external_id, takes his turn until the transaction ends, so that
-- what is counted, and what is not there yet, stays so. Rows that are changed are locked before it.
select pg_advisory_xact_lock(hashtext('millrace.owner'), hashtext(%(owner)s));

-- name: holdings
-- How many rows an owner has, and how many bytes their settings are as JSON.
select (select count(*) from job where owner = %(owner)s)
           + (select count(*) from connector where owner = %(owner)s)
           + (select count(*) from workflow where owner = %(owner)s)
           + (select count(*) from timer where owner = %(owner)s and status in ('pending', 'firing')) as rows,
       (select coalesce(sum(octet_length(payload::text)), 0) from job where owner = %(owner)s)
           + (select coalesce(sum(octet_length(config::text)), 0) from connector where owner = %(owner)s)
           + (select coalesce(sum(octet_length(payload::text)), 0) from workflow where owner = %(owner)s) as bytes;

-- name: schedules
-- The schedules of an owner's active rows, and how many have each.
select cron, every, timezone, count(*) as rows from (
    select cron, every, timezone from job
    where owner = %(owner)s and is_active and (cron is not null or every is not null)
    union all
    select null, every, 'UTC' from connector where owner = %(owner)s and is_active and every is not null
    union all
    select null, every, 'UTC' from workflow where owner = %(owner)s and is_active) as active
group by cron, every, timezone;

-- name: own_quota
-- The owner's own line, if he has one.
select max_rows, max_fires_per_minute, min_interval, max_bytes from quota where owner = %(owner)s;

-- name: set_quota
-- Give an owner a line of his own, in place of the one that he has.
insert into quota as q (owner, max_rows, max_fires_per_minute, min_interval, max_bytes)
values (%(owner)s, %(max_rows)s, %(max_fires_per_minute)s, %(min_interval)s, %(max_bytes)s)
on conflict (owner) do update
set max_rows = excluded.max_rows, max_fires_per_minute = excluded.max_fires_per_minute,
    min_interval = excluded.min_interval, max_bytes = excluded.max_bytes
where (q.max_rows, q.max_fires_per_minute, q.min_interval, q.max_bytes)
      is distinct from (excluded.max_rows, excluded.max_fires_per_minute, excluded.min_interval, excluded.max_bytes);

-- name: unset_quota
-- Take an owner's own line away.
delete from quota where owner = %(owner)s returning owner;

-- name: list_quotas
-- Everybody's line, and those of owners who have one.
select owner, max_rows, max_fires_per_minute, min_interval, max_bytes from quota
where %(owner)s::text is null or owner in (%(owner)s, '*')
order by owner;

-- name: connections_of
-- What an owner may name, and whether everybody may.
select conn_id, bool_or(owner = '*') as everybody from connection_grant
where owner in (%(owner)s, '*')
group by conn_id order by conn_id;

-- name: search_grants
-- A page of grants in the order of their ids.
select id, id::text as sort_key, owner, conn_id, created_at from connection_grant
where (%(of)s::text is null or owner = %(of)s)
  and (%(conn_id)s::text is null or conn_id = %(conn_id)s)
  and (%(after_id)s::bigint is null or id > %(after_id)s)
order by id
limit %(limit)s;

-- name: grant
-- Let an owner name a connection; no row if he may already.
insert into connection_grant (owner, conn_id) values (%(owner)s, %(conn_id)s)
on conflict (owner, conn_id) do nothing
returning id, owner, conn_id, created_at;

-- name: find_grant
-- A grant by what it says.
select id, owner, conn_id, created_at from connection_grant where owner = %(owner)s and conn_id = %(conn_id)s;

-- name: revoke
-- Take a grant back.
delete from connection_grant where id = %(id)s returning id, owner, conn_id, created_at;

-- name: still_in_use
-- Rows that name a connection, or whose kind or notify has it by itself, and whose owner may not name it; of one owner, or
-- of all. `kinds` are those that have it by themselves.
with named as (
    select 'job' as "table", id, name, owner, kind, payload, notify from job
    union all
    select 'workflow', id, name, owner, kind, payload, null from workflow
    union all
    select 'connector', id, name, owner, null, config, notify from connector
    union all
    select 'timer', id, 'timer ' || id, owner, null, jsonb_build_object('conn_id', conn_id), null from timer
    where conn_id = %(conn_id)s and status in ('pending', 'firing')
    union all
    select 'owner_notify', null, 'notify', owner, null, '{}', notify from owner_notify
)
select "table", id, name, owner from named n
where (%(owner)s = '*' or owner = %(owner)s)
  and (payload ->> 'conn_id' = %(conn_id)s
       or kind = any(%(kinds)s::text[]) and not payload ? 'conn_id'
       or notify -> 'payload' ->> 'conn_id' = %(conn_id)s
       or notify ->> 'kind' = any(%(kinds)s::text[]) and notify -> 'payload' -> 'conn_id' is null)
  and not exists (select from connection_grant g where g.conn_id = %(conn_id)s and g.owner in (n.owner, '*'))
order by "table", id
limit %(limit)s;
