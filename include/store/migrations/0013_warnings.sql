-- What is wrong, and for how long: kept by the watchdog, told once, and ended when it is over.

-- One row per problem, from when it was first seen until it was over. The name and the owner of a row that a warning is
-- about are that row's own; the owner of others is whoever can do something about it, null: whoever runs the system.
create table warning (
    id bigint generated always as identity primary key,
    what text not null check (what in ('unfired', 'unpulled', 'stuck', 'stopped', 'dead_letters', 'disk', 'component',
                                       'chore')),
    subject text not null,
    table_name text check (table_name in ('job', 'connector', 'workflow')),
    row_id bigint,
    owner text,
    name text,
    since timestamptz not null,
    text text not null,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    notified_at timestamptz,
    ended_at timestamptz,
    constraint rows_have_a_table_and_an_id check ((table_name is null) = (row_id is null)),
    constraint others_have_a_name check (table_name is not null or name is not null)
);
create unique index warning_open on warning (what, subject) where ended_at is null;
create index warning_ended on warning (ended_at) where ended_at is not null;
comment on column warning.subject is 'What it is about: a row (job:3), a disk, an owner, a component, a chore; one warning of each at a time.';
comment on column warning.since is 'Since when it is so; first_seen_at is when the watchdog saw it first.';
comment on column warning.text is 'What is wrong, and what to do.';
comment on column warning.notified_at is 'When it was noted to be told; null: nobody wants to know.';

-- A warning is told as `attention`, to whoever has `warning` told, and its end as `recovery`.
alter table notice
    drop constraint notice_table_name_check,
    add constraint notice_table_name_check
        check (table_name in ('job', 'connector', 'workflow', 'timer', 'owner_notify', 'warning')),
    drop constraint notice_event_check,
    add constraint notice_event_check
        check (event in ('failure', 'recovery', 'missed', 'warning', 'disabled', 'test', 'attention'));

-- The warnings as people see them, of rows that are still there: with their name, and whose they are now.
create view warning_of as
select w.id, w.what, w.subject, w.table_name, w.row_id, coalesce(j.name, c.name, f.name, w.name) as name,
       case when w.table_name is null then w.owner else coalesce(j.owner, c.owner, f.owner) end as owner,
       case w.table_name when 'job' then coalesce(j.notify, d.notify) when 'connector' then coalesce(c.notify, d.notify)
                         else d.notify end as notify,
       w.since, w.text, w.first_seen_at, w.last_seen_at, w.notified_at, w.ended_at
from warning w
left join job j on w.table_name = 'job' and j.id = w.row_id
left join connector c on w.table_name = 'connector' and c.id = w.row_id
left join workflow f on w.table_name = 'workflow' and f.id = w.row_id
left join owner_notify d on d.owner = coalesce(j.owner, c.owner, f.owner, w.owner)
where w.table_name is null or coalesce(j.id, c.id, f.id) is not null;
