-- What `jobs why` asks (include/store/why.py).

-- name: newest
-- The newest execution of a job by its schedule; or the one of an instant.
select scheduled_for, status, reason, origin, attempt, attempts, started_at, finished_at, error, dag_run_id, redrive_at
from execution
where job_id = %(job_id)s and (%(due)s::timestamptz is null and origin = 'schedule' or scheduled_for = %(due)s)
order by scheduled_for desc
limit 1;

-- name: first_since
-- The first execution of a job by its schedule in a span of time.
select scheduled_for from execution
where job_id = %(job_id)s and origin = 'schedule' and scheduled_for >= %(begin)s and scheduled_for < %(end)s
order by scheduled_for
limit 1;

-- name: under_way
-- What a job has under way besides.
select scheduled_for, status, attempt, started_at from execution
where job_id = %(job_id)s and status in ('running', 'retrying') and scheduled_for is distinct from %(due)s
order by scheduled_for desc
limit 5;

-- name: pauses
-- Who took the job off duty or put it back, the newest first.
select at, actor, via, (new ->> 'is_active')::bool as is_active, (new ->> 'paused_until')::timestamptz as paused_until
from audit
where table_name = 'job' and row_id = %(job_id)s and operation = 'update'
  and (old -> 'is_active', old -> 'paused_until') is distinct from (new -> 'is_active', new -> 'paused_until')
order by id desc
limit 50;

-- name: alive
-- How many processes of Millrace are alive.
select count(*) as processes from lease where until > now();

-- name: has_airflow
-- Whether Airflow's tables are in this database.
select to_regclass('public.dag_run') is not null as found;

-- name: airflow
-- What Airflow has of a job's DAG and of its run for an instant, and when its components last gave a sign of life. Where runs
-- last (`has_shifts`), it is the last one that had begun.
select d.dag_id is not null as has_dag, coalesce(d.is_paused, false) as is_paused, coalesce(d.is_stale, false) as is_stale,
       d.next_dagrun_create_after as next_run_at,
       run.run_id, run.state as run_state, run.start_date as run_started_at, run.end_date as run_ended_at,
       ti.state as task_state,
       (select max(latest_heartbeat) from public.job where job_type = 'SchedulerJob') as scheduler_at,
       (select max(latest_heartbeat) from public.job where job_type = 'TriggererJob') as triggerer_at,
       (select max(latest_heartbeat) from public.job where job_type = 'DagProcessorJob') as processor_at
from (select 1) as always
left join public.dag d on d.dag_id = %(dag_id)s
left join lateral (
    select * from public.dag_run r
    where r.dag_id = d.dag_id and r.run_type = 'scheduled'
      and (r.data_interval_end = %(due)s or %(has_shifts)s and r.data_interval_end <= %(due)s)
    order by r.data_interval_end desc
    limit 1
) as run on true
left join public.task_instance ti on ti.dag_id = run.dag_id and ti.run_id = run.run_id
limit 1;
