-- What a row says about retries, failures and fixed delays; dead letters of jobs.

-- Retries: each wait at most retry_max_delay, up to the share retry_jitter longer; statuses in no_retry_on are final.
alter table job
    add column every_mode text not null default 'fixed_rate' check (every_mode in ('fixed_rate', 'fixed_delay')),
    add column retry_max_delay interval not null default '1 hour'
        check (retry_max_delay between interval '0' and interval '1 day'),
    add column retry_jitter double precision not null default 0.1 check (retry_jitter between 0 and 1),
    add column no_retry_on integer[] not null default '{}'
        check (array_position(no_retry_on, null) is null and 100 <= all (no_retry_on) and 599 >= all (no_retry_on)),
    add column disable_after integer check (disable_after between 1 and 1000000),
    add column half_open boolean not null default false,
    add column probe_every interval not null default '5 minutes'
        check (probe_every between interval '1 second' and interval '30 days'),
    add constraint a_delay_needs_every check (every_mode = 'fixed_rate' or every is not null);
comment on column job.every_mode is 'fixed_rate: every is counted from due to due; fixed_delay: from the end of the last execution.';
comment on column job.retry_max_delay is 'The longest wait between two attempts.';
comment on column job.retry_jitter is 'Each wait is up to this share longer, so that rows that failed together do not come back together.';
comment on column job.no_retry_on is 'HTTP statuses that are not retried.';
comment on column job.disable_after is 'Pause the row after so many failed executions in a row; null: never.';
comment on column job.half_open is 'Once disabled, try again every probe_every, and go on by itself when that succeeds.';
comment on column job.notify is 'Whom to tell of what: {"kind", "payload", "on": ["failure", "recovery", "missed", "warning", "disabled"], "after": 1}; null: as owner_notify says.';

alter table workflow
    add column retry_max_delay interval not null default '1 hour'
        check (retry_max_delay between interval '0' and interval '1 day'),
    add column retry_jitter double precision not null default 0.1 check (retry_jitter between 0 and 1),
    add column no_retry_on integer[] not null default '{}'
        check (array_position(no_retry_on, null) is null and 100 <= all (no_retry_on) and 599 >= all (no_retry_on));

-- A failed execution is a dead letter until it is redriven or discarded. Redriving continues the same row.
alter table execution
    add column base_attempt integer not null default 0,
    add column redrive_at timestamptz,
    add column discarded_at timestamptz;
comment on column execution.base_attempt is 'Attempts before it was last redriven: the retry policy counts from there.';
comment on column execution.redrive_at is 'A person asked for it to be sent again, not before then; null once that has ended.';
comment on column execution.discarded_at is 'When a person gave up on it.';
create index execution_redriving on execution (scheduled_for)
    where redrive_at is not null and status in ('running', 'retrying');
create index execution_redrive on execution (job_id, scheduled_for) where redrive_at is not null;
create index execution_redriven on execution (scheduled_for) where base_attempt > 0;

-- What is to be sent again, and from when on somebody may see to it: nobody else does before then.
create view redrive as
select e.job_id, e.scheduled_for, j.kind,
       greatest(e.redrive_at, case when e.claimed_by is not null then coalesce(l.until, '-infinity') end) as free_at
from execution e
join job j on j.id = e.job_id
left join lease l on l.owner = e.claimed_by
where e.redrive_at is not null and e.status in ('failed', 'running', 'retrying');

-- As before, with every_mode among what makes a schedule.
create or replace function job_before_change() returns trigger language plpgsql set search_path from current as $$
declare
    fields integer;
begin
    if new.cron is not null and new.cron !~ '^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$' then
        fields := cardinality(regexp_split_to_array(btrim(new.cron), '\s+'));
        if fields not in (5, 6) or new.cron !~ '^[\s0-9A-Za-z*/,#?-]+$' then
            raise check_violation using
                message = format('job %s: cron %L is not a cron expression', new.name, new.cron),
                hint = 'Write 5 fields (minute hour day month weekday), 6 with seconds first, or @daily and the like.';
        end if;
    end if;
    if not is_time_zone(new.timezone) then
        raise check_violation using
            message = format('job %s: %L is not a time zone', new.name, new.timezone),
            hint = 'Write a name such as Europe/Berlin or UTC.';
    end if;
    if tg_op = 'UPDATE' then
        if new.id <> old.id then
            raise check_violation using message = format('job %s: the id of a job cannot change', old.name),
                hint = 'Its DAG and its ledger carry the id; add a new job instead.';
        end if;
        if to_jsonb(new) - 'error' = to_jsonb(old) - 'error' then
            return new;
        end if;
    end if;
    new.revision := nextval('revision');
    new.updated_at := now();
    if tg_op = 'INSERT' then
        new.schedule_revision := new.revision;
        new.schedule_changed_at := now();
    elsif (new.cron, new.every, new.every_mode, new.run_at, new.timezone, new.starts_at, new.ends_at, new.created_at)
          is distinct from
          (old.cron, old.every, old.every_mode, old.run_at, old.timezone, old.starts_at, old.ends_at, old.created_at) then
        new.schedule_revision := new.revision;
        new.schedule_changed_at := now();
    end if;
    return new;
end $$;

-- As before, with what else a DAG is built from, and an end for what waits.
create or replace function job_after_change() returns trigger language plpgsql set search_path from current as $$
declare
    in_dag constant text[] := array['name', 'owner', 'kind', 'cron', 'every', 'every_mode', 'run_at', 'timezone',
                                    'starts_at', 'ends_at', 'jitter', 'created_at', 'retries', 'retry_delay',
                                    'retry_backoff', 'retry_max_delay', 'timeout'];
    before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
begin
    if tg_op = 'UPDATE' and new.revision = old.revision then
        return null;
    end if;
    insert into audit (actor, via, table_name, row_id, operation, old, new, changes_dag)
    values (coalesce(nullif(current_setting('millrace.actor', true), ''), session_user),
            coalesce(nullif(current_setting('millrace.via', true), ''), 'sql'),
            tg_table_name, coalesce(new.id, old.id), lower(tg_op), before, after,
            tg_op <> 'UPDATE' or exists (select from unnest(in_dag) as field
                                         where before -> field is distinct from after -> field));
    if tg_op = 'DELETE' then  -- what waits for a retry that nobody will make any more
        update execution set status = 'cancelled', reason = 'the job was deleted', finished_at = now(), redrive_at = null
        where job_id = old.id and status = 'retrying' and claimed_by is null;
    end if;
    perform pg_notify('millrace', 'job:' || coalesce(new.id, old.id));
    return null;
end $$;
