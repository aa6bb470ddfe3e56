-- What health is judged by (include/store/health.py).

-- name: has_airflow
-- Whether Airflow's tables are in this database.
select to_regclass('public.trigger') is not null as found;

-- name: components
-- When each component of Airflow last gave a sign of life, and whether one of its processes is alive now.
select case job_type when 'SchedulerJob' then 'scheduler' when 'TriggererJob' then 'triggerer'
                     else 'dag_processor' end as component,
       max(latest_heartbeat) as heartbeat_at,
       coalesce(bool_or(state = 'running' and latest_heartbeat > now() - make_interval(secs => %(quiet_seconds)s)), false)
           as is_alive
from public.job
where job_type in ('SchedulerJob', 'TriggererJob', 'DagProcessorJob')
group by job_type;

-- name: oldest_timer
-- When the timer that has waited longest was to be sent.
select min(next_at) as next_at from timer where status = 'pending';

-- name: now
-- The time.
select now() as now;

-- name: on_duty
-- Jobs that may be due by `now`, each with the newest occurrence that the ledger has of it and when that ended; without those that
-- are known to be due later, as long as nobody edits them. The ledger of the last day is small: older days are looked at
-- only for jobs that are not in it. What begins in the future, or before there were clocks, is left out.
select j.id, j.created_at, j.cron, j.every, j.every_mode, j.run_at, j.timezone, j.starts_at,
       greatest(least(j.ends_at, %(now)s::timestamptz + interval '1 day'), '1900-01-01') as ends_at, j.jitter,
       greatest(j.paused_until, '1900-01-01') as paused_until, j.schedule_changed_at, j.updated_at, j.revision,
       newest.scheduled_for as accounted, newest.finished_at as ended_at
from job j
left join unnest(%(ids)s::bigint[], %(revisions)s::bigint[]) as quiet(id, revision)
    on quiet.id = j.id and quiet.revision = j.revision
left join lateral (
    select e.scheduled_for, e.finished_at from execution e
    where e.job_id = j.id and e.origin = 'schedule'
      and e.scheduled_for between %(now)s::timestamptz - interval '1 day' and %(now)s::timestamptz + interval '1 minute'
    order by e.scheduled_for desc limit 1) lately on true
left join lateral (
    select lately.scheduled_for, lately.finished_at where lately.scheduled_for is not null
    union all
    (select e.scheduled_for, e.finished_at from execution e
     where lately.scheduled_for is null and e.job_id = j.id and e.origin = 'schedule'
       and e.scheduled_for between '1900-01-01' and %(now)s::timestamptz
     order by e.scheduled_for desc limit 1)) newest on true
where j.id > %(after)s and quiet.id is null and j.is_active and j.error is null
  and coalesce(j.paused_until <= %(now)s::timestamptz, true)
  and (j.cron is not null or j.every is not null or j.run_at between '1900-01-01' and %(now)s::timestamptz)
  and coalesce(j.starts_at between '1900-01-01' and %(now)s::timestamptz, true)
  and j.created_at between '1900-01-01' and %(now)s::timestamptz
order by j.id
limit %(most)s;

-- name: resumed
-- When each of these jobs was last paused or resumed by somebody.
select row_id as id, max(at) as at from audit
where table_name = 'job' and row_id = any(%(ids)s) and operation = 'update'
  and (old -> 'is_active', old -> 'paused_until') is distinct from (new -> 'is_active', new -> 'paused_until')
group by row_id;
