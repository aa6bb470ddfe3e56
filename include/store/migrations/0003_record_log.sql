-- The record log.

-- The log: a connector's records are numbered 1, 2, 3 ... in commit order, so whoever has read up to a position has seen
-- everything before it, and what lies ahead is head - position. Append with append_records(), or with a plain insert that
-- leaves `position` out. `version` counts the contents that a key has had (dedupe = 'content'); else it is 1.
create table record (
    connector_id bigint not null,
    position bigint not null check (position > 0),
    key text not null,
    version integer not null default 1,
    payload jsonb not null,
    created_at timestamptz not null,
    primary key (connector_id, position),
    unique (connector_id, key, version)
) partition by hash (connector_id);
comment on column record.created_at is 'When it was stored; never decreases along the log.';

do $$ begin
    for part in 0..15 loop
        execute format('create table record_%s partition of record for values with (modulus 16, remainder %s)'
                       ' with (autovacuum_vacuum_insert_scale_factor = 0.05)', to_char(part, 'FM00'), part);
    end loop;
end $$;

-- What a key is, where the source names none: its content. Keys too long for an index end in a digest of themselves.
create function record_key(key text, payload jsonb) returns text language sql immutable parallel safe as $$
    select case when coalesce(key, '') = '' then 'sha256:' || encode(sha256(convert_to(payload::text, 'UTF8')), 'hex')
                when octet_length(key) > 1000 then left(key, 200) || '...sha256:'
                                                   || encode(sha256(convert_to(key, 'UTF8')), 'hex')
                else key end
$$;

-- Append what is new of `items` ([{"key": ..., "payload": ...}, ...]) to the log, in their order, and with `move` set the
-- cursor to `new_cursor`: both or nothing. Writers of one connector take turns. The cursor is moved only by whoever knows
-- where it is: if it is not at `old_cursor`, nothing is stored and `superseded` says so; `cursor` is where it stands then.
create function append_records(
    connector bigint, items jsonb, move boolean default false, new_cursor jsonb default null,
    old_cursor jsonb default null, out stored bigint, out head bigint, out superseded boolean, out cursor jsonb
) language plpgsql set search_path from current set millrace.appending = 'on'
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    c record;
    stored_at timestamptz;
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
    if c.dedupe = 'key' then
        with incoming as (
            select record_key(e ->> 'key', e -> 'payload') as key, e -> 'payload' as payload, o
            from jsonb_array_elements(items) with ordinality as t(e, o)
        ), fresh as (
            select distinct on (i.key) i.key, i.payload, i.o
            from incoming i
            where not exists (select from record r where r.connector_id = c.id and r.key = i.key)
            order by i.key, i.o
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
            select i.key, i.payload, i.o, coalesce(newest.version, 0) as version
            from in_order i
            left join lateral (select r.version, r.payload from record r
                               where r.connector_id = c.id and r.key = i.key
                               order by r.version desc limit 1) newest on true
            where i.payload is distinct from coalesce(i.before, newest.payload)
        )
        insert into record (connector_id, position, key, version, payload, created_at)
        select c.id, c.head + row_number() over (order by o), key,
               version + row_number() over (partition by key order by o), payload, stored_at
        from changed;
    end if;
    get diagnostics stored = row_count;
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

-- Number a record that was inserted without a position; drop it if it is stored already.
create function record_before_insert() returns trigger language plpgsql set search_path from current as $$
declare
    c record;
    newest record;
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
    if newest.version is not null and (c.dedupe = 'key' or newest.payload = new.payload) then
        return null;
    end if;
    new.position := c.head + 1;
    new.version := coalesce(newest.version, 0) + 1;
    if new.created_at is null or new.created_at < c.head_at or new.created_at > clock_timestamp() then
        new.created_at := greatest(clock_timestamp(), c.head_at);
    end if;
    update connector set head = new.position, head_at = new.created_at where id = c.id;
    return new;
end $$;
create trigger record_before_insert before insert on record
    for each row when (current_setting('millrace.appending', true) is distinct from 'on')
    execute function record_before_insert();

-- The newest position that was stored at `instant` or before; 0 if there is none. Searches by halves: created_at never
-- decreases along the log.
create function position_at(connector bigint, instant timestamptz) returns bigint
language plpgsql stable set search_path from current as $$
declare
    low bigint;   -- stored at `instant` or before, or not there
    high bigint;  -- stored later, or beyond the head
    middle bigint;
begin
    select k.head + 1 into high from connector k where k.id = connector;
    select coalesce(min(r.position), high) - 1 into low from record r where r.connector_id = connector;
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

-- What was pushed, by the sender's own id for it, so that a delivery that comes again is stored once.
create table delivery (
    connector_id bigint not null references connector (id) on delete cascade,
    id text not null check (length(id) between 1 and 500),
    positions bigint[] not null,
    created_at timestamptz not null default now(),
    primary key (connector_id, id)
);
create index delivery_age on delivery using brin (created_at);

-- The log goes with its connector.
create function connector_after_delete() returns trigger language plpgsql set search_path from current as $$
begin
    delete from record where connector_id = old.id;
    delete from turn where table_name = 'connector' and row_id = old.id;
    return null;
end $$;
create trigger connector_after_delete after delete on connector
    for each row execute function connector_after_delete();
