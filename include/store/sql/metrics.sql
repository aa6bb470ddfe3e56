-- What is counted and measured for monitoring (include/store/metrics.py): a scrape is one snapshot of these.

-- name: snapshot
-- One state of the database for all statements of a scrape, and nothing compiled for them.
set transaction isolation level repeatable read, read only;
set local jit = off;

-- name: bounds
-- The bounds of lateness that the tally tells apart, and the start of the minutes in which things still happen.
select late_bounds() as bounds, date_trunc('hour', now()) - interval '1 hour' as recent;

-- name: totals
-- What has ended, of what was due in a span of time.
select source, status, late, sum(ended) as ended, sum(attempts) as attempts, sum(late_seconds) as late_seconds
from tally
where at >= %(since)s::timestamptz and at < %(until)s::timestamptz
group by source, status, late;

-- name: jobs
-- How many jobs there are in each state.
select case when j.error is not null then 'error'
            when not j.is_active or coalesce(j.paused_until > now(), false) then 'paused'
            when coalesce(h.failures, 0) > 0 then 'failing' else 'active' end as state, count(*) as count
from job j left join job_health h on h.job_id = j.id
group by 1;

-- name: each_job
-- Failures in a row and last success of single jobs, those that fail most first. The success is looked for before the
-- failures, among the hundred newest executions.
with chosen as materialized (
    select j.id, coalesce(h.failures, 0) as failures, h.failing_since
    from job j left join job_health h on h.job_id = j.id
    order by failures desc, j.is_active desc, j.id
    limit %(most)s
)
select c.id, c.failures, extract(epoch from last.finished_at)::float8 as succeeded_at
from chosen c
left join lateral (
    select newest.finished_at
    from (select e.scheduled_for, e.finished_at, e.status from execution e
          where e.job_id = c.id and e.scheduled_for <= coalesce(c.failing_since, now())
          order by e.scheduled_for desc limit 100) newest
    where newest.status = 'success'
    order by newest.scheduled_for desc limit 1) last on true;

-- name: timers
-- How many timers wait, as the index knows if they are very many, and by how much the oldest is late.
select case when counted.count <= %(exactly)s then counted.count
            else greatest(counted.count, (select reltuples::bigint from pg_class where oid = 'timer_pending'::regclass))
       end as pending,
       greatest(extract(epoch from now() - (select min(next_at) from timer where status = 'pending')), 0)::float8
           as late_seconds
from (select count(*) from (select from timer where status = 'pending' limit %(exactly)s + 1) as found) as counted;

-- name: dead_letters
-- What has failed for good and waits for a person, as far as it is counted.
select 'job' as source, count(*) from (
    select from execution e
    where e.status = 'failed' and e.discarded_at is null and e.redrive_at is null limit %(most)s) as found
union all
select 'timer', count(*) from (
    select from timer where status = 'failed' and discarded_at is null limit %(most)s) as found
union all
select 'workflow', count(*) from (
    select from dead_letter where resolved_at is null and status = 'dead' limit %(most)s) as found;

-- name: connectors
-- How many connectors there are in each state.
select case when error is not null then 'error'
            when not is_active or coalesce(paused_until > now(), false) then 'paused'
            when failing_since is not null then 'failing' else 'active' end as state, count(*) as count
from connector
group by 1;

-- name: each_connector
-- Single connectors that are on duty, those that fail most first.
select id, failures, head, greatest(extract(epoch from now() - pulled_at), 0)::float8 as pulled_seconds
from connector
where is_active and not coalesce(paused_until > now(), false)
order by failures desc, id
limit %(most)s;

-- name: workflows
-- How many workflows there are in each state.
select case when w.error is not null then 'error'
            when not w.is_active or coalesce(w.paused_until > now(), false) then 'paused'
            when p.stopped_at is not null then 'stopped' else 'active' end as state, count(*) as count
from workflow w join workflow_progress p on p.workflow_id = w.id
group by 1;

-- name: each_workflow
-- Single workflows that are on duty, those that are furthest behind first; how long the oldest record waits is looked up
-- for these only.
with chosen as materialized (
    select w.id, w.connector_id, p.position, p.updated_at, c.head, c.head_at, greatest(c.head - p.position, 0) as behind
    from workflow w
    join workflow_progress p on p.workflow_id = w.id
    join connector c on c.id = w.connector_id
    where p.begun and w.is_active and not coalesce(w.paused_until > now(), false)
    order by behind desc, w.id
    limit %(most)s
)
select c.id, c.behind,
       case when c.behind > 0
            then greatest(extract(epoch from now() - coalesce(oldest.created_at, c.head_at)), 0)::float8 else 0 end
           as behind_seconds,
       greatest(extract(epoch from now() - c.updated_at), 0)::float8 as moved_seconds
from chosen c
left join lateral (select r.created_at from record r
                   where r.connector_id = c.connector_id and r.position > c.position
                   order by r.position limit 1) oldest on c.behind > 0;

-- name: warnings
-- How many warnings are open, by what they are of.
select what, count(*) as count from warning_of where ended_at is null group by what;

-- name: rows
-- About how many rows each table has, by the statistics of the server.
select coalesce(parent.relname, t.relname) as table, sum(coalesce(nullif(s.n_live_tup, 0), greatest(t.reltuples, 0)))::bigint
           as count
from pg_class t
join pg_stat_user_tables s on s.relid = t.oid
left join pg_inherits i on i.inhrelid = t.oid
left join pg_class parent on parent.oid = i.inhparent
where t.relnamespace = 'millrace'::regnamespace and t.relkind = 'r'
group by 1;

-- name: shards
-- Seconds since a file of DAGs was last built.
select extract(epoch from now() - max(built_at))::float8 as built_seconds from shard;

-- name: shifts
-- Triggers of ours that live triggerers have taken on, by what they are on duty for.
select case split_part(ti.dag_id, '_', 1) when 'millrace' then 'timer' else split_part(ti.dag_id, '_', 1) end as table,
       count(*) as count
from public.trigger t
join public.task_instance ti on ti.trigger_id = t.id
join public.job j on j.id = t.triggerer_id and j.state = 'running'
     and j.latest_heartbeat > now() - make_interval(secs => %(quiet_seconds)s)
where t.classpath = %(classpath)s
group by 1;

-- name: bundle
-- Seconds since Airflow last refreshed our bundle.
select extract(epoch from now() - last_refreshed)::float8 as refreshed_seconds from public.dag_bundle where name = %(bundle)s;
