-- Dead letters as people handle them (include/store/dead_letters.py): records of workflows, executions of jobs, timers.

-- name: list_records
-- The newest dead letters of workflows; `kept` says whether the log still has the record. With `open`, those that wait for
-- a person or for the workflow.
select d.id, 'workflow' as source, d.workflow_id, w.name as workflow, w.owner, d.connector_id, c.name as connector,
       d.position, r.key, r.position is not null as kept, d.status, d.error, d.attempts, d.created_at, d.resolved_at
from dead_letter d
join workflow w on w.id = d.workflow_id
join connector c on c.id = w.connector_id
left join record r on r.connector_id = d.connector_id and r.position = d.position
where (%(workflow_id)s::bigint is null or d.workflow_id = %(workflow_id)s)
  and (%(owner)s::text is null or w.owner = %(owner)s)
  and (%(status)s::text is null or d.status = %(status)s)
  and (not %(open)s::bool or d.resolved_at is null)
  and (%(since)s::timestamptz is null or d.created_at > %(since)s)
order by d.id desc
limit %(limit)s;

-- name: record
-- One dead letter of a workflow with its record, by its id or by its workflow and position.
select d.id, 'workflow' as source, d.workflow_id, w.name as workflow, w.owner, d.connector_id, c.name as connector,
       d.position, d.status, d.error, d.attempts, d.created_at, d.resolved_at,
       case when r.position is not null then jsonb_build_object('key', r.key, 'version', r.version, 'payload', r.payload,
                                                                'created_at', r.created_at) end as record
from dead_letter d
join workflow w on w.id = d.workflow_id
join connector c on c.id = w.connector_id
left join record r on r.connector_id = d.connector_id and r.position = d.position
where d.id = %(id)s or (d.workflow_id, d.position) = (%(workflow_id)s, %(position)s);

-- name: choose_records
-- The dead letters of these ids, whatever their status; or those of a workflow, or of all, that are dead, since an instant
-- or ever.
select d.id, 'workflow' as source, d.workflow_id, w.name as workflow, w.owner, c.name as connector, d.position, d.status,
       d.resolved_at, exists (select from record r where r.connector_id = d.connector_id and r.position = d.position) as kept,
       w.is_active
from dead_letter d
join workflow w on w.id = d.workflow_id
join connector c on c.id = w.connector_id
where case when %(ids)s::bigint[] is not null then d.id = any(%(ids)s::bigint[])
           else d.status = 'dead' and d.resolved_at is null
                and (%(workflow_id)s::bigint is null or d.workflow_id = %(workflow_id)s)
                and (%(since)s::timestamptz is null or d.created_at > %(since)s) end
order by d.id;

-- name: redrive_records
-- Have dead letters sent again: those that are still dead, and whose record is still there.
update dead_letter d set status = 'redriving'
where d.id = any(%(ids)s::bigint[]) and d.status = 'dead'
  and exists (select from record r where r.connector_id = d.connector_id and r.position = d.position)
returning d.id;

-- name: discard_records
-- Give up on dead letters for good: those that nobody has resolved.
update dead_letter set status = 'discarded', resolved_at = now()
where id = any(%(ids)s::bigint[]) and resolved_at is null
returning id;

-- name: list_executions
-- The executions of jobs, even of removed ones (`is_active` is null), that are or were dead letters, the newest first.
-- Those that have failed and those that were redriven are found by an index each, and no more of either than are wanted.
with known as not materialized (
    select e.*, j.name as job, j.owner, j.kind, j.is_active,
           case when e.status = 'success' then 'redriven'
                when e.status <> 'failed' then 'redriving'
                when e.discarded_at is not null then 'discarded'
                when e.redrive_at is not null and j.is_active is not null then 'redriving'
                else 'dead' end as state
    from execution e left join job j on j.id = e.job_id
    where (%(job_id)s::bigint is null or e.job_id = %(job_id)s)
      and (%(owner)s::text is null or j.owner = %(owner)s)
      and (%(since)s::timestamptz is null or e.scheduled_for > %(since)s)
), failed as (
    select * from known
    where status = 'failed'  -- and by columns of which the planner knows how often they are null
      and ('discarded' = any(%(statuses)s::text[]) and discarded_at is not null
           or 'dead' = any(%(statuses)s::text[]) and discarded_at is null and (redrive_at is null or is_active is null)
           or 'redriving' = any(%(statuses)s::text[]) and discarded_at is null and redrive_at is not null
              and is_active is not null)
    order by scheduled_for desc limit %(limit)s
), redriven as (
    select * from known
    where base_attempt > 0 and status in ('running', 'retrying', 'success') and state = any(%(statuses)s::text[])
    order by scheduled_for desc limit %(limit)s
)
select format('job_%%s_%%s', job_id, (extract(epoch from scheduled_for) * 1000000)::bigint) as id, 'job' as source, job_id,
       job, owner, kind, is_active, scheduled_for, state as status, error, reason, attempt, base_attempt, attempts,
       finished_at, redrive_at, discarded_at, dag_run_id
from (table failed union all table redriven) as found
order by scheduled_for desc, job_id
limit %(limit)s;

-- name: executions
-- The executions of these jobs at these instants, with their job as it is now; `status` is null for one that neither is
-- nor was a dead letter, and `execution_status` is that of the ledger.
select format('job_%%s_%%s', e.job_id, (extract(epoch from e.scheduled_for) * 1000000)::bigint) as id, 'job' as source,
       e.job_id, j.name as job, j.owner, j.kind, j.payload, j.delivery, j.is_active, e.scheduled_for,
       case when e.status = 'failed' and e.discarded_at is not null then 'discarded'
            when e.status = 'failed' and e.redrive_at is not null and j.id is not null then 'redriving'
            when e.status = 'failed' then 'dead'
            when e.status in ('running', 'retrying') and e.base_attempt > 0 then 'redriving'
            when e.status = 'success' and e.base_attempt > 0 then 'redriven' end as status,
       e.status as execution_status, e.error, e.reason, e.origin, e.attempt, e.base_attempt, e.attempts, e.output,
       e.started_at, e.finished_at, e.redrive_at, e.discarded_at, e.dag_run_id
from unnest(%(job_ids)s::bigint[], %(dues)s::timestamptz[]) as want(job_id, due)
join execution e on e.job_id = want.job_id and e.scheduled_for = want.due
left join job j on j.id = e.job_id
order by e.job_id, e.scheduled_for;

-- name: redrive_executions
-- Have failed executions sent again, discarded ones too, of jobs that still exist; their row goes on.
update execution e set redrive_at = now(), discarded_at = null
from unnest(%(job_ids)s::bigint[], %(dues)s::timestamptz[]) as want(job_id, due)
where e.job_id = want.job_id and e.scheduled_for = want.due and e.status = 'failed' and e.redrive_at is null
  and exists (select from job j where j.id = want.job_id)
returning e.job_id, e.scheduled_for;

-- name: discard_executions
-- Give up on failed executions for good, also on those that wait to be sent again.
update execution e set discarded_at = now(), redrive_at = null
from unnest(%(job_ids)s::bigint[], %(dues)s::timestamptz[]) as want(job_id, due)
where e.job_id = want.job_id and e.scheduled_for = want.due and e.status = 'failed' and e.discarded_at is null
returning e.job_id, e.scheduled_for;

-- name: list_timers
-- The timers that are or were dead letters: those with the newest instants first, or those of these ids.
select format('timer_%%s', id) as id, 'timer' as source, id as timer_id, owner, method, url, headers, body, conn_id,
       delivery, due_at, state as status, status as timer_status, error, reason, attempt, base_attempt, attempts, output,
       fired_at, finished_at, discarded_at
from (select t.*, case when t.status = 'failed' and t.discarded_at is not null then 'discarded'
                       when t.status = 'failed' then 'dead'
                       when t.status = 'fired' then 'redriven' else 'redriving' end as state
      from timer t
      where t.status = 'failed' or t.base_attempt > 0 and t.status <> 'cancelled') as found
where (%(ids)s::bigint[] is null or id = any(%(ids)s::bigint[]))
  and (%(owner)s::text is null or owner = %(owner)s)
  and (%(since)s::timestamptz is null or due_at > %(since)s)
  and state = any(%(statuses)s)
order by due_at desc, found.id
limit %(limit)s;

-- name: redrive_timers
-- Have failed timers sent again, discarded ones too; attempts are counted on, and the retry policy starts again.
update timer
set status = 'pending', next_at = now(), base_attempt = attempt, finished_at = null, error = null, reason = null,
    discarded_at = null
where id = any(%(ids)s::bigint[]) and status = 'failed'
returning id;

-- name: discard_timers
-- Give up on failed timers for good.
update timer set discarded_at = now()
where id = any(%(ids)s::bigint[]) and status = 'failed' and discarded_at is null
returning id;

-- What follows are the three parts of one list, the newest first, and each begins after the same place: an instant, a
-- source, and a number, which is the id of the dead letter of a workflow, of the job, or of the timer. With `sendable`,
-- only those that can be sent again.

-- name: search_records
-- The next dead letters of workflows in the list of all.
with page as materialized (
    select d.*, w.name as workflow, w.owner, w.kind
    from dead_letter d
    join workflow w on w.id = d.workflow_id
    where (%(owner)s::text is null or w.owner = %(owner)s)
      and (%(workflow_id)s::bigint is null or d.workflow_id = %(workflow_id)s)
      and (%(since)s::timestamptz is null or d.created_at > %(since)s)
      and (%(after_at)s::timestamptz is null
           or (d.created_at, 'workflow', d.id) < (%(after_at)s, %(after_source)s::text, %(after_number)s::bigint))
      and (not %(sendable)s::bool
           or exists (select from record r where r.connector_id = d.connector_id and r.position = d.position))
      and d.status = any(%(statuses)s::text[])
    order by d.created_at desc, d.id desc
    limit %(limit)s
)
select p.id, 'workflow' as source, p.id as number, p.workflow_id, p.workflow, p.owner, p.kind, p.connector_id,
       c.name as connector, p.position, r.key, r.position is not null as kept, p.status, p.error, p.attempts, p.created_at,
       p.resolved_at
from page p
left join connector c on c.id = p.connector_id
left join record r on r.connector_id = p.connector_id and r.position = p.position
order by p.created_at desc, p.id desc;

-- name: search_executions
-- The next dead letters of jobs, even of removed ones, in the list of all; found as those of `list_executions` are.
with known as not materialized (
    select e.*, j.name as job, j.owner, j.kind, j.is_active,
           case when e.status = 'success' then 'redriven'
                when e.status <> 'failed' then 'redriving'
                when e.discarded_at is not null then 'discarded'
                when e.redrive_at is not null and j.is_active is not null then 'redriving'
                else 'dead' end as state
    from execution e left join job j on j.id = e.job_id
    where (%(job_id)s::bigint is null or e.job_id = %(job_id)s)
      and (%(owner)s::text is null or j.owner = %(owner)s)
      and (%(since)s::timestamptz is null or e.scheduled_for > %(since)s)
      and (%(after_at)s::timestamptz is null
           or e.scheduled_for <= %(after_at)s
              and (e.scheduled_for, 'job', e.job_id) < (%(after_at)s, %(after_source)s::text, %(after_number)s::bigint))
      and (not %(sendable)s::bool or j.is_active is not null)
), failed as (
    select * from known where status = 'failed' and state = any(%(statuses)s::text[])
    order by scheduled_for desc, job_id desc limit %(limit)s
), redriven as (
    select * from known
    where base_attempt > 0 and status in ('running', 'retrying', 'success') and state = any(%(statuses)s::text[])
    order by scheduled_for desc, job_id desc limit %(limit)s
)
select format('job_%%s_%%s', job_id, (extract(epoch from scheduled_for) * 1000000)::bigint) as id, 'job' as source,
       job_id as number, job_id, job, owner, kind, is_active, scheduled_for, state as status, status as execution_status,
       error, reason, attempt, base_attempt, attempts, finished_at, redrive_at, discarded_at, dag_run_id
from (table failed union all table redriven) as found
order by scheduled_for desc, job_id desc
limit %(limit)s;

-- name: search_timers
-- The next dead letters that are timers in the list of all.
select format('timer_%%s', id) as id, 'timer' as source, id as number, id as timer_id, owner, url, due_at, state as status,
       status as timer_status, error, reason, attempt, base_attempt, attempts, finished_at, discarded_at
from (select t.*, case when t.status = 'failed' and t.discarded_at is not null then 'discarded'
                       when t.status = 'failed' then 'dead'
                       when t.status = 'fired' then 'redriven' else 'redriving' end as state
      from timer t
      where t.status = 'failed' or t.base_attempt > 0 and t.status <> 'cancelled') as found
where (%(owner)s::text is null or owner = %(owner)s)
  and (%(since)s::timestamptz is null or due_at > %(since)s)
  and (%(after_at)s::timestamptz is null
       or (due_at, 'timer', found.id) < (%(after_at)s, %(after_source)s::text, %(after_number)s::bigint))
  and state = any(%(statuses)s::text[])
order by due_at desc, found.id desc
limit %(limit)s;
