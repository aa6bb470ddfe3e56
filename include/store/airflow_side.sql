-- What Millrace adds to Airflow's own tables, in the same database. Safe to run again; run after `airflow db migrate`.
-- Names begin with millrace_, so that they are easily told apart and can be dropped without harm.

-- Airflow looks these columns up for every DAG that it parses or run that it starts, and has no index on them.
create index if not exists millrace_dag_code_dag on public.dag_code (dag_id);
create index if not exists millrace_serialized_dag_dag on public.serialized_dag (dag_id, created_at desc);
create index if not exists millrace_dag_run_queued on public.dag_run (run_after) where state = 'queued';
create index if not exists millrace_dag_file on public.dag (bundle_name, relative_fileloc);
-- In each of its rounds a triggerer looks for these, of which there are hardly any, among the tasks of all its triggers.
create index if not exists millrace_task_instance_resumed on public.task_instance (id)
    where state <> 'deferred' and trigger_id is not null;

-- These rows are updated many times in their short life: room on the page keeps the updates cheap.
alter table public.dag_run set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
alter table public.task_instance set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
alter table public.trigger set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
alter table public.dag set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- A triggerer's sign of life is of the moment in which it arrives. Airflow 3.3.2 writes the time of the one before: a living
-- triggerer that was busy for seconds would pass for dead because of its very heartbeat.
create or replace function millrace.heartbeat_is_now() returns trigger language plpgsql as $$
begin
    new.latest_heartbeat := clock_timestamp();
    return new;
end $$;
create or replace trigger millrace_heartbeat_is_now
    before update of latest_heartbeat on public.job
    for each row when (new.job_type = 'TriggererJob' and new.state = 'running')
    execute function millrace.heartbeat_is_now();

-- A pause is one fact, wherever it is set: pausing the DAG in Airflow sets is_active of its row, and the other way round.
-- The audit says that it came by Airflow; who it was, Airflow does not tell the database (its own audit log has it).
create or replace function millrace.pause_follows_dag() returns trigger language plpgsql
set millrace.via = 'airflow' set millrace.actor = 'airflow' as $$
declare
    row_id constant bigint := substring(new.dag_id from '_([0-9]{1,18})$')::bigint;
begin
    if new.dag_id like 'job\_%' then
        update millrace.job set is_active = not new.is_paused where id = row_id and is_active = new.is_paused;
    elsif new.dag_id like 'connector\_%' then
        update millrace.connector set is_active = not new.is_paused where id = row_id and is_active = new.is_paused;
    else
        update millrace.workflow set is_active = not new.is_paused where id = row_id and is_active = new.is_paused;
    end if;
    return null;
end $$;
create or replace trigger millrace_pause_follows_dag
    after update of is_paused on public.dag
    for each row when (new.dag_id ~ '^(job|connector|workflow)_[0-9]{1,18}$'
                       and old.is_paused is distinct from new.is_paused)
    execute function millrace.pause_follows_dag();

create or replace function millrace.dag_follows_pause() returns trigger language plpgsql as $$
begin
    update public.dag set is_paused = not new.is_active
    where dag_id = tg_table_name || '_' || new.id and is_paused = new.is_active;
    return null;
end $$;
create or replace trigger dag_follows_pause
    after update of is_active on millrace.job
    for each row when (old.is_active is distinct from new.is_active)
    execute function millrace.dag_follows_pause();
create or replace trigger dag_follows_pause
    after update of is_active on millrace.connector
    for each row when (old.is_active is distinct from new.is_active)
    execute function millrace.dag_follows_pause();
create or replace trigger dag_follows_pause
    after update of is_active on millrace.workflow
    for each row when (old.is_active is distinct from new.is_active)
    execute function millrace.dag_follows_pause();

-- A run that ends in Airflow ends its execution, also where nobody is on duty to hear of it: between two tries.
create or replace function millrace.execution_follows_run() returns trigger language plpgsql as $$
begin
    update millrace.execution
    set status = 'cancelled', reason = 'the run was ended in Airflow', finished_at = now()
    where job_id = substring(old.dag_id from '^job_([0-9]{1,18})$')::bigint
      and status = 'retrying' and claimed_by is null and dag_run_id = old.run_id;
    return null;
end $$;
create or replace trigger millrace_execution_follows_run
    after update of state on public.dag_run
    for each row when (new.dag_id like 'job\_%' and new.state in ('success', 'failed')
                       and old.state is distinct from new.state)
    execute function millrace.execution_follows_run();
create or replace trigger millrace_execution_follows_deleted_run
    after delete on public.dag_run
    for each row when (old.dag_id like 'job\_%' and old.state not in ('success', 'failed'))
    execute function millrace.execution_follows_run();

-- A run on a worker may fail before any of its tries has come as far as to claim its occurrence: the worker's disk is full,
-- say. Then that is what became of it: a row that has failed, as a dead letter. Of other runs only those that are made once
-- have nobody after them who would account for what they left.
create or replace function millrace.execution_of_failed_run() returns trigger language plpgsql as $$
begin
    insert into millrace.execution (job_id, scheduled_for, status, reason, error, finished_at, dag_run_id)
    select j.id, new.data_interval_end, 'failed', 'the run never began',
           'Airflow gave up on the run before anything was sent; its log may say why', now(), new.run_id
    from millrace.job j
    where j.id = substring(new.dag_id from '^job_([0-9]{1,18})$')::bigint
      and (j.run_at is not null or exists (
          select from public.task_instance ti
          where ti.dag_id = new.dag_id and ti.run_id = new.run_id and ti.operator = 'WorkerShiftOperator'))
    on conflict do nothing;
    return null;
end $$;
create or replace trigger millrace_execution_of_failed_run
    after update of state on public.dag_run
    for each row when (new.dag_id like 'job\_%' and new.run_type = 'scheduled' and new.state = 'failed'
                       and old.state is distinct from new.state and new.data_interval_end <= now())
    execute function millrace.execution_of_failed_run();

-- A DAG is born paused if its row is: the row may have been paused or resumed before the DAG was there to follow.
create or replace function millrace.pause_of_new_dag() returns trigger language plpgsql as $$
declare
    row_id constant bigint := substring(new.dag_id from '_([0-9]{1,18})$')::bigint;
    paused boolean;
begin
    if new.dag_id like 'job\_%' then
        select not is_active into paused from millrace.job where id = row_id for share;
    elsif new.dag_id like 'connector\_%' then
        select not is_active into paused from millrace.connector where id = row_id for share;
    else
        select not is_active into paused from millrace.workflow where id = row_id for share;
    end if;
    new.is_paused := coalesce(paused, new.is_paused);
    return new;
end $$;
create or replace trigger millrace_pause_of_new_dag
    before insert on public.dag
    for each row when (new.dag_id ~ '^(job|connector|workflow)_[0-9]{1,18}$')
    execute function millrace.pause_of_new_dag();

-- The DAG of a row that is there still comes back at once when somebody deletes it in Airflow, which would miss it only when
-- it looks at all files again: this asks for its file, as Airflow's button to parse a DAG anew does.
create or replace function millrace.parse_deleted_dag() returns trigger language plpgsql as $$
declare
    row_id constant bigint := substring(old.dag_id from '_([0-9]{1,18})$')::bigint;
begin
    if old.dag_id like 'millrace\_%'
       or old.dag_id like 'job\_%' and exists (select from millrace.job where id = row_id)
       or old.dag_id like 'connector\_%' and exists (select from millrace.connector where id = row_id)
       or old.dag_id like 'workflow\_%' and exists (select from millrace.workflow where id = row_id)
    then
        insert into public.dag_priority_parsing_request (id, bundle_name, relative_fileloc)
        values (md5(old.bundle_name || ':' || old.relative_fileloc), old.bundle_name, old.relative_fileloc)
        on conflict do nothing;
    end if;
    return null;
end $$;
create or replace trigger millrace_parse_deleted_dag
    after delete on public.dag
    for each row when (old.dag_id ~ '^(job|connector|workflow)_[0-9]{1,18}$|^millrace_'
                       and old.bundle_name is not null and old.relative_fileloc is not null)
    execute function millrace.parse_deleted_dag();

-- Write an asset event for each connector whose log has grown since the last one, and queue the DAGs that are scheduled
-- on the asset: what Airflow's AssetManager.register_asset_change does. The asset is the outlet of the connector's DAG: one
-- that somebody else's DAG calls so is none. Called once a second; answers how many there were.
create or replace function millrace.tell_airflow_of_records() returns bigint language plpgsql as $$
declare
    told bigint;
begin
    if not pg_try_advisory_xact_lock(hashtext('millrace.tell_airflow_of_records')) then
        return 0;
    end if;
    with news as materialized (
        select c.id, c.name, c.head, c.head - coalesce(n.head, 0) as records, a.id as asset_id, a.name as asset, a.uri
        from millrace.connector c
        left join millrace.asset_news n on n.connector_id = c.id
        join public.task_outlet_asset_reference o on o.dag_id = 'connector_' || c.id and o.task_id = 'pull'
        join public.asset a on a.id = o.asset_id
        where c.head > coalesce(n.head, 0)
    ), event as (
        insert into public.asset_event (asset_id, extra, source_map_index, timestamp)
        select asset_id, json_build_object('connector', name, 'records', records, 'head', head), -1, clock_timestamp()
        from news
    ), consumer as (
        select n.asset_id, r.dag_id from news n join public.dag_schedule_asset_reference r using (asset_id)
        union
        select n.asset_id, r.dag_id from news n join public.dag_schedule_asset_name_reference r on r.name = n.asset
        union
        select n.asset_id, r.dag_id from news n join public.dag_schedule_asset_uri_reference r on r.uri = n.uri
    ), queued as (
        insert into public.asset_dag_run_queue (asset_id, target_dag_id, created_at)
        select consumer.asset_id, consumer.dag_id, clock_timestamp()
        from consumer join public.dag d on d.dag_id = consumer.dag_id and not d.is_paused
        on conflict do nothing
    )
    insert into millrace.asset_news (connector_id, head) select id, head from news
    on conflict (connector_id) do update set head = excluded.head;
    get diagnostics told = row_count;
    return told;
end $$;
