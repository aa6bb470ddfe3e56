-- How everything is doing, in numbers (include/store/stats.py). `owner` is whose rows count; null: everybody's.

-- name: rows
-- How many jobs, connectors and workflows there are, and how they are. Those that fail are on duty as well.
select source as table_name, count(*) as total,
       count(*) filter (where error is null and on_duty) as active,
       count(*) filter (where error is null and not on_duty) as paused,
       count(*) filter (where error is null and on_duty and failing) as failing,
       count(*) filter (where error is not null) as error
from (
    select 'job' as source, j.error, j.is_active and not coalesce(j.paused_until > now(), false) as on_duty,
           coalesce(h.failures > 0, false) as failing
    from job j left join job_health h on h.job_id = j.id
    where %(owner)s::text is null or j.owner = %(owner)s
    union all
    select 'connector', error, is_active and not coalesce(paused_until > now(), false), failing_since is not null
    from connector where %(owner)s::text is null or owner = %(owner)s
    union all
    select 'workflow', w.error, w.is_active and not coalesce(w.paused_until > now(), false), p.stopped_at is not null
    from workflow w left join workflow_progress p on p.workflow_id = w.id
    where %(owner)s::text is null or w.owner = %(owner)s) as everything
group by source;

-- name: timers
-- How many timers wait, are being sent, and have failed for good.
select (select count(*) from timer where status = 'pending' and (%(owner)s::text is null or owner = %(owner)s)) as pending,
       (select count(*) from timer where status = 'firing' and (%(owner)s::text is null or owner = %(owner)s)) as firing,
       (select count(*) from timer where status = 'failed' and discarded_at is null
                                     and (%(owner)s::text is null or owner = %(owner)s)) as failed;

-- name: tally
-- What was due in the range and has ended, by point of the series, source, status and lateness. What became of a row that
-- has changed hands may be taken away where it was never added: no sum that is shown is less than nothing.
select date_bin(('1 ' || %(step)s::text)::interval, at, 'epoch') as at, source, status, late, greatest(sum(executions), 0)::bigint as executions,
       sum(ended)::bigint as ended, sum(attempts)::bigint as attempts, sum(late_seconds)::double precision as late_seconds
from tally
where at >= %(since)s and at < %(until)s and (%(owner)s::text is null or owner = %(owner)s)
group by 1, 2, 3, 4;

-- name: ended
-- How many executions and timers have ever ended with which status.
select source, status, sum(ended)::bigint as ended from tally
where %(owner)s::text is null or owner = %(owner)s
group by source, status having sum(ended) > 0 order by source, status;

-- name: late_bounds
-- The bounds of lateness that are told apart, in seconds.
select late_bounds() as bounds;

-- name: lag
-- How long overdue the pulls of connectors on duty are, and what workflows on duty have ahead of them.
select coalesce(max(overdue), 0)::double precision as pull_max, coalesce(sum(overdue), 0)::double precision as pull_sum,
       coalesce(max(records), 0)::bigint as records_max, coalesce(sum(records), 0)::bigint as records_sum,
       coalesce(max(seconds), 0)::double precision as seconds_max,
       coalesce(sum(seconds), 0)::double precision as seconds_sum
from (
    select greatest(extract(epoch from now() - coalesce(pulled_at, created_at) - every), 0) as overdue,
           null::bigint as records, null::double precision as seconds
    from connector
    where every is not null and error is null and is_active and not coalesce(paused_until > now(), false)
      and isfinite(created_at) and (%(owner)s::text is null or owner = %(owner)s)
    union all
    select null, l.lag_records, l.lag_seconds from workflow_lag l
    where l.is_active and (%(owner)s::text is null or l.owner = %(owner)s)) as each;

-- name: failing
-- What is failing now, the longest first; and then what cannot run at all.
select * from (
    select 'job' as "table", j.id, j.name, j.owner, h.failing_since as since, h.failures, h.last_error as error
    from job_health h join job j on j.id = h.job_id
    where h.failures > 0 and j.error is null and (%(owner)s::text is null or j.owner = %(owner)s)
    union all
    select 'connector', id, name, owner, failing_since, failures, last_error
    from connector
    where failing_since is not null and error is null and (%(owner)s::text is null or owner = %(owner)s)
    union all
    select 'workflow', w.id, w.name, w.owner, p.updated_at, 1, p.error
    from workflow_progress p join workflow w on w.id = p.workflow_id
    where p.stopped_at is not null and w.error is null and (%(owner)s::text is null or w.owner = %(owner)s)
    union all
    select 'job', id, name, owner, null, 0, error from job
    where error is not null and (%(owner)s::text is null or owner = %(owner)s)
    union all
    select 'connector', id, name, owner, null, 0, error from connector
    where error is not null and (%(owner)s::text is null or owner = %(owner)s)
    union all
    select 'workflow', id, name, owner, null, 0, error from workflow
    where error is not null and (%(owner)s::text is null or owner = %(owner)s)) as every_one
order by since, "table", id
limit %(limit)s;

-- name: dead_letters
-- How many executions, timers and records wait for a person, of each at most so many; of executions, among so many that
-- have failed last.
select (select count(*) from (
            select job_id, redrive_at from execution
            where status = 'failed' and discarded_at is null
            order by scheduled_for desc limit %(most)s) as e
        left join job j on j.id = e.job_id
        where (e.redrive_at is null or j.id is null) and (%(owner)s::text is null or j.owner = %(owner)s)) as executions,
       (select count(*) from (
            select from timer where status = 'failed' and discarded_at is null
              and (%(owner)s::text is null or owner = %(owner)s)
            limit %(most)s) as t) as timers,
       (select count(*) from (
            select from dead_letter d join workflow w on w.id = d.workflow_id
            where d.resolved_at is null and d.status = 'dead' and (%(owner)s::text is null or w.owner = %(owner)s)
            limit %(most)s) as r) as records;

-- name: schedules
-- What it takes to know which job is due next: every cron expression once, the earliest instant, and the shortest of the
-- intervals, `most` of them; of jobs on duty. A row from beyond the instants that there are here is none.
with on_duty as not materialized (
    select * from job
    where is_active and error is null and not coalesce(paused_until > now(), false)
      and coalesce(starts_at between '1970-01-01' and '9000-01-01', true)
      and coalesce(ends_at > now() and ends_at < '9000-01-01', true)
      and (%(owner)s::text is null or owner = %(owner)s)
)
select min(id) as id, (array_agg(name order by id))[1] as name, cron, timezone, starts_at, ends_at, null::interval as every,
       null::timestamptz as run_at, null::timestamptz as anchor
from on_duty where cron is not null
group by cron, timezone, starts_at, ends_at
union all
(select id, name, null, timezone, starts_at, ends_at, null, run_at, null from on_duty
 where run_at > now() and run_at < '9000-01-01' order by run_at limit 1)
union all
(select id, name, null, timezone, starts_at, ends_at, every, null, created_at from on_duty
 where every is not null and every_mode = 'fixed_rate' and created_at between '1970-01-01' and '9000-01-01'
 order by every limit %(most)s);

-- name: next_timer
-- The timer that is sent next.
select id, next_at as at from timer
where status = 'pending' and (%(owner)s::text is null or owner = %(owner)s)
order by next_at limit 1;
