-- How far workflows are (include/store/progress.py). Where parameters are arrays, they are of equal length.

-- name: look
-- Workflows as they stand, and whether there is anything to do for them.
select want.place, w.*, c.name as connector,
       case when not p.begun then w.started_at <= now()
            else p.stopped_at is null and c.head > p.position end
       or exists (select from dead_letter d where d.workflow_id = w.id and d.resolved_at is null
                  and d.status = 'redriving') as has_work,
       p.stopped_at, p.error as stopped_by
from unnest(%(workflow_id)s::bigint[]) with ordinality as want(workflow_id, place)
join workflow w on w.id = want.workflow_id
join connector c on c.id = w.connector_id
join workflow_progress p on p.workflow_id = w.id;

-- name: begin
-- Set the watermark, if it is time and has not been done.
select begin_workflow(%(workflow_id)s);

-- name: watermark
-- Where a workflow is.
select position, in_hand, stopped_at, begun from workflow_progress where workflow_id = %(workflow_id)s;

-- name: records
-- The next records of a log, a bounded number of rows and, but for the first, of bytes. Those that a filter passes over
-- are there without their payload.
select x.position, x.key, x.created_at, x.wanted, case when x.wanted then x.payload end as payload
from (
    select r.position, r.key, r.created_at, r.payload,
           %(filter)s::jsonpath is null
               or coalesce(jsonb_path_match(r.payload, %(filter)s::jsonpath, '{}', true), false) as wanted,
           sum(pg_column_size(r.payload)) over (order by r.position) - pg_column_size(r.payload) as bytes_before
    from record r
    where r.connector_id = %(connector_id)s and r.position > %(after)s
    order by r.position
    limit %(rows)s
) x
where x.bytes_before < %(bytes)s
order by x.position;

-- name: hold
-- Note which batch is about to be sent, so that after a crash it is sent again as it was.
update workflow_progress set in_hand = %(in_hand)s
where workflow_id = %(workflow_id)s and position = %(after)s
returning workflow_id;

-- name: advance
-- Move watermarks over records that are finished: from where the turn's holder found them, and not by anybody else. What
-- was a dead letter, and has been processed now because somebody rewound over it, is none any more.
with moved as (
    update workflow_progress p
    set position = d.position, in_hand = null, processed = p.processed + d.processed, failed = p.failed + d.failed,
        updated_at = now()
    from unnest(%(workflow_id)s::bigint[], %(claim)s::bigint[], %(after)s::bigint[], %(position)s::bigint[],
                %(processed)s::int[], %(failed)s::int[])
        with ordinality as d(workflow_id, claim, after, position, processed, failed, place)
    where p.workflow_id = d.workflow_id and p.position = d.after
      and exists (select from turn t where t.table_name = 'workflow' and t.row_id = d.workflow_id and t.claim = d.claim
                  and t.ended_at is null)
    returning d.*
), mended as (
    update dead_letter l set status = 'redriven', resolved_at = now()
    from moved m
    where m.processed > 0 and l.workflow_id = m.workflow_id and l.position > m.after and l.position <= m.position
      and l.resolved_at is null
)
select place from moved;

-- name: quarantine
-- Put the records of a failed call aside and move the watermark over them, or do neither. What was given up before, and
-- has been rewound over, is the same dead letter.
with moved as (
    update workflow_progress p
    set position = %(position)s, in_hand = null, failed = p.failed + cardinality(%(positions)s::bigint[]),
        updated_at = now()
    where p.workflow_id = %(workflow_id)s and p.position = %(after)s
      and exists (select from turn t where t.table_name = 'workflow' and t.row_id = p.workflow_id
                  and t.claim = %(claim)s and t.ended_at is null)
    returning p.workflow_id
)
insert into dead_letter (workflow_id, connector_id, position, error, attempts)
select moved.workflow_id, %(connector_id)s, n, %(error)s, %(attempts)s
from moved, unnest(%(positions)s::bigint[]) as n
on conflict (workflow_id, position) do update
set status = 'dead', error = excluded.error, attempts = dead_letter.attempts || excluded.attempts, resolved_at = null,
    created_at = now()
returning position;

-- name: stop
-- Stop at a record until a person retries or skips it.
update workflow_progress p set stopped_at = %(position)s, error = %(error)s, in_hand = null, updated_at = now()
where p.workflow_id = %(workflow_id)s and p.position = %(after)s
returning p.workflow_id;

-- name: redriving
-- The dead letters that a person wants to be sent again, oldest record first.
select d.id, d.position, jsonb_array_length(d.attempts) as attempts, r.key, r.payload, r.created_at,
       r.position is not null as kept
from dead_letter d
left join record r on r.connector_id = d.connector_id and r.position = d.position
where d.workflow_id = %(workflow_id)s and d.resolved_at is null and d.status = 'redriving'
order by d.position
limit 100;

-- name: redriven
-- Write what became of a dead letter that was sent again.
update dead_letter
set status = %(status)s, error = coalesce(%(error)s, error), attempts = attempts || %(attempts)s,
    resolved_at = case when %(status)s = 'redriven' then now() end
where id = %(id)s and status = 'redriving';
