-- Workflows and how far they are, as people ask about them and handle them (include/store/workflows.py).

-- name: workflow_names
-- Every name once, to find the one that was meant.
select distinct name from workflow order by name;

-- name: list_workflows
-- A page of workflows in the order of their ids, each with how far it is, and whose connector it reads where that is
-- somebody else's; or those of one id, or one name. Lag is worked out for those of the page only. A workflow that has not
-- begun has no lag yet.
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
select w.*, l.connector, nullif(c.owner, w.owner) as connector_owner, p.begun, l.position, l.head,
       case when p.begun then l.lag_records end as lag_records, case when p.begun then l.lag_seconds end as lag_seconds,
       l.processed, l.failed, l.stopped_at, l.stopped_by, l.dead_letters, l.moved_at
from page w
join workflow_progress p on p.workflow_id = w.id
join workflow_lag l on l.workflow_id = w.id
join connector c on c.id = w.connector_id
order by w.id;

-- name: workflow_by_external_id
-- The id of an owner's workflow by the name that its maker has for it.
select id from workflow where owner = %(owner)s and external_id = %(external_id)s;

-- name: lock_workflow
-- One workflow, if it is the owner's, or of any owner, for somebody who is about to change it.
select * from workflow where id = %(id)s and (%(owner)s::text is null or owner = %(owner)s) for no key update;

-- name: connectors_of_new
-- The connectors of that name or id, or of both, that are the owner's, or of any owner; they stay until the transaction
-- ends.
select id, owner from connector
where (%(name)s::text is null or name = %(name)s) and (%(id)s::bigint is null or id = %(id)s)
  and (%(owner)s::text is null or owner = %(owner)s)
order by id
for key share;

-- name: search_workflows
-- A page of workflows in the order that is asked for, each with how far it is. Lag is worked out for those of the page only.
with wanted as materialized (
    select w.id,
           case %(sort)s when 'name' then w.name when 'owner' then w.owner
                         when 'created_at' then to_char(w.created_at, 'YYYYMMDDHH24MISSUS')
                         when 'updated_at' then to_char(w.updated_at, 'YYYYMMDDHH24MISSUS')
                         else to_char(w.id, 'FM0000000000000000000') end collate "C" as sort_key
    from workflow w
    join workflow_progress p on p.workflow_id = w.id
    join connector c on c.id = w.connector_id
    where (%(owner)s::text is null or w.owner = %(owner)s)
      and (%(connector_id)s::bigint is null or w.connector_id = %(connector_id)s)
      and (%(kind)s::text is null or w.kind = %(kind)s)
      and (%(name)s::text is null or w.name = %(name)s)
      and (%(external_id)s::text is null or w.external_id = %(external_id)s)
      and (%(state)s::text is null or %(state)s = case
               when w.error is not null then 'error'
               when p.stopped_at is not null then 'stopped'
               when not w.is_active or coalesce(w.paused_until > now(), false) then 'paused'
               when not p.begun then 'waiting' else 'active' end)
      and (%(search)s::text is null
           or position(lower(%(search)s) in
                       lower(concat_ws(' ', w.name, w.external_id, w.kind, w.owner, c.name, w.filter, w.payload))) > 0)
), page as materialized (
    select id, sort_key, (select count(*) from wanted) as total from wanted
    where %(after_id)s::bigint is null
       or case when %(descending)s then (sort_key, id) < (%(after_key)s collate "C", %(after_id)s::bigint)
               else (sort_key, id) > (%(after_key)s collate "C", %(after_id)s::bigint) end
    order by case when %(descending)s then sort_key end desc, case when not %(descending)s then sort_key end,
             case when %(descending)s then id end desc, id
    limit %(limit)s
)
select w.*, g.sort_key, g.total, l.connector, p.begun, l.position, l.head,
       case when p.begun then l.lag_records end as lag_records, case when p.begun then l.lag_seconds end as lag_seconds,
       l.processed, l.failed, l.stopped_at, l.stopped_by, l.dead_letters, l.moved_at
from page g
join workflow w on w.id = g.id
join workflow_progress p on p.workflow_id = w.id
join workflow_lag l on l.workflow_id = w.id
order by case when %(descending)s then sort_key end desc, case when not %(descending)s then sort_key end,
         case when %(descending)s then w.id end desc, w.id;

-- name: search_lag
-- A page of how far workflows are, in the order of `list_lag`. The age of the oldest record that lies ahead is told by its
-- instant, so that time alone puts no workflow at another place; then come those that have caught up, then those that
-- have not begun.
with wanted as materialized (
    select w.id,
           (case when p.stopped_at is not null or w.error is not null then '0' else '1' end
            || case when not p.begun then 'n'
                    when c.head > p.position
                    then coalesce(to_char(coalesce(oldest.created_at, c.head_at), 'YYYYMMDDHH24MISSUS'), '')
                    else 'c' end) collate "C" as sort_key
    from workflow w
    join workflow_progress p on p.workflow_id = w.id
    join connector c on c.id = w.connector_id
    left join lateral (select r.created_at from record r
                       where r.connector_id = w.connector_id and r.position > p.position
                       order by r.position limit 1) oldest on p.begun and c.head > p.position
    where %(owner)s::text is null or w.owner = %(owner)s
), page as materialized (
    select id, sort_key, (select count(*) from wanted) as total from wanted
    where %(after_id)s::bigint is null or (sort_key, id) > (%(after_key)s collate "C", %(after_id)s::bigint)
    order by sort_key, id
    limit %(limit)s
)
select w.id as workflow_id, w.name, w.owner, w.connector_id, l.connector, p.begun, l.position, l.head,
       case when p.begun then l.lag_records end as lag_records, case when p.begun then l.lag_seconds end as lag_seconds,
       l.processed, l.failed, l.stopped_at, l.stopped_by, l.dead_letters, l.moved_at, w.error, w.is_active,
       w.paused_until, w.started_at, g.sort_key, g.total
from page g
join workflow w on w.id = g.id
join workflow_progress p on p.workflow_id = w.id
join workflow_lag l on l.workflow_id = w.id
order by g.sort_key, w.id;

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

-- name: read_filter
-- An error, as the table's own check has it, if this is no path predicate.
select jsonb_path_match('{}', %(value)s::text::jsonpath);

-- name: read_start_from
-- An error, as the table's own check has it, if this is neither a word for where to begin, nor an instant.
select case when %(value)s not in ('now', 'beginning') then %(value)s::text::timestamptz end;

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

-- name: hold_log
-- Keep the log of a workflow's connector as it is until the transaction ends: nothing is appended, and nothing pruned.
select c.id from connector c join workflow w on w.connector_id = c.id where w.id = %(id)s for share of c;

-- name: lock_watermark
-- Where a workflow is, and what there is of its connector's log; nobody moves the watermark until the transaction ends.
select p.position, p.stopped_at, p.begun, w.connector_id, c.head, coalesce(g.up_to, 0) as pruned,
       (select min(r.position) from record r
        where r.connector_id = w.connector_id and r.position > coalesce(g.up_to, 0)) as oldest
from workflow_progress p
join workflow w on w.id = p.workflow_id
join connector c on c.id = w.connector_id
left join pruned_log g on g.connector_id = c.id
where p.workflow_id = %(id)s
for no key update of p;

-- name: position_at
-- The newest record that was stored at an instant or before; 0 if there is none.
select position_at(%(connector_id)s, %(instant)s) as position;

-- name: move_watermark
-- Set the watermark, and write who did it; a workflow that had stopped goes on, unless where it stopped still lies ahead of
-- a skip.
with before as materialized (
    select p.workflow_id, w.owner, p.position, p.stopped_at
    from workflow_progress p
    join workflow w on w.id = p.workflow_id
    where p.workflow_id = %(id)s
    for no key update of p
), moved as (
    update workflow_progress p
    set position = %(position)s, in_hand = null, updated_at = now(),
        stopped_at = case when %(goes_on)s then null else p.stopped_at end,
        error = case when %(goes_on)s then null else p.error end
    from before b
    where p.workflow_id = b.workflow_id
    returning p.workflow_id, p.position, p.stopped_at
)
insert into audit (actor, via, table_name, row_id, operation, old, new, changes_dag)
select coalesce(nullif(current_setting('millrace.actor', true), ''), session_user),
       coalesce(nullif(current_setting('millrace.via', true), ''), 'sql'), 'workflow_progress', b.workflow_id, 'update',
       jsonb_build_object('owner', b.owner, 'position', b.position, 'stopped_at', b.stopped_at),
       jsonb_build_object('owner', b.owner, 'position', m.position, 'stopped_at', m.stopped_at), false
from before b
join moved m using (workflow_id);

-- name: retry
-- Have workflows that have stopped try the record again at which they did, and write who wanted it.
with before as materialized (
    select p.workflow_id, w.owner, p.position, p.stopped_at
    from workflow_progress p
    join workflow w on w.id = p.workflow_id
    where p.workflow_id = any(%(ids)s::bigint[]) and p.stopped_at is not null
    order by p.workflow_id
    for no key update of p
), going as (
    update workflow_progress p set stopped_at = null, error = null, updated_at = now()
    from before b
    where p.workflow_id = b.workflow_id
    returning p.workflow_id
)
insert into audit (actor, via, table_name, row_id, operation, old, new, changes_dag)
select coalesce(nullif(current_setting('millrace.actor', true), ''), session_user),
       coalesce(nullif(current_setting('millrace.via', true), ''), 'sql'), 'workflow_progress', b.workflow_id, 'update',
       jsonb_build_object('owner', b.owner, 'position', b.position, 'stopped_at', b.stopped_at),
       jsonb_build_object('owner', b.owner, 'position', b.position, 'stopped_at', null), false
from before b
join going g using (workflow_id)
returning row_id as workflow_id;

-- name: furthest_behind
-- The workflows that are furthest behind, and of those that are not, the ones that have moved last: for people to watch.
select name, owner, connector, position, head, lag_seconds, dead_letters
from workflow_lag
where is_active
order by lag_seconds desc nulls last, moved_at desc
limit %(rows)s;
