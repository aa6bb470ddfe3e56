-- What a scenario asks of the database, and what it does to it.

-- name: insert_jobs
-- Insert one webhook job per element, in one statement.
insert into job (name, kind, payload, cron, every)
select wish.name, 'webhook', jsonb_build_object('url', wish.url, 'body', jsonb_build_object('from', wish.name)),
       wish.cron, wish.every
from unnest(%(names)s::text[], %(urls)s::text[], %(crons)s::text[], %(everys)s::interval[])
    with ordinality as wish(name, url, cron, every, place)
order by wish.place
returning *;

-- name: delete_jobs
-- Remove what a scenario has inserted.
delete from job where id = any(%(ids)s);

-- name: change_url
-- Edit one payload: from now on, the job calls another path.
update job set payload = jsonb_set(payload, '{url}', to_jsonb(%(url)s::text)) where id = %(id)s;

-- name: pause
-- Pause one job.
update job set is_active = false where id = %(id)s;

-- name: dags
-- Which of these DAGs Airflow has.
select dag_id from public.dag where dag_id = any(%(dag_ids)s) and not is_stale;

-- name: armed
-- The runs, of these DAGs, that wait in a triggerer: deferred, with a trigger that a triggerer has taken.
select ti.dag_id, run.data_interval_end as due
from public.task_instance ti
join public.trigger t on t.id = ti.trigger_id
join public.dag_run run on run.dag_id = ti.dag_id and run.run_id = ti.run_id
where ti.state = 'deferred' and t.triggerer_id is not null and ti.dag_id = any(%(dag_ids)s);

-- name: ledger
-- How many occurrences, of these jobs and due in this window, the ledger has, by status.
select status, count(*) as executions
from execution
where job_id = any(%(ids)s) and scheduled_for >= %(start)s and scheduled_for < %(end)s
group by status;
