-- Who may do what, identities that callers choose, and tallies of what became of executions.

-- Shifts go on writing meanwhile: they hold execution and wait for job, where people hold job and wait for execution. So
-- all that is changed below is locked at once, before anything else, and let go of while somebody needs it.
do $$
begin
    perform set_config('lock_timeout', '500ms', true);
    loop
        begin
            lock table only execution, only timer, only job, only connector, only workflow, only dead_letter, only audit
                in access exclusive mode;
            exit;
        exception when lock_not_available or deadlock_detected then
            perform pg_sleep(0.1);
        end;
    end loop;
    perform set_config('lock_timeout', '0', true);
end $$;

-- What they have prepared is for rows without the new columns, and would be refused from now on. On a new connection, for
-- which they ask by themselves, it is prepared anew.
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
  and application_name in ('millrace-shift', 'millrace-bundle');

-- The caller's own name for a row: creating it again is no second row, and config as code knows it by this.
alter table job add column external_id text check (length(external_id) between 1 and 200);
alter table connector add column external_id text check (length(external_id) between 1 and 200);
alter table workflow add column external_id text check (length(external_id) between 1 and 200);
alter table timer add column external_id text check (length(external_id) between 1 and 200);
create unique index job_owner_external_id_key on job (owner, external_id) where external_id is not null;
create unique index connector_owner_external_id_key on connector (owner, external_id) where external_id is not null;
create unique index workflow_owner_external_id_key on workflow (owner, external_id) where external_id is not null;
create unique index timer_owner_external_id_key on timer (owner, external_id) where external_id is not null;

-- Instants of our time, which every language and driver can hold. Rows that are there already are not asked.
alter table job add constraint instants_between_1970_and_9000 check (
    'epoch' <= all (array_remove(array[run_at, starts_at, ends_at, paused_until], null))
    and '9000-01-01Z' > all (array_remove(array[run_at, starts_at, ends_at, paused_until], null))) not valid;
alter table connector add constraint instants_between_1970_and_9000 check (
    paused_until >= 'epoch' and paused_until < '9000-01-01Z') not valid;
alter table workflow add constraint instants_between_1970_and_9000 check (
    'epoch' <= all (array_remove(array[started_at, paused_until], null))
    and '9000-01-01Z' > all (array_remove(array[started_at, paused_until], null))) not valid;

-- Owners name their jobs without knowing of each other. Connectors stay unique: their name is an address, for pushes.
alter table job drop constraint job_name_key;
alter table job add constraint job_owner_name_key unique (owner, name);
create index job_name on job (name);
create index connector_owner on connector (owner);
create index timer_owner on timer (owner, id);
create index timer_owner_status on timer (owner, status, id);
create index timer_due on timer (due_at, id);
create index dead_letter_age on dead_letter (created_at, id);

drop trigger connector_before_change on connector;
drop trigger connector_after_change on connector;
create trigger connector_before_change
    before insert or update of id, name, owner, kind, config, every, dedupe, rate_limit, budget, timeout, alert_after,
                               notify, is_active, paused_until, failing_since, created_at, external_id on connector
    for each row execute function connector_before_change();
create trigger connector_after_change
    after insert or delete or
          update of id, name, owner, kind, config, every, dedupe, rate_limit, budget, timeout, alert_after, notify,
                    is_active, paused_until, failing_since, created_at, external_id on connector
    for each row execute function row_after_change('name', 'owner', 'kind', 'every', 'failing_since', 'created_at');

-- What an owner sees of the audit.
create index audit_owner on audit ((coalesce(new, old) ->> 'owner'), id);
create index audit_at on audit (at);

-- Which Airflow connections an owner may name in rows; owner * is everybody.
create table connection_grant (
    id bigint generated always as identity primary key,
    owner text not null check (length(owner) between 1 and 200),
    conn_id text not null check (length(conn_id) between 1 and 250),
    created_at timestamptz not null default now(),
    unique (owner, conn_id)
);

-- The most that an owner may have; owner * is for those who have no line of their own. null: no limit.
create table quota (
    id bigint generated always as identity primary key,
    owner text not null unique check (length(owner) between 1 and 200),
    max_rows integer check (max_rows >= 0),
    max_fires_per_minute double precision check (max_fires_per_minute >= 0),
    min_interval interval check (min_interval >= interval '0'),
    max_bytes bigint check (max_bytes >= 0)
);
comment on column quota.max_rows is 'Jobs, connectors, workflows, and timers that wait, together.';
comment on column quota.max_fires_per_minute is 'What the schedules of all active rows come to.';
comment on column quota.min_interval is 'The least time between two occurrences of a row.';
comment on column quota.max_bytes is 'What the settings of all rows come to, as JSON.';
insert into quota (owner, max_rows, max_fires_per_minute, min_interval, max_bytes)
values ('*', 1000, 6000, '1 second', 16777216);

-- Changes of grants and quotas are audited as those of rows are.
create function access_after_change() returns trigger language plpgsql set search_path from current as $$
begin
    insert into audit (actor, via, table_name, row_id, operation, old, new, changes_dag)
    values (coalesce(nullif(current_setting('millrace.actor', true), ''), session_user),
            coalesce(nullif(current_setting('millrace.via', true), ''), 'sql'),
            tg_table_name, coalesce(new.id, old.id), lower(tg_op),
            case when tg_op <> 'INSERT' then to_jsonb(old) end, case when tg_op <> 'DELETE' then to_jsonb(new) end,
            false);
    return null;
end $$;
create trigger connection_grant_after_change after insert or update or delete on connection_grant
    for each row execute function access_after_change();
create trigger quota_after_change after insert or update or delete on quota
    for each row execute function access_after_change();

-- What a POST with an Idempotency-Key was answered: the same again gets the same answer, and happens once.
create table idempotency_key (
    caller text not null,
    key text not null check (length(key) between 1 and 255),
    request bytea not null,
    status integer not null,
    headers jsonb not null default '{}',
    body text,
    created_at timestamptz not null default now(),
    primary key (caller, key)
);
create index idempotency_key_age on idempotency_key (created_at);
comment on column idempotency_key.request is 'SHA-256 of method, path and body: the key is for this request and no other.';

-- How many executions and timers that were due in a minute have which final status. `late` is how late the first attempt
-- began: 0 if there was none, or if it has ended before; else 1 + how many of late_bounds() it had passed. Each connection
-- counts in rows of its own (`writer`), so that nobody waits; readers add them up.
create table tally (
    at timestamptz not null,
    source text not null check (source in ('job', 'timer')),
    owner text not null,
    status text not null,
    late smallint not null,
    writer integer not null,
    executions bigint not null,
    ended bigint not null,
    attempts bigint not null,
    late_seconds numeric not null,
    primary key (at, source, owner, status, late, writer)
) with (fillfactor = 50);
comment on column tally.executions is 'How many have the status now.';
comment on column tally.ended is 'How many times one has ended with it: what is redriven ends more than once. Never decreases.';
comment on column tally.attempts is 'How many attempts these took; of what was redriven, those since then. Never decreases.';
comment on column tally.late_seconds is 'How late those that ended with late > 0 had begun, together. Never decreases, nor by rounding.';

-- The bounds of lateness that are told apart, in seconds.
create function late_bounds() returns double precision[] language sql immutable parallel safe as $$
    select array[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]::double precision[]
$$;

-- One change of one execution or timer, for add_to_tally(): it has got a status (1), or has no longer (-1).
create type tally_change as (
    at timestamptz, owner text, status text, began timestamptz, due timestamptz, attempts bigint, sign integer);

create function add_to_tally(from_source text, changes tally_change[]) returns void language plpgsql
set search_path from current as $$
begin
    insert into tally as t (at, source, owner, status, late, writer, executions, ended, attempts, late_seconds)
    select c.at, from_source, c.owner, c.status, c.late, pg_backend_pid(), sum(c.sign), count(*) filter (where c.sign > 0),
           coalesce(sum(c.attempts) filter (where c.sign > 0), 0),
           coalesce(sum(c.late_seconds) filter (where c.sign > 0), 0)
    from (select date_trunc('minute', at, 'UTC') as at, owner, status, sign, attempts,
                 case when seconds is null then 0 else 1 + width_bucket(seconds::double precision, late_bounds()) end as late,
                 coalesce(greatest(seconds, 0), 0) as late_seconds
          from (select *, extract(epoch from began - due) as seconds from unnest(changes)) as t) as c
    group by c.at, c.owner, c.status, c.late
    order by c.at, c.owner, c.status, c.late
    on conflict (at, source, owner, status, late, writer) do update
    set executions = t.executions + excluded.executions, ended = t.ended + excluded.ended,
        attempts = t.attempts + excluded.attempts, late_seconds = t.late_seconds + excluded.late_seconds;
end $$;

-- Count executions that a statement has brought to an end, or taken up again. Most statements of the ledger claim, and end
-- nothing: those cost one look at the rows they changed. What was redriven ends again without lateness, which was counted
-- when it ended first. What a statement has left as it was, such as an outcome that is written twice, is no change.
create function execution_tally() returns trigger language plpgsql set search_path from current as $$
declare
    changes tally_change[];
begin
    if tg_op = 'INSERT' then
        select array_agg((a.scheduled_for, coalesce(j.owner, ''), a.status,
                          case when a.base_attempt = 0 and a.attempt > 0 then a.started_at end, a.scheduled_for,
                          a.attempt - a.base_attempt, 1)::tally_change)
        into changes
        from after_rows a left join job j on j.id = a.job_id
        where a.finished_at is not null;
    elsif exists (select from after_rows where finished_at is not null)
          or exists (select from before_rows where finished_at is not null) then
        select array_agg((c.scheduled_for, coalesce(j.owner, ''), c.status,
                          case when c.base_attempt = 0 and c.attempt > 0 then c.started_at end, c.scheduled_for,
                          c.attempt - c.base_attempt, c.sign)::tally_change)
        into changes
        from (select job_id, scheduled_for, status, base_attempt, started_at, attempt, sum(sign) as sign
              from (select job_id, scheduled_for, status, base_attempt, started_at, attempt, 1 as sign from after_rows
                    where finished_at is not null
                    union all
                    select job_id, scheduled_for, status, base_attempt, started_at, attempt, -1 from before_rows
                    where finished_at is not null) as ended
              group by job_id, scheduled_for, status, base_attempt, started_at, attempt
              having sum(sign) <> 0) as c
        left join job j on j.id = c.job_id;
    end if;
    if changes is not null then
        perform add_to_tally('job', changes);
    end if;
    return null;
end $$;
create trigger execution_tally_insert after insert on execution
    referencing new table as after_rows
    for each statement execute function execution_tally();
create trigger execution_tally_update after update on execution
    referencing old table as before_rows new table as after_rows
    for each statement execute function execution_tally();

-- The same for timers.
create function timer_tally() returns trigger language plpgsql set search_path from current as $$
declare
    changes tally_change[];
begin
    if not exists (select from after_rows where finished_at is not null)
       and not exists (select from before_rows where finished_at is not null) then
        return null;
    end if;
    select array_agg((c.due_at, c.owner, c.status, case when c.base_attempt = 0 then c.fired_at end, c.due_at,
                      c.attempt - c.base_attempt, c.sign)::tally_change)
    into changes
    from (select id, due_at, owner, status, base_attempt, fired_at, attempt, sum(sign) as sign
          from (select id, due_at, owner, status, base_attempt, fired_at, attempt, 1 as sign from after_rows
                where finished_at is not null
                union all
                select id, due_at, owner, status, base_attempt, fired_at, attempt, -1 from before_rows
                where finished_at is not null) as ended
          group by id, due_at, owner, status, base_attempt, fired_at, attempt
          having sum(sign) <> 0) as c;
    if changes is not null then
        perform add_to_tally('timer', changes);
    end if;
    return null;
end $$;
create trigger timer_tally after update on timer
    referencing old table as before_rows new table as after_rows
    for each statement execute function timer_tally();

-- The tally is kept by the minute for two days, by the hour for sixty, and by the day after that; what the writers have
-- counted apart becomes one row. Whoever calls this goes on until fewer than `most` rows have been folded. One does it at
-- a time, for two would wait for each other's hours: the others fold nothing.
create function fold_tally(most integer) returns bigint language sql set search_path from current as $$
    with placed as (
        select ctid as place,
               date_trunc(case when at < now() - interval '60 days' then 'day' else 'hour' end, at, 'UTC') as into_at
        from tally
        where (select pg_try_advisory_xact_lock(hashtext('millrace.fold_tally')))
          and at < now() - interval '2 days'
          and (writer <> 0
               or at <> date_trunc(case when at < now() - interval '60 days' then 'day' else 'hour' end, at, 'UTC'))
        order by at limit most
        for update skip locked
    ), taken as (
        delete from tally t using placed p where t.ctid = p.place returning t.*, p.into_at
    ), folded as (
        insert into tally as t (at, source, owner, status, late, writer, executions, ended, attempts, late_seconds)
        select into_at, source, owner, status, late, 0, sum(executions), sum(ended), sum(attempts), sum(late_seconds)
        from taken
        group by into_at, source, owner, status, late
        order by into_at, source, owner, status, late
        on conflict (at, source, owner, status, late, writer) do update
        set executions = t.executions + excluded.executions, ended = t.ended + excluded.ended,
            attempts = t.attempts + excluded.attempts, late_seconds = t.late_seconds + excluded.late_seconds
    )
    select count(*) from taken
$$;
