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
-- Whoever adds rows for an owner takes his turn until the transaction ends, so that what is counted stays so.
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

-- name: pending_timers
-- How many timers of an owner wait; no more than so many are counted.
select count(*) as rows from (
    select from timer where owner = %(owner)s and status in ('pending', 'firing') limit %(most)s) as some;

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
