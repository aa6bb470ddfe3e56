-- What `chaos` asks of the database, and what it puts there.

-- name: make_effects
-- Where jobs of kind `sql` leave a trace, in their own transaction.
create table if not exists public.chaos_effect (at timestamptz not null default clock_timestamp(), place text not null);
truncate public.chaos_effect;

-- name: effects
-- The traces that jobs of kind `sql` have left.
select at, place from public.chaos_effect;

-- name: insert_job
-- Insert a job from a document.
insert into job (name, kind, payload, cron, every, run_at, starts_at, ends_at, jitter, overlap, misfire, delivery,
                 retries, retry_delay, retry_max_delay, timeout)
select name, kind, payload, cron, every, run_at, starts_at, ends_at, coalesce(jitter, '0'), coalesce(overlap, 'skip'),
       coalesce(misfire, 'latest'), coalesce(delivery, 'at_least_once'), coalesce(retries, 8), '0.5 seconds', '2 seconds',
       coalesce(timeout, '5 seconds')
from jsonb_populate_record(null::job, %(job)s::jsonb)
returning id;

-- name: insert_workflow
-- Insert a workflow over a log from its beginning; the id is in the URL that it calls.
with wish as (select nextval(pg_get_serial_sequence('workflow', 'id')) as id)
insert into workflow (id, name, owner, connector_id, start_from, kind, payload, every, retries, retry_delay,
                      retry_max_delay, timeout)
select id, 'workflow ' || id, 'user' || id || '@example.com', %(connector_id)s, 'beginning', 'webhook',
       jsonb_build_object('url', %(url)s::text || id), '1 second', 30, '0.5 seconds', '2 seconds', '5 seconds'
from wish returning id;

-- name: insert_timers
-- Insert timers, each due so long after the one before; one in so many calls a place that always fails, and is tried for
-- longer than the network to it is cut.
insert into timer (url, due_at, retries, retry_delay, retry_max_delay, timeout)
select %(url)s::text || case when is_broken then '/broken/timer' else '/fine/timer' end,
       %(first)s::timestamptz + number * %(gap)s::interval, case when is_broken then 6 else 20 end,
       '0.5 seconds', '2 seconds', '5 seconds'
from generate_series(0, %(count)s::int - 1) as number,
     lateral (select mod(number + 1, %(broken)s::int) = 0 as is_broken) as fate;

-- name: entries
-- The ledger, of these jobs.
select job_id, (extract(epoch from scheduled_for) * 1000000)::bigint as due, status, attempt
from execution where job_id = any(%(ids)s) and origin = 'schedule';

-- name: timers
-- Every timer as it is.
select id, (extract(epoch from due_at) * 1000000)::bigint as due, regexp_replace(url, '^https?://[^/]*', '') as place,
       status, attempt
from timer;

-- name: workflows
-- How far each workflow is, and what it has given up.
select w.id, w.connector_id, p.position, c.head,
       array(select d.position from dead_letter d where d.workflow_id = w.id) as dead
from workflow w
join workflow_progress p on p.workflow_id = w.id
join connector c on c.id = w.connector_id;

-- name: dead
-- How much has failed for good: what a list of dead letters has to show.
select (select count(*) from execution where status = 'failed') + (select count(*) from timer where status = 'failed')
       + (select count(*) from dead_letter) as letters;

-- name: pause_connectors
-- Have nothing more be pulled.
update connector set is_active = false;

-- name: orphaned_runs
-- Runs of jobs, all of whose occurrences are over, that have not ended.
select run.dag_id || ' ' || run.run_id || ' is ' || run.state || coalesce(', its task ' || ti.state, '') as orphan
from public.dag_run run
left join public.task_instance ti on ti.dag_id = run.dag_id and ti.run_id = run.run_id
where run.state in ('queued', 'running') and run.dag_id = any(%(dag_ids)s);

-- name: orphaned_tasks
-- Tasks that wait for a trigger which nobody has, or that are at work nowhere.
select ti.dag_id || ' ' || ti.run_id || ' is ' || ti.state as orphan
from public.task_instance ti
left join public.trigger t on t.id = ti.trigger_id
left join public.job triggerer on triggerer.id = t.triggerer_id
     and triggerer.state = 'running' and triggerer.latest_heartbeat > now() - interval '30 seconds'
where ti.state = 'deferred' and triggerer.id is null
   or ti.state in ('running', 'queued', 'scheduled', 'restarting', 'up_for_retry') and ti.dag_id = any(%(dag_ids)s);

-- name: orphaned_triggers
-- Triggers for which no task waits.
select 'trigger ' || t.id as orphan
from public.trigger t
where not exists (select from public.task_instance ti where ti.trigger_id = t.id and ti.state = 'deferred');

-- name: orphaned_leases
-- Executions and timers that are held by an owner who does not live. The turn of one is nobody's: whoever has work takes it.
with held as (
    select 'job_' || job_id || ' at ' || scheduled_for as what, claimed_by as owner from execution
    where status in ('running', 'retrying') and claimed_by is not null
    union all
    select 'timer_' || id, claimed_by from timer where status = 'firing'
)
select what || ' is held by one who is gone' as orphan
from held where not exists (select from lease l where l.owner = held.owner and l.until > now());

