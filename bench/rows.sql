-- What a scenario asks of the database, and what it does to it.

-- name: insert_jobs
-- Insert one webhook job per element, in one statement.
insert into job (name, kind, payload, cron, every, overlap)
select wish.name, 'webhook', jsonb_build_object('url', wish.url, 'body', jsonb_build_object('from', wish.name)),
       wish.cron, wish.every, wish.overlap
from unnest(%(names)s::text[], %(urls)s::text[], %(crons)s::text[], %(everys)s::interval[], %(overlaps)s::text[])
    with ordinality as wish(name, url, cron, every, overlap, place)
order by wish.place
returning *;

-- name: without_triggers
-- Until the transaction ends, rows come without their triggers: no audit, and so no DAG.
set local session_replication_role = replica;

-- name: insert_listed_jobs
-- Insert jobs to be listed, of several kinds and owners.
insert into job (name, owner, kind, payload, every)
select 'listed job ' || number, 'owner ' || mod(number, 20), (array['ping', 'http', 'webhook', 'email'])[1 + mod(number, 4)],
       jsonb_build_object('url', 'https://example.com/hook/' || number, 'headers', jsonb_build_object('x-number', number)),
       make_interval(secs => 60 + mod(number, 3600))
from generate_series(1, %(count)s::int) as number;

-- name: make_past_partitions
-- The partitions of the days in which insert_past_executions() puts its rows.
select make_execution_partitions((now() - %(span)s::interval)::date, now()::date);

-- name: insert_past_executions
-- What became of the jobs over the time before now: spread evenly over jobs and time, one in fifty failed.
insert into execution (job_id, scheduled_for, status, attempt, attempts, started_at, finished_at, output, error)
select j.id, at, case when mod(number, 50) = 0 then 'failed' else 'success' end, 1,
       jsonb_build_array(jsonb_build_object('attempt', 1, 'at', at, 'ms', 12.5, 'code', 200)),
       at + interval '7 ms', at + interval '20 ms', '{"line": "200 OK"}', case when mod(number, 50) = 0 then '500' end
from generate_series(%(first)s::int, %(last)s::int) as number
join (select id, row_number() over (order by id) - 1 as place from job) as j
    on j.place = mod(number, (select count(*) from job))
cross join lateral (select date_trunc('second', now()) - %(span)s::interval * number / %(whole)s::int as at) as t;

-- name: fold_tally
-- Fold what is old enough; how many rows of the tally that was.
select millrace.fold_tally(%(most)s::int) as folded;

-- name: vacuum_tally
-- As autovacuum does when so many rows have gone.
vacuum analyze tally;

-- name: delete_executions
-- Remove every execution, and what was counted of them.
with counted as (delete from tally) delete from execution;

-- name: delete_jobs
-- Remove every job.
delete from job;

-- name: remove_jobs
-- Remove some jobs.
delete from job where id = any(%(ids)s);

-- name: delete_timers
-- Remove every timer.
delete from timer;

-- name: insert_timers
-- Insert timers, each due so long after the one before.
insert into timer (url, due_at)
select %(url)s::text || '/timer', %(first)s::timestamptz + (number - 1) * %(gap)s::interval
from generate_series(1, %(count)s::int) as number
returning id, due_at;

-- name: timers
-- How many timers there are, by status.
select status, count(*) as timers from timer group by status;

-- name: pumps
-- How many pumps wait in a triggerer.
select count(*) as pumps
from public.task_instance ti
join public.trigger t on t.id = ti.trigger_id
where ti.dag_id = 'millrace_timers' and ti.state = 'deferred' and t.triggerer_id is not null;

-- name: attempts
-- The executions of these jobs that were due in this window.
select job_id, scheduled_for, status, attempt from execution
where job_id = any(%(ids)s) and scheduled_for >= %(start)s and scheduled_for < %(end)s;

-- name: delete_workflows
-- Remove every workflow; they hold on to their connectors.
delete from workflow;

-- name: delete_connectors
-- Remove every connector, and their logs with them.
delete from connector;

-- name: change_url
-- Edit one payload: from now on, the job calls another path.
update job set payload = jsonb_set(payload, '{url}', to_jsonb(%(url)s::text)) where id = %(id)s;

-- name: rename
-- Edit what the row's DAG shows: it has to be built anew.
update job set name = %(name)s where id = %(id)s;

-- name: shown
-- How many of these DAGs Airflow shows by the names that their rows have now.
select count(*) as dags
from job join public.dag d on d.dag_id = 'job_' || job.id and d.dag_display_name = job.name
where job.id = any(%(ids)s);

-- name: pause
-- Pause one job.
update job set is_active = false where id = %(id)s;

-- name: dags
-- Which of these DAGs Airflow has.
select dag_id from public.dag where dag_id = any(%(dag_ids)s) and not is_stale;

-- name: armed
-- The runs, of these DAGs, that wait in a triggerer that was started since: deferred, with a trigger that it has taken.
select ti.dag_id, run.data_interval_end as due
from public.task_instance ti
join public.trigger t on t.id = ti.trigger_id
join public.job triggerer on triggerer.id = t.triggerer_id and triggerer.start_date >= %(since)s::timestamptz
join public.dag_run run on run.dag_id = ti.dag_id and run.run_id = ti.run_id
where ti.state = 'deferred' and ti.dag_id = any(%(dag_ids)s);

-- name: on_their_way
-- How many runs have begun, or wait to, and have no trigger that a triggerer has taken.
select count(*)::int as runs
from public.dag_run run
where run.state in ('queued', 'running') and not exists (
    select from public.task_instance ti
    join public.trigger t on t.id = ti.trigger_id
    where ti.dag_id = run.dag_id and ti.run_id = run.run_id and ti.state = 'deferred' and t.triggerer_id is not null);

-- name: ledger
-- How many occurrences, of these jobs and due in this window, the ledger has, by status.
select status, count(*) as executions
from execution
where job_id = any(%(ids)s) and scheduled_for >= %(start)s and scheduled_for < %(end)s
group by status;

-- name: insert_connectors
-- Insert one connector per element, in one statement.
insert into connector (name, kind, config, every)
select wish.name, 'rest', wish.config, wish.every
from unnest(%(names)s::text[], %(configs)s::jsonb[], %(everys)s::interval[])
    with ordinality as wish(name, config, every, place)
order by wish.place
returning *;

-- name: append
-- Append records with the numbers from `first` to `last`, as a pull would.
select append_records(%(id)s, jsonb_agg(jsonb_build_object(
    'key', number::text,
    'payload', jsonb_build_object('id', number, 'state', 'open', 'text', repeat('lorem ipsum ', 30)))
    order by number))
from generate_series(%(first)s::int, %(last)s::int) as number;

-- name: heads
-- How far the logs go.
select id, head from connector where id = any(%(ids)s);

-- name: complaints
-- What keeps these connectors from being pulled.
select format('%%s: %%s', name, coalesce(error, last_error)) as complaint
from connector where id = any(%(ids)s) and coalesce(error, last_error) is not null;

-- name: log_facts
-- What each log holds, up to a key; keys are numbers.
select want.id, count(r.position) as records, count(distinct r.key) as keys,
       coalesce(min(r.position), 0) as first, coalesce(max(r.position), 0) as last,
       count(*) filter (where r.before >= r.key::bigint) as descents
from unnest(%(ids)s::bigint[], %(limits)s::bigint[]) as want(id, upto)
left join lateral (select position, key, lag(key::bigint) over (order by position) as before
                   from record
                   where connector_id = want.id and (want.upto is null or key::bigint <= want.upto)) r on true
group by want.id;

-- name: insert_workflows
-- Insert one workflow per element, in one statement; the id is in the URL that it calls.
with wish as (
    select nextval(pg_get_serial_sequence('workflow', 'id')) as id, asked.*
    from unnest(%(names)s::text[], %(owners)s::text[], %(connectors)s::bigint[], %(urls)s::text[],
                %(everys)s::interval[])
        with ordinality as asked(name, owner, connector_id, url, every, place)
), inserted as (
    insert into workflow (id, name, owner, connector_id, start_from, kind, payload, every)
    select id, name, owner, connector_id, 'beginning', 'webhook',
           jsonb_build_object('url', url || '/workflow/' || id), every
    from wish order by place
    returning *
)
select inserted.*, connector.name as connector from inserted join connector on connector.id = inserted.connector_id;

-- name: progress
-- How far these workflows are.
select coalesce(sum(p.processed), 0)::bigint as processed,
       (select count(*) from dead_letter d where d.workflow_id = any(%(ids)s)) as dead_letters
from workflow_progress p where p.workflow_id = any(%(ids)s);
