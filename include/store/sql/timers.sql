-- Timers: how pumps claim and finish them, and how people look after them (include/store/timers.py).

-- name: claim
-- Make due timers this pump's own, the oldest first. Due is what is due by PostgreSQL's clock and by the asker's, so that
-- none is early; what another pump, or somebody who cancels, has locked is left to them.
with due as materialized (
    select id from timer
    where status = 'pending' and next_at <= least(now(), %(now)s::timestamptz)
    order by next_at limit %(most)s
    for update skip locked
)
update timer t
set status = 'firing', attempt = t.attempt + 1, fired_at = coalesce(t.fired_at, now()),
    claimed_by = %(owner)s, claim = %(claim)s
from due where t.id = due.id
returning t.id, t.owner, t.url, t.method, t.headers, t.body, t.conn_id, t.due_at, t.next_at, t.retries, t.retry_delay,
          t.retry_backoff, t.retry_max_delay, t.retry_jitter, t.no_retry_on, t.timeout, t.delivery, t.status, t.attempt,
          t.base_attempt;

-- name: take_over
-- Take what nobody is sending any more: claims of owners whose lease ran out, claims of this owner's pumps that are off
-- duty, and claims of this pump of which it never heard, because the connection was cut before the answer came. What may
-- have been sent and must not be sent twice is failed, for nobody knows the outcome.
with stray as materialized (
    select t.id, own.unheard, not own.unheard and t.delivery = 'at_most_once' as lost
    from timer t, lateral (select coalesce(t.claimed_by = %(owner)s and t.claim = %(claim)s, false) as unheard) own
    where t.status = 'firing'
      and case when own.unheard then t.id <> all (%(in_hand)s::bigint[])
               when t.claimed_by = %(owner)s then t.claim <> all (%(on_duty)s::bigint[])
               else not exists (select from lease l where l.owner = t.claimed_by and l.until > now()) end
    order by t.next_at limit %(most)s
    for update of t skip locked
)
update timer t
set status = case when s.lost then 'failed' else 'firing' end,
    reason = case when s.lost then 'unknown outcome' end,
    error = case when s.unheard then t.error else 'the process that was sending it died' end,
    finished_at = case when s.lost then now() end,
    attempts = case when s.unheard then t.attempts else t.attempts || jsonb_build_object(
        'attempt', t.attempt,
        'at', to_char((case when t.attempt = 1 then t.fired_at else t.next_at end) at time zone 'UTC',
                      'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
        'error', 'the process that was sending it died') end,
    attempt = t.attempt + case when s.unheard or s.lost then 0 else 1 end,
    claimed_by = case when not s.lost then %(owner)s::uuid end, claim = %(claim)s
from stray s where t.id = s.id
returning t.id, t.owner, t.url, t.method, t.headers, t.body, t.conn_id, t.due_at, t.next_at, t.retries, t.retry_delay,
          t.retry_backoff, t.retry_max_delay, t.retry_jitter, t.no_retry_on, t.timeout, t.delivery, t.status, t.attempt,
          t.base_attempt;

-- name: next_timer
-- When a timer is due next.
select min(next_at) as next_at from timer where status = 'pending';

-- name: finish
-- Write what became of attempts. Only the claim that made an attempt may write it. Without an entry, nothing was sent.
update timer t
set status = d.status, reason = d.reason, error = d.error, output = d.output,
    attempt = case when d.entry is null then t.attempt - 1 else t.attempt end,
    attempts = case when d.entry is null then t.attempts else t.attempts || d.entry end,
    next_at = coalesce(d.next_at, t.next_at),
    fired_at = case when d.attempt > 1 then t.fired_at when d.entry is not null then d.started_at end,
    finished_at = case when d.status <> 'pending' then d.finished_at end,
    claimed_by = null
from unnest(%(id)s::bigint[], %(claim)s::bigint[], %(attempt)s::int[], %(status)s::text[], %(reason)s::text[],
            %(error)s::text[], %(output)s::jsonb[], %(entry)s::jsonb[], %(next_at)s::timestamptz[],
            %(started_at)s::timestamptz[], %(finished_at)s::timestamptz[])
    with ordinality as d(id, claim, attempt, status, reason, error, output, entry, next_at, started_at, finished_at, place)
where t.id = d.id and t.claim = d.claim and t.attempt = d.attempt and t.status = 'firing'
returning d.place;

-- name: hand_back
-- Let go of all that one pump has claimed: what it had not begun to send is pending again, and what it had is for
-- whoever takes over, who need not wait for a lease to run out.
update timer t
set status = case when begun then 'firing' else 'pending' end,
    attempt = case when begun then t.attempt else t.attempt - 1 end,
    fired_at = case when begun or t.attempt > 1 then t.fired_at end,
    claimed_by = case when begun then '00000000-0000-0000-0000-000000000000'::uuid end
from (select id, id = any (%(begun)s::bigint[]) as begun
      from timer
      where status = 'firing' and claimed_by = %(owner)s and claim = %(claim)s
      order by id for update) as claimed
where t.id = claimed.id;

-- name: insert_timer
-- A new timer, from a document with every column that a person may set.
insert into timer (external_id, owner, url, method, headers, body, conn_id, hours, minutes, seconds, due_at, retries, retry_delay,
                   retry_backoff, retry_max_delay, retry_jitter, no_retry_on, timeout, delivery)
select external_id, owner, url, method, headers, body, conn_id, hours, minutes, seconds, due_at, retries, retry_delay,
       retry_backoff, retry_max_delay, retry_jitter, no_retry_on, timeout, delivery
from jsonb_populate_record(null::timer, %(columns)s::jsonb)
returning *;

-- name: insert_timers
-- New timers, in their order, from a document with every column that a person may set. One whose external_id its owner has
-- used already is left out.
insert into timer (external_id, owner, url, method, headers, body, conn_id, hours, minutes, seconds, due_at, retries, retry_delay,
                   retry_backoff, retry_max_delay, retry_jitter, no_retry_on, timeout, delivery)
select external_id, owner, url, method, headers, body, conn_id, hours, minutes, seconds, due_at, retries, retry_delay,
       retry_backoff, retry_max_delay, retry_jitter, no_retry_on, timeout, delivery
from jsonb_populate_recordset(null::timer, %(columns)s::jsonb -> 'timers')
on conflict (owner, external_id) where external_id is not null do nothing
returning *;

-- name: quota_exceeded
-- An owner's quota of rows, if more timers of his wait than that; no more are counted than it takes to know.
select most.max_rows
from (select max_rows from quota where owner in (%(owner)s, '*') order by owner = '*' limit 1) as most
where most.max_rows < (select count(*) from (
    select from timer where owner = %(owner)s and status in ('pending', 'firing') limit most.max_rows + 1) as waiting);

-- name: get_timers
-- Timers by their ids, those of one owner or of all.
select * from timer where id = any (%(ids)s::bigint[]) and (%(owner)s::text is null or owner = %(owner)s);

-- name: get_timer
-- One timer, if it is the owner's, or of any owner.
select * from timer where id = %(id)s and (%(owner)s::text is null or owner = %(owner)s);

-- name: lock_timer
-- The same, for somebody who is about to change it.
select * from timer where id = %(id)s and (%(owner)s::text is null or owner = %(owner)s) for no key update;

-- name: timers_by_external_id
-- Owners' timers by the names that their makers have for them.
select t.* from unnest(%(owners)s::text[], %(external_ids)s::text[]) as wanted (owner, external_id)
join timer t on t.owner = wanted.owner and t.external_id = wanted.external_id;

-- name: search_timers_by_id
-- A page of timers in the order of their ids. There may be millions, so each order is a statement of its own, which an
-- index has ready.
select t.*, t.id as sort_key from timer t
where (%(owner)s::text is null or t.owner = %(owner)s)
  and (%(status)s::text is null or t.status = %(status)s)
  and (%(external_id)s::text is null or t.external_id = %(external_id)s)
  and (%(after_id)s::bigint is null or t.id > %(after_id)s)
order by t.id
limit %(limit)s;

-- name: search_timers_by_id_descending
-- The same, the newest first.
select t.*, t.id as sort_key from timer t
where (%(owner)s::text is null or t.owner = %(owner)s)
  and (%(status)s::text is null or t.status = %(status)s)
  and (%(external_id)s::text is null or t.external_id = %(external_id)s)
  and (%(after_id)s::bigint is null or t.id < %(after_id)s)
order by t.id desc
limit %(limit)s;

-- name: search_timers_by_due_at
-- A page of timers in the order in which they are due.
select t.*, t.due_at::text as sort_key from timer t
where (%(owner)s::text is null or t.owner = %(owner)s)
  and (%(status)s::text is null or t.status = %(status)s)
  and (%(external_id)s::text is null or t.external_id = %(external_id)s)
  and (%(after_id)s::bigint is null or (t.due_at, t.id) > (%(after_key)s::timestamptz, %(after_id)s))
order by t.due_at, t.id
limit %(limit)s;

-- name: search_timers_by_due_at_descending
-- The same, the last first.
select t.*, t.due_at::text as sort_key from timer t
where (%(owner)s::text is null or t.owner = %(owner)s)
  and (%(status)s::text is null or t.status = %(status)s)
  and (%(external_id)s::text is null or t.external_id = %(external_id)s)
  and (%(after_id)s::bigint is null or (t.due_at, t.id) < (%(after_key)s::timestamptz, %(after_id)s))
order by t.due_at desc, t.id desc
limit %(limit)s;

-- name: timers
-- Timers by their ids.
select * from timer where id = any (%(ids)s::bigint[]) order by id;

-- name: list_timers
-- A page of timers in the order of their ids.
select * from timer
where id > %(after)s
  and (%(statuses)s::text[] is null or status = any (%(statuses)s))
  and (%(owner)s::text is null or owner = %(owner)s)
order by id
limit %(limit)s;

-- name: count_timers
-- How many there are with each status.
select status, count(*) as timers from timer
where %(owner)s::text is null or owner = %(owner)s
group by status order by status;

-- name: cancel_timers
-- Cancel those that wait to be sent. A pump that is claiming one at this moment has come first.
with waiting as materialized (
    select id from timer where id = any (%(ids)s::bigint[]) and status = 'pending'
    order by id for update
)
update timer t set status = 'cancelled', finished_at = now()
from waiting where t.id = waiting.id
returning t.id;
