-- Upkeep of Airflow's own tables (include/store/upkeep_airflow.py), which have to be in schema public of this database; as
-- in upkeep.sql. What `airflow db clean` would do, in small batches, without copies of what is removed, and only to what is
-- over. All that belongs to a run goes with it, by Airflow's own foreign keys.

-- name: stuck_tasks
-- Tasks that wait for a trigger which is no longer there: the scheduler is to begin them anew.
with doomed as materialized (
    select t.id from public.task_instance t
    join public.dag_run r on r.dag_id = t.dag_id and r.run_id = t.run_id
    where t.state = 'deferred' and t.trigger_id is null and t.updated_at < %(now)s - interval '10 minutes'
      and r.state = 'running' and t.dag_id ~ '^(job_|connector_|workflow_|millrace_)'
    limit %(most)s::bigint
), freed as (
    update public.task_instance t
    set state = null, next_method = null, next_kwargs = null, trigger_timeout = null, updated_at = %(now)s
    from doomed d where t.id = d.id and t.state = 'deferred' and t.trigger_id is null and %(change)s
    returning 1
)
select (select count(*) from doomed) as found, (select count(*) from freed) as changed;

-- name: stuck_runs
-- Runs of rows that were deleted, at which the scheduler never looks again; not while a worker is at one. They have failed.
with doomed as materialized (
    select r.id, r.dag_id, r.run_id from public.dag_run r
    where r.state in ('queued', 'running') and r.updated_at < %(now)s - interval '1 hour' and is_of_no_row(r.dag_id)
      and not exists (select from public.dag d where d.dag_id = r.dag_id and not d.is_stale)
      and not exists (select from public.task_instance t where t.dag_id = r.dag_id and t.run_id = r.run_id
                      and t.state = 'running' and t.last_heartbeat_at > %(now)s - interval '10 minutes')
    limit %(most)s::bigint
), locked as materialized (
    select r.id, r.dag_id, r.run_id from public.dag_run r join doomed d using (id)
    where r.state in ('queued', 'running') and %(change)s for update of r skip locked
), tasks as (
    update public.task_instance t
    set state = 'failed', end_date = %(now)s, trigger_id = null, next_method = null, next_kwargs = null,
        updated_at = %(now)s
    from locked l where t.dag_id = l.dag_id and t.run_id = l.run_id
      and (t.state is null or t.state not in ('success', 'failed', 'skipped', 'upstream_failed', 'removed'))
), ended as (
    update public.dag_run r set state = 'failed', end_date = %(now)s, updated_at = %(now)s
    from locked l where r.id = l.id
    returning 1
)
select (select count(*) from doomed) as found, (select count(*) from ended) as changed;

-- name: abandoned_executions
-- Executions that are under way, as the ledger has it, but with nobody at work on them for an hour: their owner is dead,
-- and no run of Airflow's will come back to them. They have failed: a dead letter, for a person to judge. Those that wait
-- to be redriven are the pumps'.
with doomed as materialized (
    select e.job_id, e.scheduled_for, e.claim, e.attempt, j.id is null as deleted
    from execution e
    left join job j on j.id = e.job_id
    where e.status in ('running', 'retrying') and e.redrive_at is null
      and greatest(e.scheduled_for, e.started_at) < %(now)s - interval '1 hour'
      and not exists (select from lease l where l.owner = e.claimed_by and l.until > %(now)s - interval '1 minute')
      and (j.id is null or not exists (
          select from public.dag_run r where r.dag_id = 'job_' || e.job_id and r.state in ('queued', 'running')
                                         and (r.run_id = e.dag_run_id or e.origin = 'schedule')))
    limit %(most)s::bigint
), ended as (
    update execution e
    set status = case when d.deleted then 'cancelled' else 'failed' end,
        reason = case when d.deleted then 'the job was deleted' else 'nobody went on with it' end,
        error = case when d.deleted then e.error
                     else coalesce(e.error, 'the process that was sending it died, and its run in Airflow is over') end,
        finished_at = %(now)s, claimed_by = null
    from doomed d
    where e.job_id = d.job_id and e.scheduled_for = d.scheduled_for and e.status in ('running', 'retrying')
      and e.claim is not distinct from d.claim and e.attempt = d.attempt and e.redrive_at is null and %(change)s
    returning 1
)
select (select count(*) from doomed) as found, (select count(*) from ended) as changed;

-- name: runs
-- Runs that ended long ago. The newest of each DAG and kind of run stays, by when it ran and by what it was for: it is where
-- Airflow goes on from. Of rows that were deleted none does.
with doomed as materialized (
    select r.id from public.dag_run r
    where r.run_after < %(runs)s and r.end_date < %(runs)s and r.state in ('success', 'failed')
      and (exists (select from public.dag_run n
                   where n.dag_id = r.dag_id and n.run_type = r.run_type and (n.run_after, n.id) > (r.run_after, r.id))
               and (r.logical_date is null or exists (
                   select from public.dag_run n
                   where n.dag_id = r.dag_id and n.run_type = r.run_type and n.logical_date > r.logical_date))
           or is_of_no_row(r.dag_id) and not exists (select from public.dag d where d.dag_id = r.dag_id and not d.is_stale))
    order by r.run_after limit %(most)s::bigint
), locked as materialized (
    select r.id from public.dag_run r join doomed d using (id)
    where r.state in ('success', 'failed') and %(change)s for update of r skip locked
), gone as (
    delete from public.dag_run r using locked l where r.id = l.id returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: versions
-- Versions of DAGs, with their code, that newer ones have replaced and no task refers to.
with doomed as materialized (
    select v.id from public.dag_version v
    where v.created_at < %(runs)s
      and exists (select from public.dag_version n where n.dag_id = v.dag_id and n.version_number > v.version_number)
      and not exists (select from public.task_instance t where t.dag_version_id = v.id)
    limit %(most)s::bigint
), gone as (
    delete from public.dag_version v using doomed d where v.id = d.id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: dags
-- DAGs of rows that were deleted, once nothing is left of their runs.
with doomed as materialized (
    select d.dag_id from public.dag d
    where d.is_stale and d.last_parsed_time < %(runs)s and is_of_no_row(d.dag_id)
      and not exists (select from public.dag_run r where r.dag_id = d.dag_id)
    limit %(most)s::bigint
), locked as materialized (
    select d.dag_id from public.dag d join doomed using (dag_id) where d.is_stale and %(change)s for update of d skip locked
), gone as (
    delete from public.dag d using locked l where d.dag_id = l.dag_id returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: log_entries
-- Airflow's audit log: what happened to runs as long as these are kept, what people did as long as our own audit is.
with doomed as materialized (
    select id from public.log
    where dttm < %(runs)s and (run_id is not null or dttm < %(audit)s)
    order by dttm limit %(most)s::bigint
), gone as (
    delete from public.log t using doomed d where t.id = d.id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: asset_events
-- Events of assets, but for the newest of each, and those that a DAG is still to have a run for.
with doomed as materialized (
    select e.id from public.asset_event e
    where e.timestamp < %(runs)s
      and exists (select from public.asset_event n where n.asset_id = e.asset_id and n.timestamp > e.timestamp)
      and not exists (select from public.asset_dag_run_queue q
                      where q.asset_id = e.asset_id and q.created_at >= e.timestamp)
    limit %(most)s::bigint
), gone as (
    delete from public.asset_event e using doomed d where e.id = d.id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: callbacks
-- Callbacks that have ended, or that no deadline waits for any more.
with doomed as materialized (
    select c.id from public.callback c
    where c.created_at < %(runs)s
      and (c.state is null or c.state in ('success', 'failed')
           or c.state = 'scheduled' and not exists (select from public.deadline l where l.callback_id = c.id))
    limit %(most)s::bigint
), gone as (
    delete from public.callback c using doomed d where c.id = d.id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: processes
-- Airflow's note of its own processes that ended long ago, but for the newest of each kind.
with doomed as materialized (
    select j.id from public.job j
    where j.latest_heartbeat < %(runs)s
      and exists (select from public.job n where n.job_type = j.job_type and n.latest_heartbeat > j.latest_heartbeat)
    limit %(most)s::bigint
), gone as (
    delete from public.job j using doomed d where j.id = d.id and j.latest_heartbeat < %(runs)s and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: tokens
-- Tokens that were withdrawn, and have run out since.
with doomed as materialized (
    select jti from public.revoked_token where exp < %(now)s - interval '1 day' limit %(most)s::bigint
), gone as (
    delete from public.revoked_token t using doomed d where t.jti = d.jti and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: connection_tests
-- Tests of connections that have ended.
with doomed as materialized (
    select id from public.connection_test_request
    where state in ('success', 'failed') and updated_at < %(runs)s limit %(most)s::bigint
), gone as (
    delete from public.connection_test_request t using doomed d where t.id = d.id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: state
-- Whether an index is there, and whether it is whole: one whose making was cut off is not.
select i.indisvalid as is_valid from pg_index i where i.indexrelid = to_regclass(%(index)s);
