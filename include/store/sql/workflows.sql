-- Workflows and how far they are, as people ask about them and handle them (include/store/workflows.py).

-- name: workflow_names
-- Every name once, to find the one that was meant.
select distinct name from workflow order by name;

-- name: list_workflows
-- A page of workflows in the order of their ids, each with how far it is; or those of one id, or one name. Lag is worked
-- out for those of the page only. A workflow that has not begun has no lag yet.
with page as materialized (
    select w.* from workflow w
    join workflow_progress p on p.workflow_id = w.id
    where w.id > %(after)s
      and (%(id)s::bigint is null or w.id = %(id)s)
      and (%(name)s::text is null or w.name = %(name)s)
      and (%(owner)s::text is null or w.owner = %(owner)s)
      and (%(connector_id)s::bigint is null or w.connector_id = %(connector_id)s)
      and (%(paused)s::bool is null or (not w.is_active or coalesce(w.paused_until > now(), false)) = %(paused)s)
      and (not %(failing)s::bool or w.error is not null or p.stopped_at is not null
           or exists (select from dead_letter d where d.workflow_id = w.id and d.resolved_at is null))
    order by w.id
    limit %(limit)s
)
select w.*, l.connector, p.begun, l.position, l.head, case when p.begun then l.lag_records end as lag_records,
       case when p.begun then l.lag_seconds end as lag_seconds, l.processed, l.failed, l.stopped_at, l.stopped_by,
       l.dead_letters, l.moved_at
from page w
join workflow_progress p on p.workflow_id = w.id
join workflow_lag l on l.workflow_id = w.id
order by w.id;

-- name: list_lag
-- How far all workflows are, or one: those that have stopped first, then the ones that are furthest behind.
select w.id as workflow_id, w.name, w.owner, w.connector_id, l.connector, p.begun, l.position, l.head,
       case when p.begun then l.lag_records end as lag_records, case when p.begun then l.lag_seconds end as lag_seconds,
       l.processed, l.failed, l.stopped_at, l.stopped_by, l.dead_letters, l.moved_at, w.error, w.is_active,
       w.paused_until, w.started_at
from workflow w
join workflow_progress p on p.workflow_id = w.id
join workflow_lag l on l.workflow_id = w.id
where %(id)s::bigint is null or w.id = %(id)s
order by (p.stopped_at is not null or w.error is not null) desc, lag_seconds desc nulls last, w.id
limit %(limit)s;

-- name: insert_workflow
-- A new workflow, from a document with every column that a person may set; the clock of the database says what now is.
insert into workflow (external_id, name, owner, connector_id, every, started_at, start_from, filter, kind, payload, on_error,
                      batch_size, retries, retry_delay, retry_backoff, retry_max_delay, retry_jitter, no_retry_on,
                      timeout, is_active, paused_until)
select external_id, name, owner, connector_id, every, coalesce(started_at, now()), start_from, filter, kind, payload, on_error,
       batch_size, retries, retry_delay, retry_backoff, retry_max_delay, retry_jitter, no_retry_on, timeout, is_active,
       paused_until
from jsonb_populate_record(null::workflow, %(columns)s::jsonb)
returning id;

-- name: change_workflow
-- Set the columns that are in the document and leave the others as they are at this moment.
update workflow
set (external_id, name, owner, every, started_at, start_from, filter, kind, payload, on_error, batch_size, retries, retry_delay,
     retry_backoff, retry_max_delay, retry_jitter, no_retry_on, timeout, is_active, paused_until) =
    (select n.external_id, n.name, n.owner, n.every, n.started_at, n.start_from, n.filter, n.kind, n.payload, n.on_error, n.batch_size,
            n.retries, n.retry_delay, n.retry_backoff, n.retry_max_delay, n.retry_jitter,
            n.no_retry_on, n.timeout, n.is_active, n.paused_until
     from jsonb_populate_record(workflow, %(changes)s::jsonb) as n)
where id = %(id)s
returning id;

-- name: remove_workflows
-- Delete workflows, and with them their watermarks and dead letters.
delete from workflow where id = any(%(ids)s::bigint[]) returning id, name, owner;

-- name: filter_sample
-- What a filter lets through of a connector's newest records.
select count(*) as records,
       count(*) filter (where jsonb_path_match(r.payload, %(filter)s::jsonpath, '{}', true)) as wanted
from (select payload from record where connector_id = %(connector_id)s order by position desc limit 100) r;

-- name: lock_watermark
-- Where a workflow is, and what there is of its connector's log; nobody moves the watermark until the transaction ends.
select p.position, p.stopped_at, p.begun, w.connector_id, c.head,
       (select min(r.position) from record r where r.connector_id = w.connector_id) as oldest
from workflow_progress p
join workflow w on w.id = p.workflow_id
join connector c on c.id = w.connector_id
where p.workflow_id = %(id)s
for no key update of p;

-- name: position_at
-- The newest record that was stored at an instant or before; 0 if there is none.
select position_at(%(connector_id)s, %(instant)s) as position;

-- name: move_watermark
-- Set the watermark; a workflow that had stopped goes on, unless where it stopped still lies ahead of a skip.
update workflow_progress
set position = %(position)s, in_hand = null, updated_at = now(),
    stopped_at = case when %(goes_on)s then null else stopped_at end,
    error = case when %(goes_on)s then null else error end
where workflow_id = %(id)s;

-- name: retry
-- Have workflows that have stopped try the record again at which they did.
update workflow_progress set stopped_at = null, error = null, updated_at = now()
where workflow_id = any(%(ids)s::bigint[]) and stopped_at is not null
returning workflow_id;

-- name: busiest
-- The workflows that have moved last, for people to watch.
select name, owner, connector, position, head, lag_seconds, dead_letters
from workflow_lag
where is_active
order by moved_at desc
limit %(rows)s;
