-- What is to be told, and whom (include/store/notices.py).

-- name: count_queued
-- Count the outcomes that somebody's lock on their job kept from being counted, where it is gone by now; forget those
-- whose job is gone.
with forgotten as (
    delete from outcome_queue
    where id in (select q.id from outcome_queue q where not exists (select from job j where j.id = q.job_id)
                 for update skip locked)
)
select count_outcomes(array_agg(distinct job_id), '{}') from outcome_queue having count(*) > 0;

-- name: take
-- Take channels in which a message is to be sent now, at most so many, each for this process alone: a message that is in
-- hand already, or else one of all that waits there. Channels are locked before it is said what is in hand.
with waiting as materialized (
    select channel_key as key, min(at) as since, max(id) as last from notice where message is null group by channel_key
), known as (
    insert into notice_channel (key)
    select key from waiting w where not exists (select from notice_channel c where c.key = w.key)
    on conflict do nothing
), ready as materialized (
    select c.key, coalesce(c.message, w.last) as message, c.message is not null as in_hand
    from notice_channel c left join waiting w on w.key = c.key
    where c.next_at <= now() and coalesce(c.taken_until < now(), true)
      and (c.message is not null or w.since <= now() - make_interval(secs => %(gather_seconds)s))
    order by c.next_at limit %(most)s
    for no key update of c skip locked
), gathered as (
    update notice n set message = r.message
    from ready r where not r.in_hand and n.channel_key = r.key and n.message is null and n.id <= r.message
)
update notice_channel c
set message = r.message, taken_until = now() + make_interval(secs => %(hold_seconds)s)
from ready r where c.key = r.key
returning c.key, c.message as id, c.attempt + 1 as attempt;

-- name: message
-- What is in a message: its channel, how many notices of each event, how many rows they are about, and what is told of
-- the first of these. Without a channel if it has been sent.
with told as materialized (
    select * from notice where message = %(id)s and sent_at is null
), about as materialized (
    select min(id) as first, event, table_name, row_id, max(name) as name, max(owner) as owner, min(at) as at,
           (array_agg(detail order by id desc))[1] as detail, sum(count) as count
    from told group by event, table_name, row_id
)
select (select channel from told limit 1) as channel,
       (select count(*) from about) as rows,
       coalesce((select jsonb_object_agg(event, events) from (
           select event, sum(count) as events from about group by event) as e), '{}') as counts,
       array(select jsonb_build_object('event', event, 'table', table_name, 'id', row_id, 'name', name, 'owner', owner,
                                       'at', at, 'detail', detail, 'count', count)
             from about order by first limit %(most)s) as notices;

-- name: sent
-- Note that a message was sent; the next one in its channel is not before some time has passed.
with done as (
    update notice set sent_at = now() where message = %(id)s and sent_at is null
)
update notice_channel
set message = null, attempt = 0, error = null, taken_until = null, sent_at = now(),
    next_at = now() + make_interval(secs => %(quiet_seconds)s)
where key = %(key)s and message = %(id)s;

-- name: failed
-- Note that a message could not be sent, and when to try again.
update notice_channel
set attempt = attempt + 1, error = %(error)s, taken_until = null,
    next_at = now() + make_interval(secs => %(pause_seconds)s)
where key = %(key)s and message = %(id)s;

-- name: let_go
-- Give a channel back without having tried.
update notice_channel set taken_until = null where key = %(key)s and message = %(id)s;

-- name: forget_notices
-- Remove notices that were sent so many days ago.
delete from notice where sent_at < now() - make_interval(days => %(days)s);

-- name: forget_channels
-- Remove channels that have been quiet for so many days.
delete from notice_channel
where message is null and next_at < now() - make_interval(days => %(days)s)
  and not exists (select from notice n where n.channel_key = key and n.message is null);

-- name: list_owners
-- Whom to tell where jobs do not say, by owner.
select owner, notify, updated_at from owner_notify order by owner;

-- name: owner
-- Whom to tell where the jobs of one owner do not say.
select owner, notify, updated_at from owner_notify where owner = %(owner)s;

-- name: set_owner
-- Say whom to tell where the jobs of one owner do not say.
insert into owner_notify (owner, notify) values (%(owner)s, %(notify)s)
on conflict (owner) do update set notify = excluded.notify, updated_at = now()
returning owner, notify, updated_at;

-- name: unset_owner
-- Tell nobody where the jobs of one owner do not say.
delete from owner_notify where owner = %(owner)s returning owner;

-- name: list_unsent
-- Channels in which something is still to be sent: how much, since when, how often that has failed and why, and when the
-- next attempt is, if not now.
select n.channel ->> 'kind' as kind, n.channel -> 'payload' as payload, n.owners, n.notices, n.since,
       coalesce(c.attempt, 0) as attempt, c.error, nullif(greatest(c.next_at, now()), now()) as next_at
from (select channel_key, (array_agg(channel))[1] as channel, sum(count)::bigint as notices, min(at) as since,
             array_agg(distinct owner order by owner) as owners
      from notice where sent_at is null group by channel_key) as n
left join notice_channel c on c.key = n.channel_key
order by n.since;

-- name: add_test
-- Have a test sent to the channel of an owner's notify, as any other notice.
insert into notice (table_name, name, owner, event, detail, channel)
values ('owner_notify', %(owner)s, %(owner)s, 'test', %(detail)s, %(channel)s)
returning id;
