-- The statements behind store/redrives.py.

-- name: take
-- The oldest executions that a person wants sent again, of jobs that nobody redrives just now: at most so many jobs, those
-- with the oldest first. A job that is taken is not given to anybody else for a while, in which the first of its
-- executions is claimed; from then on the claim keeps others away.
with taken as (
    select job_id, min(scheduled_for) as oldest, (array_agg(scheduled_for order by scheduled_for))[1:%(each)s::int] as dues
    from redrive
    where kind <> all(%(worker_kinds)s::text[]) and job_id <> all(%(at_work)s::bigint[])
      and (%(job_id)s::bigint is null or job_id = %(job_id)s::bigint)
    group by job_id
    having max(free_at) <= now()
    order by oldest
    limit %(most)s::int
)
update execution e set redrive_at = now() + make_interval(secs => %(seconds)s)
from taken t
where e.job_id = t.job_id and e.scheduled_for = t.oldest and e.redrive_at <= now()
returning t.job_id, t.dues;

-- name: next_in
-- In how many seconds a job can be taken, at the earliest; null: nothing is to be sent again. A job that is being seen to
-- here is looked at again after a while.
select extract(epoch from min(free_at) - now())::float8 as seconds
from (select greatest(max(free_at), case when job_id = any(%(at_work)s::bigint[])
                                         then now() + make_interval(secs => %(seconds)s) end) as free_at
      from redrive
      where kind <> all(%(worker_kinds)s::text[])
      group by job_id) as jobs;

-- name: let_go
-- Have an execution taken at another time than its hold says, and tell the pumps.
with changed as (
    update execution set redrive_at = now() + make_interval(secs => %(after)s)
    where job_id = %(job_id)s and scheduled_for = %(due)s and redrive_at is not null
    returning job_id
)
select pg_notify('millrace', 'timer') from changed;
