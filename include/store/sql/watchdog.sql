-- What the watchdog looks at, and the warnings that it keeps (include/store/watchdog.py).

-- name: unpulled
-- Connectors on duty that have not completed a pull for two intervals, and at least two minutes. One that fails is told of
-- by itself, one that was told to wait waits, and one that is at it is given the time that a pull may take.
select id, name, since, pulled_at
from (select c.*, greatest(c.pulled_at, c.updated_at, c.paused_until, c.not_before, '1970-01-01') as since
      from connector c
      where c.is_active and c.error is null and c.failures = 0 and c.every is not null
        and c.kind <> all(%(pushed)s::text[])) as quiet
where since < %(now)s::timestamptz - greatest(every * 2, interval '2 minutes')
  and not exists (select from turn t join lease l on l.owner = t.owner and l.until > now()
                  where t.table_name = 'connector' and t.row_id = quiet.id and t.ended_at is null
                    and t.taken_at > %(now)s::timestamptz - make_interval(secs => %(pull_seconds)s))
order by id
limit %(most)s;

-- name: stuck
-- Workflows on duty whose watermark has not moved for two intervals, at least two minutes, and as long as a call may take,
-- although a record has waited for as long.
select w.id, w.name, w.behind, greatest(w.moved_at, coalesce(oldest.created_at, w.head_at)) as since
from (select w.id, w.name, w.connector_id, p.position, c.head - p.position as behind, c.head_at,
             greatest(w.every * 2, w.timeout, interval '2 minutes') as patience,
             greatest(p.updated_at, w.updated_at, w.paused_until, '1970-01-01') as moved_at
      from workflow w
      join workflow_progress p on p.workflow_id = w.id
      join connector c on c.id = w.connector_id
      where w.is_active and w.error is null and p.begun and p.stopped_at is null and c.head > p.position) as w
left join lateral (select r.created_at from record r
                   where r.connector_id = w.connector_id and r.position > w.position
                   order by r.position limit 1) as oldest on w.moved_at < %(now)s::timestamptz - w.patience
where greatest(w.moved_at, coalesce(oldest.created_at, w.head_at)) < %(now)s::timestamptz - w.patience
order by w.id
limit %(most)s;

-- name: stopped
-- Workflows on duty that have stopped at a record, until a person sees to it.
select w.id, w.name, greatest(p.updated_at, '1970-01-01') as since, p.stopped_at, left(p.error, 500) as error
from workflow w join workflow_progress p on p.workflow_id = w.id
where w.is_active and w.error is null and p.stopped_at is not null
  and coalesce(w.paused_until <= %(now)s::timestamptz, true)
order by w.id
limit %(most)s;

-- name: growing_letters
-- Owners (null: of jobs that are gone) of whom so many dead letters are younger than an hour, and nobody has seen to them;
-- the newest thousands of each source are looked at.
with hour as materialized (
    select %(now)s::timestamptz - interval '1 hour' as begin
), fresh as (
    select j.owner, e.finished_at as at
    from (select job_id, finished_at, discarded_at, redrive_at from execution
          where status = 'failed' and scheduled_for between %(now)s::timestamptz - interval '1 day' and %(now)s
          order by scheduled_for desc limit %(most)s) as e
    left join job j on j.id = e.job_id
    where e.finished_at > (table hour) and e.discarded_at is null and e.redrive_at is null
    union all
    select owner, finished_at
    from (select owner, finished_at, discarded_at from timer where status = 'failed' order by id desc limit %(most)s) as t
    where finished_at > (table hour) and discarded_at is null
    union all
    select w.owner, d.created_at
    from (select workflow_id, created_at, status from dead_letter
          where created_at > %(now)s::timestamptz - interval '1 hour' limit %(most)s) as d
    join workflow w on w.id = d.workflow_id
    where d.status = 'dead'
)
select owner, count(*) as count, min(at) as since
from fresh
group by owner
having count(*) >= %(least)s
order by owner
limit %(most)s;

-- name: late_chores
-- Chores of upkeep that failed when they were last done, or have not come to their end for three hours. What has not been
-- begun for a day, while others were, is a chore no more.
select chore, coalesce(ok_at, begun_at) as since, left(error, 500) as error
from upkeep
where (error is not null or coalesce(ok_at, begun_at) < %(now)s::timestamptz - interval '3 hours')
  and begun_at > (select max(begun_at) from upkeep) - interval '1 day'
order by chore
limit %(most)s;

-- name: data_directory
-- Where PostgreSQL keeps its data, if it is on this machine and says so.
select case when pg_has_role(current_user, 'pg_read_all_settings', 'usage') then current_setting('data_directory') end
           as path
where inet_server_addr() is null or inet_server_addr() <<= '127.0.0.0/8' or inet_server_addr() = '::1';

-- name: take_turn
-- Keep warnings alone until the transaction ends: two watchdogs that see the same make one warning of it.
select pg_advisory_xact_lock(hashtext('millrace.warning'));

-- name: refresh
-- Keep the open warnings of what is seen still.
update warning w
set last_seen_at = %(now)s, since = least(w.since, f.since), text = f.text
from unnest(%(subjects)s::text[], %(sinces)s::timestamptz[], %(texts)s::text[]) as f(subject, since, text)
where w.what = %(what)s and w.subject = f.subject and w.ended_at is null;

-- name: finish
-- End those of what is not seen any more, and tell whoever was told of their beginning. Without subjects that begin with
-- `scope`, which somebody else looks at, unless he has not done so for an hour.
with ended as (
    update warning set ended_at = %(now)s
    where what = %(what)s and ended_at is null
      and not exists (select from unnest(%(subjects)s::text[]) as seen where seen = subject)
      and (starts_with(subject, %(scope)s) or last_seen_at < %(now)s::timestamptz - interval '1 hour')
    returning id
)
insert into notice (table_name, row_id, name, owner, event, detail, channel)
select coalesce(w.table_name, 'warning'), coalesce(w.row_id, w.id), w.name, coalesce(w.owner, ''), 'recovery',
       'what it needed attention for is over', channel
from ended e
join warning_of w on w.id = e.id
cross join lateral channel_of(case when w.owner is null then %(notify)s::jsonb else w.notify end, 'recovery') as channel
where w.notified_at is not null and channel is not null
order by w.id;

-- name: begin
-- Begin warnings of what is seen and has none.
insert into warning (what, subject, table_name, row_id, owner, name, since, text, first_seen_at, last_seen_at)
select %(what)s, f.subject, %(table)s, case when %(table)s::text is not null then f.row_id end, f.owner, f.name, f.since,
       f.text, %(now)s, %(now)s
from unnest(%(subjects)s::text[], %(row_ids)s::bigint[], %(owners)s::text[], %(names)s::text[], %(sinces)s::timestamptz[],
            %(texts)s::text[]) as f(subject, row_id, owner, name, since, text)
where not exists (select from warning w where w.what = %(what)s and w.subject = f.subject and w.ended_at is null)
order by f.since, f.subject
on conflict do nothing
returning id;

-- name: tell
-- Note to be told the warnings that have just begun, and that this was noted.
with told as (
    insert into notice (table_name, row_id, name, owner, event, detail, channel)
    select coalesce(w.table_name, 'warning'), coalesce(w.row_id, w.id), w.name, coalesce(w.owner, ''), 'attention', w.text,
           channel
    from warning_of w
    cross join lateral channel_of(case when w.owner is null then %(notify)s::jsonb else w.notify end, 'warning') as channel
    where w.id = any(%(ids)s) and channel is not null
    order by w.id
    returning table_name, row_id
)
update warning w set notified_at = %(now)s
where w.id = any(%(ids)s)
  and (coalesce(w.table_name, 'warning'), coalesce(w.row_id, w.id)) in (select table_name, row_id from told);

-- name: count_open
-- How many warnings are open.
select count(*) as count from warning_of where ended_at is null;

-- name: forget
-- Remove some of what ended so many days ago.
delete from warning where id in (
    select id from warning where ended_at < now() - make_interval(days => %(days)s) order by ended_at limit 10000);

-- name: search
-- A page of warnings, the newest first: of the rows and dead letters of `owner` who asks (null: an admin, who sees all),
-- of whom `of` asks.
select id, id::text as sort_key, what, table_name, row_id, name, owner, since, text, last_seen_at, notified_at, ended_at
from warning_of
where (%(owner)s::text is null or owner = %(owner)s)
  and (%(of)s::text is null or owner = %(of)s)
  and (%(what)s::text is null or what = %(what)s)
  and (%(is_open)s::bool is null or (ended_at is null) = %(is_open)s)
  and (%(after_id)s::bigint is null or id < %(after_id)s)
order by id desc
limit %(limit)s;
