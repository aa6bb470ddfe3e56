-- Jobs and what became of them, as people ask about them (include/cli/jobs*.py).

-- name: job_by_id
-- One job.
select * from job where id = %(id)s;

-- name: job_by_name
-- The jobs of a name: each owner can have one.
select * from job where name = %(name)s order by id;

-- name: job_by_external_id
-- An owner's job by the name that its maker has for it.
select * from job where owner = %(owner)s and external_id = %(external_id)s;

-- name: get_job
-- One job, if it is the owner's, or of any owner, with its newest execution.
select j.*, last.scheduled_for as last_scheduled_for, last.status as last_status, last.reason as last_reason,
       last.error as last_error
from job j
left join lateral (
    select e.scheduled_for, e.status, e.reason, e.error from execution e
    where e.job_id = j.id
    order by e.scheduled_for desc limit 1) last on true
where j.id = %(id)s and (%(owner)s::text is null or j.owner = %(owner)s);

-- name: lock_job
-- The same, for somebody who is about to change it; who has waited for it may find that it is another owner's by now.
select * from job where id = %(id)s and (%(owner)s::text is null or owner = %(owner)s) for no key update;

-- name: search_jobs
-- A page of jobs in the order that is asked for. Only what a page needs is read of the ledger; the jobs themselves are all
-- looked at, which for ten thousand takes some 20 ms.
with wanted as materialized (
    select j.id,
           case %(sort)s when 'name' then j.name when 'kind' then j.kind when 'owner' then j.owner
                         when 'created_at' then to_char(j.created_at, 'YYYYMMDDHH24MISSUS')
                         when 'updated_at' then to_char(j.updated_at, 'YYYYMMDDHH24MISSUS')
                         else to_char(j.id, 'FM0000000000000000000') end collate "C" as sort_key
    from job j
    left join job_health h on h.job_id = j.id
    where (%(owner)s::text is null or j.owner = %(owner)s)
      and (%(id)s::bigint is null or j.id = %(id)s)
      and (%(kind)s::text is null or j.kind = %(kind)s)
      and (%(name)s::text is null or j.name = %(name)s)
      and (%(external_id)s::text is null or j.external_id = %(external_id)s)
      and (%(state)s::text is null or %(state)s = case
               when j.error is not null then 'error'
               when not j.is_active or coalesce(j.paused_until > now(), false) then 'paused'
               when coalesce(h.failures, 0) > 0 then 'failing' else 'active' end
           or %(state)s = 'active' and j.error is null and j.is_active and not coalesce(j.paused_until > now(), false))
      and (%(search)s::text is null
           or position(lower(%(search)s) in lower(concat_ws(' ', j.name, j.external_id, j.kind, j.owner, j.payload))) > 0)
), page as (
    select id, sort_key, (select count(*) from wanted) as total from wanted
    where %(after_id)s::bigint is null
       or case when %(descending)s then (sort_key, id) < (%(after_key)s collate "C", %(after_id)s::bigint)
               else (sort_key, id) > (%(after_key)s collate "C", %(after_id)s::bigint) end
    order by case when %(descending)s then sort_key end desc, case when not %(descending)s then sort_key end,
             case when %(descending)s then id end desc, id
    limit %(limit)s
)
select j.*, p.sort_key, p.total, last.scheduled_for as last_scheduled_for, last.status as last_status,
       last.reason as last_reason, last.error as last_error
from page p
join job j using (id)
left join lateral (
    select e.scheduled_for, e.status, e.reason, e.error from execution e
    where e.job_id = j.id
    order by e.scheduled_for desc limit 1) last on true
order by case when %(descending)s then sort_key end desc, case when not %(descending)s then sort_key end,
         case when %(descending)s then id end desc, id;

-- name: job_names
-- Every name, to find the one that was meant.
select name from job order by name;

-- name: list_jobs
-- A page of jobs in the order of their ids, each with its newest execution. That one is looked up per job that is
-- listed, so the cost does not grow with the ledger; only `failing` has to look at every job.
select j.*, last.scheduled_for as last_scheduled_for, last.status as last_status, last.reason as last_reason,
       last.error as last_error
from job j
left join lateral (
    select e.scheduled_for, e.status, e.reason, e.error from execution e
    where e.job_id = j.id
    order by e.scheduled_for desc limit 1) last on true
where j.id > %(after)s
  and (%(kind)s::text is null or j.kind = %(kind)s)
  and (%(owner)s::text is null or j.owner = %(owner)s)
  and (%(paused)s::bool is null or (not j.is_active or coalesce(j.paused_until > now(), false)) = %(paused)s)
  and (not %(failing)s::bool or j.error is not null or coalesce(last.status in ('failed', 'retrying'), false))
order by j.id
limit %(limit)s;

-- name: insert_job
-- A new job, from a document with every column that a person may set.
insert into job (external_id, name, owner, kind, payload, cron, every, every_mode, run_at, timezone, starts_at, ends_at, jitter,
                 overlap, misfire, max_lateness, retries, retry_delay, retry_backoff, retry_max_delay, retry_jitter,
                 no_retry_on, timeout, delivery, disable_after, half_open, probe_every, notify, is_active, paused_until)
select external_id, name, owner, kind, payload, cron, every, every_mode, run_at, timezone, starts_at, ends_at, jitter, overlap,
       misfire, max_lateness, retries, retry_delay, retry_backoff, retry_max_delay, retry_jitter, no_retry_on, timeout,
       delivery, disable_after, half_open, probe_every, notify, is_active, paused_until
from jsonb_populate_record(null::job, %(columns)s::jsonb)
returning *;

-- name: change_job
-- Set the columns that are in the document and leave the others as they are at this moment.
update job
set (external_id, name, owner, kind, payload, cron, every, every_mode, run_at, timezone, starts_at, ends_at, jitter, overlap,
     misfire, max_lateness, retries, retry_delay, retry_backoff, retry_max_delay, retry_jitter, no_retry_on, timeout,
     delivery, disable_after, half_open, probe_every, notify, is_active, paused_until) =
    (select n.external_id, n.name, n.owner, n.kind, n.payload, n.cron, n.every, n.every_mode, n.run_at, n.timezone, n.starts_at,
            n.ends_at, n.jitter, n.overlap, n.misfire, n.max_lateness, n.retries, n.retry_delay, n.retry_backoff,
            n.retry_max_delay, n.retry_jitter, n.no_retry_on, n.timeout, n.delivery, n.disable_after, n.half_open,
            n.probe_every, n.notify, n.is_active, n.paused_until
     from jsonb_populate_record(job, %(changes)s::jsonb) as n)
where id = %(id)s
returning *;

-- name: remove_jobs
-- Delete jobs; the ledger keeps what became of them.
delete from job where id = any(%(ids)s::bigint[]) returning id, name;

-- name: health
-- How a job is, if it has ever failed.
select failures, failing_since, last_error, disabled_at, disabled_reason, probe_at
from job_health where job_id = %(job_id)s;

-- name: execution
-- One execution.
select job_id, scheduled_for, status, reason, origin, attempt, attempts, started_at, finished_at, output, error,
       dag_run_id, try_number, config_revision, redrive_at, discarded_at
from execution where job_id = %(job_id)s and scheduled_for = %(scheduled_for)s;

-- name: executions_of_job
-- The newest executions of one job, which may have been deleted.
select job_id, scheduled_for, status, reason, origin, attempt, attempts, started_at, finished_at, output, error,
       dag_run_id, try_number, config_revision, redrive_at, discarded_at
from execution
where job_id = %(job_id)s and scheduled_for > coalesce(%(since)s::timestamptz, '-infinity')
  and (%(status)s::text is null or status = %(status)s)
order by scheduled_for desc
limit %(limit)s;

-- name: executions_of_all
-- The newest executions of all jobs. The ledger is indexed by job, so each job is asked for its newest, by index and in
-- the days that matter only, and the newest of those are kept.
with newest as materialized (
    select e.job_id, e.scheduled_for
    from job j
    cross join lateral (
        select e.job_id, e.scheduled_for from execution e
        where e.job_id = j.id and e.scheduled_for > %(since)s::timestamptz
          and (%(status)s::text is null or e.status = %(status)s)
        order by e.scheduled_for desc limit %(limit)s) e
    order by e.scheduled_for desc, e.job_id
    limit %(limit)s
)
select j.name as job, e.job_id, e.scheduled_for, e.status, e.reason, e.origin, e.attempt, e.attempts, e.started_at,
       e.finished_at, e.output, e.error, e.dag_run_id, e.try_number, e.config_revision
from newest n
join execution e on e.job_id = n.job_id and e.scheduled_for = n.scheduled_for
join job j on j.id = n.job_id
order by e.scheduled_for desc, e.job_id;

-- name: recent_executions
-- What was due in the last two minutes, newest first, for people to watch.
select job.name, execution.scheduled_for, execution.status, execution.attempt,
       extract(epoch from execution.started_at - execution.scheduled_for)::float8 as late_seconds,
       coalesce(execution.error, execution.reason, execution.output ->> 'line', '') as said
from execution
left join job on job.id = execution.job_id
where execution.scheduled_for between now() - interval '2 minutes' and now() + interval '1 second'
order by execution.scheduled_for desc, execution.job_id
limit %(rows)s;
