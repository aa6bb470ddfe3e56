-- How jobs are, whom to tell of it, and what is still to be told.

-- True for a notify that makes sense; otherwise an error says what is wrong with it.
create function is_notify(notify jsonb) returns boolean language plpgsql immutable strict as $$
declare
    problem constant text := case
        when jsonb_typeof(notify) <> 'object' then 'it is no object'
        when notify - array['kind', 'payload', 'on', 'after'] <> '{}'
            then format('%s is none of its fields', notify - array['kind', 'payload', 'on', 'after'])
        when jsonb_typeof(notify -> 'on') <> 'array' then 'on is no list'
        when exists (select from jsonb_array_elements(notify -> 'on') as e(event)
                     where event not in ('"failure"', '"recovery"', '"missed"', '"warning"', '"disabled"'))
            then 'on has an event that there is not'
        when notify -> 'on' = '[]' and not notify ? 'kind' then null
        when jsonb_typeof(notify -> 'kind') is distinct from 'string'
             or notify ->> 'kind' !~ '^[a-z][a-z0-9_]{0,62}$' then 'kind is missing, or no kind'
        when jsonb_typeof(notify -> 'payload') <> 'object' then 'payload is no object'
        when jsonb_typeof(notify -> 'after') <> 'number' or notify ->> 'after' !~ '^[1-9][0-9]{0,6}$'
            then 'after is no whole number from 1'
    end;
begin
    if problem is not null then
        raise check_violation using message = 'notify: ' || problem,
            hint = 'Write {"kind": "webhook", "payload": {"url": "https://example.com/"}, "on": ["failure", "recovery",'
                   ' "missed", "warning", "disabled"], "after": 1}; {"on": []} tells nobody.';
    end if;
    return true;
end $$;

-- Until now nothing has read it, nor checked it.
update job set notify = null where notify is not null;
alter table job add constraint notify_makes_sense check (is_notify(notify));

-- Whom to tell where a job says nothing, and of timers.
create table owner_notify (
    owner text primary key check (length(owner) between 1 and 200),
    notify jsonb not null check (is_notify(notify)),
    updated_at timestamptz not null default now()
);

-- How a job is, if it has ever failed. Rows are written while the job's own is locked, and in no other order.
create table job_health (
    job_id bigint primary key references job on delete cascade,
    failures integer not null default 0,
    failing_since timestamptz,
    last_error text,
    told boolean not null default false,
    disabled_at timestamptz,
    disabled_reason text,
    probe_at timestamptz
) with (fillfactor = 50);
comment on column job_health.failures is 'Failed executions in a row; one that is redriven and fails again does not count.';
comment on column job_health.told is 'Whether these failures are as many as notify waits for, so that their end is told, too.';
comment on column job_health.disabled_at is 'When disable_after, or 410 Gone, paused the row; null once it goes on.';
comment on column job_health.probe_at is 'The paused_until that half_open wrote: the first occurrence from then on is the probe.';

-- What is to be told, or has been; written together with what it tells of.
create table notice (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    table_name text not null check (table_name in ('job', 'timer', 'owner_notify')),
    row_id bigint,
    name text not null,
    owner text not null,
    event text not null check (event in ('failure', 'recovery', 'missed', 'warning', 'disabled', 'test')),
    count bigint not null default 1,
    detail text not null,
    channel jsonb not null,
    channel_key text not null generated always as (md5(channel::text)) stored,
    message bigint,
    sent_at timestamptz
);
comment on column notice.channel is 'The way to whoever is told: {"kind", "payload"}; notices of one channel become one message.';
comment on column notice.message is 'The message that it is part of: the id of the last notice in it.';

create index notice_waiting on notice (channel_key, id) include (at) where message is null;
create index notice_in_hand on notice (message) where message is not null and sent_at is null;

-- Where sending to a channel stands. A message stays in hand, and what is in it the same, until it has been sent.
create table notice_channel (
    key text primary key,
    message bigint,
    attempt integer not null default 0,
    error text,
    next_at timestamptz not null default now(),
    taken_until timestamptz,
    sent_at timestamptz
) with (fillfactor = 50);
comment on column notice_channel.attempt is 'Failed attempts at the message in hand; error is that of the last.';
comment on column notice_channel.taken_until is 'Until when a process that is sending has it for itself.';

-- The channel through which a notify tells of an event; null if it does not.
create function channel_of(notify jsonb, event text) returns jsonb language sql immutable as $$
    select jsonb_build_object('kind', notify -> 'kind', 'payload', coalesce(notify -> 'payload', '{}'))
    where notify ? 'kind' and coalesce(notify -> 'on', '["failure", "recovery", "warning", "disabled"]') ? event
$$;

-- What one statement made of a job: whether an execution succeeded; how many failed after that, the last error among
-- these, and whether a receiver said that it is gone for good.
create type outcome as (job_id bigint, succeeded boolean, failed bigint, gone boolean, error text);

-- Outcomes whose job somebody else had locked when they were written: no outcome waits for a person who edits a job in a
-- transaction that stays open. They are counted with the job's next one, or by whoever sends notices. There is no foreign
-- key, for that would wait.
create table outcome_queue (
    id bigint generated always as identity primary key,
    job_id bigint not null,
    succeeded boolean not null,
    failed bigint not null,
    gone boolean not null,
    error text
);
create index outcome_queue_job on outcome_queue (job_id, id);

-- Count failures, pause what fails too often or is gone, let what has recovered go on, and write what is to be told.
-- The jobs are locked. Everything is judged by how things stand after the statement: what failed and succeeded within
-- it is told of nobody.
create function note_outcomes(outcomes outcome[]) returns void language plpgsql
set search_path from current set millrace.via = 'disable_after' as $$
begin
    with seen as materialized (
        select o.*, left(o.error, 500) as cause, j.name, j.owner, j.is_active, j.paused_until, j.disable_after,
               j.half_open, j.probe_every, coalesce(j.notify, d.notify) as notify, coalesce(h.told, false) as told,
               h.failing_since, h.disabled_at, h.disabled_reason, h.probe_at, coalesce(h.failures, 0) as ended,
               o.failed + case when o.succeeded then 0 else coalesce(h.failures, 0) end as failures
        from unnest(outcomes) as o
        join job j on j.id = o.job_id
        left join job_health h on h.job_id = o.job_id
        left join owner_notify d on d.owner = j.owner
    ), judged as materialized (
        select s.*,
               succeeded and (told or is_active and disabled_at is not null) as recovers,
               failed > 0 and (succeeded or not told)
                   and failures >= coalesce((notify ->> 'after')::integer, 1) as fails,
               failed > 0 and not gone and failures = disable_after - 1 as warns,
               is_active and (gone or failed > 0 and failures >= disable_after and not half_open) as stops,
               is_active and not gone and failed > 0 and failures >= disable_after and half_open
                   and coalesce(paused_until <= now(), true) as opens,
               case when gone then '410 Gone'
                    else failures || case when failures = 1 then ' failure' else ' failures' end || ' in a row'
               end as streak
        from seen s
    ), health as (
        insert into job_health as h (job_id, failures, failing_since, last_error, told, disabled_at, disabled_reason,
                                     probe_at)
        select job_id, failures,
               case when failures > 0 and not succeeded then coalesce(failing_since, now())
                    when failures > 0 then now() end,
               cause, fails or told and not succeeded,
               case when stops or opens then coalesce(case when not succeeded then disabled_at end, now())
                    when not (succeeded and is_active) then disabled_at end,
               case when stops or opens then streak when not (succeeded and is_active) then disabled_reason end,
               case when opens then now() + probe_every when not succeeded then probe_at end
        from judged
        on conflict (job_id) do update
        set failures = excluded.failures, failing_since = excluded.failing_since,
            last_error = case when excluded.failures > 0 then coalesce(excluded.last_error, h.last_error) end,
            told = excluded.told, disabled_at = excluded.disabled_at, disabled_reason = excluded.disabled_reason,
            probe_at = excluded.probe_at
    ), switched as (
        update job j
        set is_active = j.is_active and not g.stops,
            paused_until = case when g.opens then now() + g.probe_every
                                when g.succeeded and j.paused_until = g.probe_at then null
                                else j.paused_until end
        from judged g
        where j.id = g.job_id and (g.stops or g.opens or g.succeeded and j.paused_until = g.probe_at)
    )
    insert into notice (table_name, row_id, name, owner, event, detail, channel)
    select 'job', g.job_id, g.name, g.owner, e.event, e.detail, channel
    from judged g
    cross join lateral (values
        (1, recovers, 'recovery', format('it succeeded, after %s failed', ended)
                                  || case when is_active then '' else '; it is still paused' end),
        (2, fails, 'failure', concat_ws(': ', case when failures > 1 then streak end, cause)),
        (3, warns, 'warning', concat_ws(': ', streak || '; one more, and it is paused', cause)),
        (4, stops, 'disabled', concat_ws(': ', streak || '; it is paused until somebody resumes it', cause)),
        (5, opens and disabled_at is null, 'disabled',
            concat_ws(': ', format('%s; it is tried again every %s', streak, probe_every), cause))
    ) as e(place, happens, event, detail)
    cross join lateral channel_of(g.notify, e.event) as channel
    where e.happens and channel is not null
    order by g.job_id, e.place;
end $$;

-- Count outcomes, after those that are queued for the same jobs, as if one statement had made them all; queue them where
-- somebody else has the job locked. Jobs are locked before their health, as by everybody who writes it; since nobody here
-- waits for a job, it does not matter in which order. `ids` are the jobs to look at.
create function count_outcomes(ids bigint[], made outcome[]) returns void language plpgsql
set search_path from current as $$
declare
    free constant bigint[] := array(select id from job where id = any(ids) for no key update skip locked);
    outcomes outcome[];
begin
    if cardinality(free) < cardinality(ids) then
        insert into outcome_queue (job_id, succeeded, failed, gone, error)
        select m.* from unnest(made) as m
        where m.job_id <> all(free) and exists (select from job j where j.id = m.job_id);
    end if;
    with queued as (
        delete from outcome_queue where job_id = any(free) returning *
    ), waiting as (
        select * from queued
        union all
        select null, m.* from unnest(made) as m where m.job_id = any(free)
    ), placed as (
        select w.*, not coalesce(bool_or(succeeded) over (partition by job_id order by id desc
                                                          rows between unbounded preceding and 1 preceding), false) as stands
        from waiting w
    )
    select array_agg(folded::outcome order by job_id) into outcomes
    from (select job_id, bool_or(succeeded) as succeeded, sum(failed) filter (where stands)::bigint as failed,
                 bool_or(gone) filter (where stands) as gone,
                 (array_agg(error order by id desc) filter (where stands and error is not null))[1] as error
          from placed group by job_id) as folded;
    perform note_outcomes(outcomes);
end $$;

-- Look for failures, and for successes after failures, among the executions that a statement has changed. Nearly all
-- batches of the ledger are successes of jobs that are well: those cost the first of these statements only.
create function execution_after_update() returns trigger language plpgsql set search_path from current as $$
declare
    ids constant bigint[] := array(
        select job_id from after_rows where status = 'failed'
        union
        select a.job_id from after_rows a join job_health h on h.job_id = a.job_id
        where a.status = 'success' and h.failures > 0
        union
        select a.job_id from after_rows a join outcome_queue q on q.job_id = a.job_id where a.status = 'success');
begin
    if ids = '{}' then
        return null;
    end if;
    perform count_outcomes(array_agg(made.job_id), array_agg(made::outcome)) from (
        select job_id, bool_or(status = 'success') as succeeded,
               count(*) filter (where stands and not again) as failed,
               coalesce(bool_or(gone) filter (where stands), false) as gone,
               (array_agg(error order by scheduled_for desc) filter (where stands))[1] as error
        from (
            select changed.*, status = 'failed' and coalesce(
                       scheduled_for > max(scheduled_for) filter (where status = 'success') over (partition by job_id),
                       true) as stands
            from (
                -- what a statement has left as it was, such as an outcome that is written twice, is not counted twice
                select job_id, scheduled_for, status, error, base_attempt > 0 as again,
                       coalesce(attempts -> -1 ->> 'code' = '410', false) as gone
                from after_rows where job_id = any(ids) and status in ('success', 'failed')
                except
                select job_id, scheduled_for, status, error, base_attempt > 0,
                       coalesce(attempts -> -1 ->> 'code' = '410', false)
                from before_rows where job_id = any(ids) and status in ('success', 'failed')
            ) as changed
        ) as judged
        group by job_id
        having bool_or(status = 'success') or bool_or(stands and (gone or not again))
    ) as made
    having count(*) > 0;
    return null;
end $$;
create trigger execution_after_update after update on execution
    referencing old table as before_rows new table as after_rows
    for each statement execute function execution_after_update();

-- Tell of occurrences that nobody executed: how many, and not one by one.
create function execution_after_insert() returns trigger language plpgsql set search_path from current as $$
begin
    if not exists (select from after_rows where status = 'missed') then
        return null;
    end if;
    insert into notice (table_name, row_id, name, owner, event, count, detail, channel)
    select 'job', j.id, j.name, j.owner, 'missed', m.count,
           concat_ws(': ', case when m.count = 1 then to_char(first, 'YYYY-MM-DD HH24:MI:SS "UTC"')
                                else to_char(first, 'YYYY-MM-DD HH24:MI:SS') || to_char(last, '" to "YYYY-MM-DD HH24:MI:SS "UTC"')
                           end, m.reason),
           channel
    from (select job_id, count(*) as count, max(reason) as reason,
                 min(scheduled_for) at time zone 'UTC' as first, max(scheduled_for) at time zone 'UTC' as last
          from after_rows where status = 'missed' group by job_id) as m
    join job j on j.id = m.job_id
    left join owner_notify d on d.owner = j.owner
    cross join lateral channel_of(coalesce(j.notify, d.notify), 'missed') as channel
    where channel is not null;
    return null;
end $$;
create trigger execution_after_insert after insert on execution
    referencing new table as after_rows
    for each statement execute function execution_after_insert();

-- A person who lets a job go on gives it a fresh start.
create function job_after_resume() returns trigger language plpgsql set search_path from current as $$
begin
    update job_health
    set failures = 0, failing_since = null, last_error = null, told = false, disabled_at = null, disabled_reason = null,
        probe_at = null
    where job_id = new.id and (failures > 0 or disabled_at is not null);
    return null;
end $$;
create trigger job_after_resume after update of is_active, paused_until on job
    for each row when ((new.is_active and not old.is_active or old.paused_until is not null and new.paused_until is null)
                       and current_setting('millrace.via', true) is distinct from 'disable_after')
    execute function job_after_resume();

-- Tell the owner of a timer that has failed.
create function timer_after_failure() returns trigger language plpgsql set search_path from current as $$
begin
    insert into notice (table_name, row_id, name, owner, event, detail, channel)
    select 'timer', new.id, 'timer ' || new.id, new.owner, 'failure', left(coalesce(new.error, new.reason, ''), 500),
           channel
    from owner_notify d cross join lateral channel_of(d.notify, 'failure') as channel
    where d.owner = new.owner and channel is not null;
    return null;
end $$;
create trigger timer_after_failure after update of status on timer
    for each row when (new.status = 'failed' and old.status <> 'failed')
    execute function timer_after_failure();
