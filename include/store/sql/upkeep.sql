-- Upkeep (include/store/upkeep.py). All statements have the same parameters: `now`, and for each setting the instant before
-- which nothing is kept. Those that sweep take at most `most` rows at a time (null: all), and say how many they have `found`
-- and `changed`; without `change` they only look.

-- name: take_lock
-- Be the only one at work in this database, as long as this connection lasts; or learn that somebody else is.
select pg_try_advisory_lock(hashtext('millrace.upkeep')) as taken, to_regclass('public.dag_run') is not null as has_airflow;

-- name: leave_lock
-- Let another one begin.
select pg_advisory_unlock(hashtext('millrace.upkeep'));

-- name: due_chores
-- Of these chores, those that nobody has begun within the hour.
select c.name
from unnest(%(chores)s::text[]) as c(name)
left join upkeep u on u.chore = c.name
where coalesce(u.begun_at <= %(now)s - interval '1 hour' or u.begun_at > %(now)s, true);

-- name: note_begun
-- Note that a chore is being done.
insert into upkeep (chore, begun_at) values (%(chore)s, %(now)s)
on conflict (chore) do update set begun_at = excluded.begun_at;

-- name: note_ended
-- Note what became of a chore.
update upkeep
set ended_at = %(now)s::timestamptz + make_interval(secs => %(seconds)s), seconds = %(seconds)s, changed = %(changed)s,
    error = %(error)s, ok_at = case when %(error)s::text is null then %(now)s else ok_at end
where chore = %(chore)s;

-- name: missing_days
-- Days for which the ledger should have a partition and has none: from yesterday to a week from now, and those of which
-- there is something in execution_other. What is older than is kept gets none.
select day
from (select generate_series((%(now)s at time zone 'UTC')::date - 1, (%(now)s at time zone 'UTC')::date + 7,
                             interval '1 day')::date as day
      union
      select distinct (scheduled_for at time zone 'UTC')::date from execution_other
      where scheduled_for >= %(executions)s and scheduled_for < (%(now)s at time zone 'UTC')::date + 8) as wanted
where to_regclass('execution_' || to_char(day, 'YYYYMMDD')) is null
order by day;

-- name: lock_ledger
-- Let nobody write to the ledger until the transaction ends: what is moved must not be on its way elsewhere.
lock table only execution in access exclusive mode;

-- name: make_day
-- Make the partition of a day; what execution_other has of it moves there.
select make_execution_partitions(%(day)s::date, %(day)s::date) as made;

-- name: old_days
-- Days of the ledger that are older than is kept, the oldest first.
select to_date(right(c.relname, 8), 'YYYYMMDD') as day
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'execution'::regclass and c.relname ~ '^execution_[0-9]{8}$'
  and to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (%(executions)s at time zone 'UTC')::date
order by day;

-- name: drop_day
-- Drop a day of the ledger, but for what must stay.
select drop_execution_day(%(day)s::date) as kept;

-- name: old_executions
-- Executions of which the day is dropped, once nothing needs them any more.
with doomed as materialized (
    select e.ctid as place
    from execution_other e
    where e.scheduled_for < %(executions)s and e.finished_at is not null and e.redrive_at is null
      and not (e.origin = 'schedule' and exists (select from job j where j.id = e.job_id)
               and (select true from execution n where n.job_id = e.job_id and n.origin = 'schedule'
                    and n.scheduled_for > e.scheduled_for limit 1) is null)
    limit %(most)s::bigint
), gone as (
    delete from execution_other e using doomed d
    where e.ctid = d.place and e.finished_at is not null and e.redrive_at is null and %(change)s
    returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: logs
-- Connectors that have records which are old enough.
select c.id
from connector c
where exists (select from (select r.created_at from record r where r.connector_id = c.id
                           order by r.position limit 1) oldest where oldest.created_at < %(records)s)
order by c.id;

-- name: prune_log
-- Let the log of a connector begin later; up to where it is pruned then.
select prune_log(%(connector_id)s, %(records)s) as up_to;

-- name: prunable
-- How much of a connector's log could be removed.
select count(*) as found
from record r
where r.connector_id = %(connector_id)s
  and r.position <= (select prunable_to(%(connector_id)s, %(records)s))
  and not exists (select from dead_letter d where d.connector_id = r.connector_id and d.position = r.position
                  and d.resolved_at is null);

-- name: records
-- Records before the beginning of their log that no open dead letter needs; of each key, what it takes to know it stays.
with open as materialized (
    select d.position from workflow w
    join dead_letter d on d.workflow_id = w.id and d.resolved_at is null
    where w.connector_id = %(connector_id)s and d.position <= %(up_to)s
), doomed as materialized (
    select r.position from record r
    where r.connector_id = %(connector_id)s and r.position <= %(up_to)s
      and r.position not in (select position from open)
    order by r.position limit %(most)s::bigint
), gone as (
    delete from record r using doomed d
    where r.connector_id = %(connector_id)s and r.position = d.position and %(change)s
    returning r.key, r.version, r.payload, r.position
), known as (
    insert into pruned_key as p (connector_id, digest, version, content, position, seen_at)
    select distinct on (key) %(connector_id)s, digest_of(key), version, digest_of(payload::text), position, %(now)s
    from gone order by key, version desc
    on conflict (connector_id, digest) do update
    set version = excluded.version, content = excluded.content, position = excluded.position, seen_at = excluded.seen_at
    where excluded.version > p.version
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: keys
-- Keys of removed records that their source has not shown for so long that it never will.
with doomed as materialized (
    select connector_id, digest from pruned_key where seen_at < %(keys)s order by seen_at limit %(most)s::bigint
), gone as (
    delete from pruned_key p using doomed d
    where p.connector_id = d.connector_id and p.digest = d.digest and p.seen_at < %(keys)s and %(change)s
    returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: deliveries
-- Ids of deliveries that nobody sends again.
with doomed as materialized (
    select ctid as place from delivery where created_at < %(records)s limit %(most)s::bigint
), gone as (
    delete from delivery t using doomed d where t.ctid = d.place and t.created_at < %(records)s and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: dead_letters
-- Dead letters of workflows that were resolved long ago.
with doomed as materialized (
    select id from dead_letter where created_at < %(records)s and resolved_at < %(records)s
    order by created_at limit %(most)s::bigint
), gone as (
    delete from dead_letter t using doomed d where t.id = d.id and t.resolved_at < %(records)s and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: timers
-- Timers that have been fired, have failed or were cancelled long ago.
with doomed as materialized (
    (select id from timer
     where due_at < %(executions)s and finished_at < %(executions)s and status in ('fired', 'failed', 'cancelled')
     order by due_at limit %(most)s::bigint)
    union
    (select id from timer where status = 'cancelled' and finished_at < %(executions)s limit %(most)s::bigint)
), gone as (
    delete from timer t using doomed d where t.id = d.id and t.finished_at < %(executions)s and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: audit
-- Old entries of the audit, but for those that say what a job was to do when it was executed: they stay until others have
-- taken their place for as long as executions are kept.
with doomed as materialized (
    select a.id from audit a
    where a.at < %(audit)s
      and not (a.table_name = 'job' and a.operation <> 'delete'
               and (not exists (select from audit n where n.table_name = a.table_name and n.row_id = a.row_id
                                and n.id > a.id and n.at < least(%(audit)s, %(executions)s))
                    or exists (select from execution_other e where e.job_id = a.row_id
                               and e.config_revision = (a.new ->> 'revision')::bigint)))
    order by a.at limit %(most)s::bigint
), gone as (
    delete from audit t using doomed d where t.id = d.id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: notices
-- What was told long ago, and what could not be told to anybody for as long as executions are kept.
with doomed as materialized (
    select id from notice where sent_at < %(told)s or at < %(executions)s limit %(most)s::bigint
), gone as (
    delete from notice t using doomed d where t.id = d.id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: channels
-- Channels in which nothing waits and nothing was sent for long.
with doomed as materialized (
    select key from notice_channel c
    where c.next_at < %(told)s and not exists (select from notice n where n.channel_key = c.key and n.sent_at is null)
    limit %(most)s::bigint
    for update skip locked
), gone as (
    delete from notice_channel t using doomed d where t.key = d.key and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: answers
-- Answers to requests with an Idempotency-Key that no longer counts.
with doomed as materialized (
    select caller, key from idempotency_key where created_at < %(answers)s order by created_at limit %(most)s::bigint
    for update skip locked
), gone as (
    delete from idempotency_key t using doomed d where t.caller = d.caller and t.key = d.key and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: trials
-- Trials that nobody can ask about any more.
with doomed as materialized (
    select id from trial where created_at < %(trials)s order by created_at limit %(most)s::bigint
), gone as (
    delete from trial t using doomed d where t.id = d.id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: leases
-- Leases of processes that died long ago; an owner without a lease counts as dead.
with doomed as materialized (
    select owner from lease where until < %(now)s - interval '1 day' limit %(most)s::bigint
), gone as (
    delete from lease t using doomed d
    where t.owner = d.owner and t.until < %(now)s - interval '1 day' and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: turns
-- Turns on rows that are no longer there, and of which nobody is at work.
with doomed as materialized (
    select table_name, row_id from turn t
    where t.taken_at < %(now)s - interval '1 day'
      and not exists (select from lease l where l.owner = t.owner and l.until > %(now)s - interval '1 day')
      and (t.table_name = 'workflow' and not exists (select from workflow w where w.id = t.row_id)
           or t.table_name = 'connector' and not exists (select from connector c where c.id = t.row_id)
           or t.table_name = 'job' and not exists (select from job j where j.id = t.row_id))
    limit %(most)s::bigint
), gone as (
    delete from turn t using doomed d where t.table_name = d.table_name and t.row_id = d.row_id and %(change)s returning 1
)
select (select count(*) from doomed) as found, (select count(*) from gone) as changed;

-- name: tallies
-- Fold what was counted by the minute or the hour, and long ago.
select folded as found, folded as changed
from (select case when %(change)s then fold_tally(%(most)s::integer) else 0 end as folded) as f;
