-- Upkeep: what keeps every table as small as it need be.

-- What became of each chore when it was last done.
create table upkeep (
    chore text primary key,
    begun_at timestamptz not null,
    ended_at timestamptz,
    ok_at timestamptz,
    changed bigint not null default 0,
    seconds double precision,
    error text
) with (fillfactor = 50);
comment on column upkeep.ok_at is 'When it last came to its end without an error.';
comment on column upkeep.changed is 'How much it removed, made or ended that time.';

-- How far each log was pruned: records up to there are gone, but for those that an open dead letter needs.
create table pruned_log (
    connector_id bigint primary key references connector (id) on delete cascade,
    up_to bigint not null
) with (fillfactor = 50);

-- What stays of records that were pruned, the newest of each key: enough to know them if their source shows them again.
create table pruned_key (
    connector_id bigint not null,
    digest bytea not null,
    version integer not null,
    content bytea not null,
    position bigint not null,
    seen_at timestamptz not null,
    primary key (connector_id, digest)
);
create index pruned_key_age on pruned_key (seen_at);
comment on column pruned_key.digest is 'Of the key; see digest_of().';
comment on column pruned_key.content is 'Digest of the payload.';
comment on column pruned_key.seen_at is 'When it was pruned, or its source last showed it since then, to the day.';

-- Timers that were cancelled long before they were due: few, and found by no other index.
create index timer_cancelled on timer (finished_at) where status = 'cancelled';

-- Half a SHA-256: nobody finds two texts with the same one. Stable, as convert_to() is: so it costs no call of its own.
create function digest_of(content text) returns bytea language sql stable strict parallel safe as $$
    select substring(sha256(convert_to(content, 'UTF8')) for 16)
$$;

-- As before, with keys whose records were pruned: those are known, too.
create or replace function append_records(
    connector bigint, items jsonb, move boolean default false, new_cursor jsonb default null,
    old_cursor jsonb default null, out stored bigint, out head bigint, out superseded boolean, out cursor jsonb
) language plpgsql set search_path from current set millrace.appending = 'on'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    c record;
    stored_at timestamptz;
    pruned_to bigint;  -- null: nothing was pruned, and nothing is looked for
begin
    select k.id, k.head, k.head_at, k.dedupe, k.cursor into c
    from connector k where k.id = append_records.connector for no key update;
    if not found then
        raise foreign_key_violation using message = format('there is no connector %s', append_records.connector);
    end if;
    head := c.head; cursor := c.cursor; stored := 0;
    superseded := move and c.cursor is distinct from old_cursor;
    if superseded then
        return;
    end if;
    stored_at := greatest(clock_timestamp(), c.head_at);
    select g.up_to into pruned_to from pruned_log g where g.connector_id = c.id;
    if c.dedupe = 'key' then
        with incoming as (
            select record_key(e ->> 'key', e -> 'payload') as key, e -> 'payload' as payload, o
            from jsonb_array_elements(items) with ordinality as t(e, o)
        ), missing as materialized (  -- first, for most of what a source shows again is there
            select i.* from incoming i
            where not exists (select from record r where r.connector_id = c.id and r.key = i.key)
        ), fresh as (
            select distinct on (m.key) m.key, m.payload, m.o
            from missing m
            where not (pruned_to is not null and exists (
                select from pruned_key p where p.connector_id = c.id and p.digest = digest_of(m.key)))
            order by m.key, m.o
        )
        insert into record (connector_id, position, key, payload, created_at)
        select c.id, c.head + row_number() over (order by o), key, payload, stored_at from fresh;
    else
        with incoming as (
            select record_key(e ->> 'key', e -> 'payload') as key, e -> 'payload' as payload, o
            from jsonb_array_elements(items) with ordinality as t(e, o)
        ), in_order as (
            select i.*, lag(i.payload) over (partition by i.key order by i.o) as before from incoming i
        ), changed as (
            select i.key, i.payload, i.o, coalesce(pruned.version, newest.version, 0) as version
            from in_order i
            left join lateral (select r.version, r.payload, r.position from record r
                               where r.connector_id = c.id and r.key = i.key
                               order by r.version desc limit 1) newest on true
            -- What an open dead letter has kept is not always the newest.
            left join lateral (select p.version, p.content from pruned_key p
                               where coalesce(newest.position, 0) <= pruned_to
                                 and p.connector_id = c.id and p.digest = digest_of(i.key)
                                 and p.version > coalesce(newest.version, 0)) pruned on true
            where case when i.before is null and pruned.version is not null
                       then pruned.content <> digest_of(i.payload::text)
                       else i.payload is distinct from coalesce(i.before, newest.payload) end
        )
        insert into record (connector_id, position, key, version, payload, created_at)
        select c.id, c.head + row_number() over (order by o), key,
               version + row_number() over (partition by key order by o), payload, stored_at
        from changed;
    end if;
    get diagnostics stored = row_count;
    if pruned_to is not null and stored < jsonb_array_length(items) then
        perform see_pruned_keys(c.id, items, pruned_to, stored_at);
    end if;
    head := c.head + stored;
    if move then
        cursor := new_cursor;
    end if;
    if stored > 0 or move and c.cursor is distinct from new_cursor then
        update connector k
        set head = append_records.head, cursor = append_records.cursor,
            head_at = case when stored > 0 then stored_at else k.head_at end
        where k.id = c.id;
    end if;
end $$;

-- Note that a source still shows what was pruned: so it is not forgotten. Once a day is enough, and what is in the log as it
-- is now is known anyhow.
create function see_pruned_keys(connector bigint, items jsonb, pruned_to bigint, seen timestamptz) returns void
language sql set search_path from current
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    update pruned_key p set seen_at = seen
    from (select distinct digest_of(i.key) as digest
          from (select record_key(e ->> 'key', e -> 'payload') as key from jsonb_array_elements(items) as e) as i
          where not exists (select from record r where r.connector_id = see_pruned_keys.connector and r.key = i.key
                            and r.position > pruned_to)) as shown
    where p.connector_id = see_pruned_keys.connector and p.digest = shown.digest and p.seen_at < seen - interval '1 day'
$$;

-- As before, with keys whose records were pruned.
create or replace function record_before_insert() returns trigger language plpgsql set search_path from current as $$
declare
    c record;
    newest record;
    pruned record;
begin
    if new.position is not null then
        raise check_violation using message = 'a record was given a position',
            hint = 'Leave position out: the log numbers its records itself, without gaps.';
    end if;
    select id, head, head_at, dedupe into c from connector where id = new.connector_id for no key update;
    if not found then
        raise foreign_key_violation using message = format('there is no connector %s', new.connector_id);
    end if;
    new.key := record_key(new.key, new.payload);
    select version, payload into newest from record
    where connector_id = new.connector_id and key = new.key order by version desc limit 1;
    -- What an open dead letter has kept is not always the newest.
    select version, content into pruned from pruned_key
    where connector_id = new.connector_id and digest = digest_of(new.key) and version > coalesce(newest.version, 0);
    if pruned.version is not null then
        update pruned_key set seen_at = clock_timestamp()
        where connector_id = new.connector_id and digest = digest_of(new.key)
          and seen_at < clock_timestamp() - interval '1 day';
    end if;
    if coalesce(pruned.version, newest.version) is not null
       and (c.dedupe = 'key'
            or coalesce(pruned.content = digest_of(new.payload::text), newest.payload = new.payload)) then
        return null;
    end if;
    new.position := c.head + 1;
    new.version := coalesce(pruned.version, newest.version, 0) + 1;
    if new.created_at is null or new.created_at < c.head_at or new.created_at > clock_timestamp() then
        new.created_at := greatest(clock_timestamp(), c.head_at);
    end if;
    update connector set head = new.position, head_at = new.created_at where id = c.id;
    return new;
end $$;

-- As before, in what is left of the log where it was pruned; the newest position that was pruned, if all was stored later.
create or replace function position_at(connector bigint, instant timestamptz) returns bigint
language plpgsql stable set search_path from current as $$
declare
    low bigint;   -- stored at `instant` or before, or not there
    high bigint;  -- stored later, or beyond the head
    middle bigint;
begin
    select k.head + 1, coalesce(g.up_to, 0) into high, low
    from connector k left join pruned_log g on g.connector_id = k.id where k.id = connector;
    select coalesce(min(r.position), high) - 1 into low
    from record r where r.connector_id = connector and r.position > low;
    while high - low > 1 loop
        middle := (low + high) / 2;
        if (select r.created_at <= instant from record r where r.connector_id = connector and r.position = middle) then
            low := middle;
        else
            high := middle;
        end if;
    end loop;
    return low;
end $$;

-- As before; `beginning` is where the log begins.
create or replace function begin_workflow(workflow bigint) returns boolean
language plpgsql set search_path from current as $$
#variable_conflict use_column
declare
    w record;
begin
    select k.connector_id, k.started_at, k.start_from into w from workflow k where k.id = begin_workflow.workflow;
    if not found or w.started_at > clock_timestamp() then
        return false;
    end if;
    perform from connector c where c.id = w.connector_id for share;  -- waits for what is just being appended
    update workflow_progress p
    set begun = true, updated_at = now(),
        position = case w.start_from when 'now' then position_at(w.connector_id, w.started_at)
                                     when 'beginning' then
                                         coalesce((select g.up_to from pruned_log g where g.connector_id = w.connector_id), 0)
                                     else position_at(w.connector_id, w.start_from::timestamptz) end
    where p.workflow_id = begin_workflow.workflow and not p.begun;
    return true;
end $$;

-- As before, with what is known of the pruned part of the log.
create or replace function connector_after_delete() returns trigger language plpgsql set search_path from current as $$
begin
    delete from record where connector_id = old.id;
    delete from pruned_key where connector_id = old.id;
    delete from turn where table_name = 'connector' and row_id = old.id;
    return null;
end $$;

-- Up to where a connector's log was stored before `instant`, and every workflow is through with it. One that has not begun
-- keeps all that it will begin with.
create function prunable_to(connector bigint, instant timestamptz) returns bigint
language sql stable set search_path from current as $$
    select least(position_at(prunable_to.connector, instant),
                 min(case when p.begun then p.position
                          when w.start_from = 'now' then null
                          when w.start_from = 'beginning' then 0
                          else position_at(w.connector_id, w.start_from::timestamptz) end))
    from workflow w join workflow_progress p on p.workflow_id = w.id
    where w.connector_id = prunable_to.connector
$$;

-- Let a connector's log begin later, as far as it can be pruned. From then on nobody goes back before that, so what lies
-- there can be removed without a lock. Answers up to where the log was pruned; null: there is nothing to prune.
create function prune_log(connector bigint, instant timestamptz) returns bigint
language plpgsql set search_path from current as $$
#variable_conflict use_column
declare
    safe bigint;
begin
    -- Whoever appends, begins or rewinds has it locked until he is done.
    perform from connector c where c.id = prune_log.connector for no key update;
    safe := prunable_to(prune_log.connector, instant);
    insert into pruned_log as g (connector_id, up_to)
    select c.id, safe from connector c where c.id = prune_log.connector and safe > 0
    on conflict (connector_id) do update set up_to = greatest(g.up_to, excluded.up_to)
    where g.up_to < excluded.up_to;
    return (select g.up_to from pruned_log g where g.connector_id = prune_log.connector);
end $$;

-- Drop one day of the ledger, and say how many of its rows stay, in execution_other: what is not finished, what is to be
-- sent again, and the newest scheduled execution of each job, by which a shift knows how far the ledger is accounted for.
-- All wait while the day is taken out, some milliseconds; lock_timeout says how long that may itself wait for others.
create function drop_execution_day(day date) returns bigint language plpgsql
set search_path from current set timezone = 'UTC'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    partition constant text := 'execution_' || to_char(day, 'YYYYMMDD');
    newest timestamptz[];
    jobs bigint[];
    moved bigint;
begin
    execute format(
        'select array_agg(j.id), array_agg(e.scheduled_for) from job j'
        ' cross join lateral (select o.scheduled_for from %I o where o.job_id = j.id and o.origin = ''schedule'''
        '                     order by o.scheduled_for desc limit 1) e'
        ' where (select true from execution n where n.job_id = j.id and n.origin = ''schedule'''
        '        and n.scheduled_for >= %L limit 1) is null', partition, day + 1)
    into jobs, newest;
    lock table only execution in access exclusive mode;
    execute format('alter table execution detach partition %I', partition);
    execute format(
        'insert into execution_other select e.* from %I e where e.status in (''running'', ''retrying'')'
        ' union all select e.* from %I e where e.redrive_at is not null and e.status not in (''running'', ''retrying'')'
        ' union all select e.* from unnest($1, $2) as n(job_id, scheduled_for)'
        ' join %I e on e.job_id = n.job_id and e.scheduled_for = n.scheduled_for'
        ' where e.status not in (''running'', ''retrying'') and e.redrive_at is null', partition, partition, partition)
    using jobs, newest;
    get diagnostics moved = row_count;
    execute format('drop table %I', partition);
    return moved;
end $$;

-- True if the DAG is one of a row, and the row is no longer there.
create function is_of_no_row(dag_id text) returns boolean language sql stable set search_path from current as $$
    select case
        when dag_id ~ '^job_[0-9]{1,18}$'
            then not exists (select from job where id = substring(dag_id from '^job_([0-9]{1,18})$')::bigint)
        when dag_id ~ '^connector_[0-9]{1,18}$'
            then not exists (select from connector where id = substring(dag_id from '^connector_([0-9]{1,18})$')::bigint)
        when dag_id ~ '^workflow_[0-9]{1,18}$'
            then not exists (select from workflow where id = substring(dag_id from '^workflow_([0-9]{1,18})$')::bigint)
        else false
    end
$$;
