-- What became of jobs, as programs ask about it (include/store/executions.py).

-- name: execution
-- One execution.
select e.*, j.name as job, j.kind, j.owner
from execution e
join job j on j.id = e.job_id
where e.job_id = %(job_id)s and e.scheduled_for = %(due)s;

-- name: settings_at
-- What a job was to do at one of its revisions, as the audit has it; while it belonged to `owner` (null: to anybody).
select new ->> 'kind' as kind, new -> 'payload' as payload from audit
where table_name = 'job' and row_id = %(job_id)s and new ->> 'revision' = %(revision)s::text
  and (%(owner)s::text is null or new ->> 'owner' = %(owner)s)
order by id desc limit 1;

-- name: newest_of_job
-- The newest executions of a job from one instant until before another, by its index.
select e.*, j.name as job, j.kind, j.owner
from execution e
join job j on j.id = e.job_id
where e.job_id = %(job_id)s
  and e.scheduled_for >= coalesce(%(since)s::timestamptz, '-infinity')
  and e.scheduled_for < coalesce(%(until)s::timestamptz, 'infinity')
  and (%(status)s::text is null or e.status = %(status)s)
order by e.scheduled_for desc
limit %(limit)s;

-- name: oldest_of_job
-- The same, the oldest first.
select e.*, j.name as job, j.kind, j.owner
from execution e
join job j on j.id = e.job_id
where e.job_id = %(job_id)s
  and e.scheduled_for >= coalesce(%(since)s::timestamptz, '-infinity')
  and e.scheduled_for < coalesce(%(until)s::timestamptz, 'infinity')
  and (%(status)s::text is null or e.status = %(status)s)
order by e.scheduled_for
limit %(limit)s;

-- name: newest_of_all
-- The newest executions of all jobs, deleted ones too, in a stretch of time, before a place in their order. What was
-- written in that time is found by its instants, and read.
select e.*, j.name as job, j.kind, j.owner
from execution e
left join job j on j.id = e.job_id
where e.scheduled_for >= coalesce(%(since)s::timestamptz, '-infinity')
  and e.scheduled_for <= coalesce(%(until)s::timestamptz, 'infinity')
  and (e.scheduled_for, e.job_id) < (coalesce(%(until)s::timestamptz, 'infinity'), %(until_id)s::bigint)
  and (%(status)s::text is null or e.status = %(status)s)
  and (%(kind)s::text is null or j.kind = %(kind)s)
order by e.scheduled_for desc, e.job_id desc
limit %(limit)s;

-- name: newest_of_owner
-- The same of one owner's jobs: each of them is asked for its newest, by index, however much others have. The limit of 1
-- keeps the planner from reading all that a job has, to find the one execution.
with newest as materialized (
    select e.job_id, e.scheduled_for
    from job j
    cross join lateral (
        select e.job_id, e.scheduled_for from execution e
        where e.job_id = j.id
          and e.scheduled_for >= coalesce(%(since)s::timestamptz, '-infinity')
          and e.scheduled_for <= coalesce(%(until)s::timestamptz, 'infinity')
          and (e.scheduled_for, e.job_id) < (coalesce(%(until)s::timestamptz, 'infinity'), %(until_id)s::bigint)
          and (%(status)s::text is null or e.status = %(status)s)
        order by e.scheduled_for desc limit %(limit)s) e
    where j.owner = %(owner)s and (%(kind)s::text is null or j.kind = %(kind)s)
    order by e.scheduled_for desc, e.job_id desc
    limit %(limit)s
)
select e.*, j.name as job, j.kind, j.owner
from newest n
join job j on j.id = n.job_id
cross join lateral (
    select * from execution e where e.job_id = n.job_id and e.scheduled_for = n.scheduled_for limit 1) e
order by e.scheduled_for desc, e.job_id desc;
