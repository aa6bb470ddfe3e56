-- Dead letters as people handle them (include/store/dead_letters.py).

-- name: list_dead_letters
-- The newest dead letters; `kept` says whether the log still has the record. With `open`, those that wait for a person or
-- for the workflow.
select d.id, d.workflow_id, w.name as workflow, w.owner, d.connector_id, c.name as connector, d.position, r.key,
       r.position is not null as kept, d.status, d.error, d.attempts, d.created_at, d.resolved_at
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

-- name: dead_letter
-- One dead letter with its record, by its id or by its workflow and position.
select d.id, d.workflow_id, w.name as workflow, w.owner, d.connector_id, c.name as connector, d.position, d.status,
       d.error, d.attempts, d.created_at, d.resolved_at,
       case when r.position is not null then jsonb_build_object('key', r.key, 'version', r.version, 'payload', r.payload,
                                                                'created_at', r.created_at) end as record
from dead_letter d
join workflow w on w.id = d.workflow_id
join connector c on c.id = w.connector_id
left join record r on r.connector_id = d.connector_id and r.position = d.position
where d.id = %(id)s or (d.workflow_id, d.position) = (%(workflow_id)s, %(position)s);

-- name: choose
-- The dead letters of these ids, whatever their status; or those of a workflow that are dead, since an instant or all.
select d.id, d.workflow_id, w.name as workflow, c.name as connector, d.position, d.status, d.resolved_at,
       exists (select from record r where r.connector_id = d.connector_id and r.position = d.position) as kept,
       w.is_active
from dead_letter d
join workflow w on w.id = d.workflow_id
join connector c on c.id = w.connector_id
where d.id = any(%(ids)s::bigint[])
   or d.workflow_id = %(workflow_id)s and d.status = 'dead' and d.resolved_at is null
      and (%(since)s::timestamptz is null or d.created_at > %(since)s)
order by d.id;

-- name: redrive
-- Have dead letters sent again: those that are still dead, and whose record is still there.
update dead_letter d set status = 'redriving'
where d.id = any(%(ids)s::bigint[]) and d.status = 'dead'
  and exists (select from record r where r.connector_id = d.connector_id and r.position = d.position)
returning d.id;

-- name: discard
-- Give up on dead letters for good: those that nobody has resolved.
update dead_letter set status = 'discarded', resolved_at = now()
where id = any(%(ids)s::bigint[]) and resolved_at is null
returning id;
