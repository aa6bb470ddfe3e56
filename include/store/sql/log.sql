-- The record log and where connectors stand (include/store/log.py).

-- name: append
-- Append what is new of a page and move the cursor, or learn that somebody else has moved it.
select stored, head, superseded, cursor
from append_records(%(connector_id)s, %(items)s::jsonb, %(move)s, %(new_cursor)s::jsonb, %(old_cursor)s::jsonb);

-- name: lock
-- Deliveries of one connector take turns from here on, so that one that comes twice at once is stored once.
select id from connector where id = %(id)s for no key update;

-- name: delivery
-- Where the records of a delivery are, if it has come before.
select positions from delivery where connector_id = %(connector_id)s and id = %(id)s;

-- name: note_delivery
-- Remember where a delivery's records are.
insert into delivery (connector_id, id, positions) values (%(connector_id)s, %(id)s, %(positions)s);

-- name: positions
-- Where the newest versions of keys are, or were before they were pruned, in the order of the items that they were made of.
select greatest(r.position, p.position) as position
from jsonb_array_elements(%(items)s::jsonb) with ordinality as t(e, place)
left join lateral (select r.position from record r
                   where r.connector_id = %(connector_id)s and r.key = record_key(e ->> 'key', e -> 'payload')
                   order by r.version desc limit 1) r on true
left join lateral (select p.position from pruned_key p
                   where p.connector_id = %(connector_id)s
                     and p.digest = digest_of(record_key(e ->> 'key', e -> 'payload'))) p on true
where r.position is not null or p.position is not null
order by t.place;

-- name: connector
-- One connector as it stands.
select * from connector where id = %(id)s;

-- name: connector_named
-- The connector that has had that name for longest, whosever it is.
select c.* from connector c
left join connector_rename r on r.connector_id = c.id
where c.name = %(name)s
order by coalesce(r.at, c.created_at), c.id
limit 1;

-- name: pulled
-- A pull came to its end: whatever was wrong is over. Answers since when it had been failing, if it had.
with before as (select failing_since from connector where id = %(id)s)
update connector c
set pulled_at = now(), failures = 0, failing_since = null, not_before = null, last_error = null
from before where c.id = %(id)s
returning before.failing_since;

-- name: waits
-- The source said to wait; that is no failure.
update connector set not_before = now() + make_interval(secs => %(seconds)s), last_error = %(error)s
where id = %(id)s;

-- name: fails
-- A pull failed. After `alert_after` in a row the connector counts as failing, from now on until one succeeds.
update connector
set failures = failures + 1, last_error = %(error)s,
    failing_since = case when failures + 1 >= alert_after then coalesce(failing_since, now()) end
where id = %(id)s
returning failures, failing_since, failures = alert_after as alarm;

-- name: take_token
-- Take a request out of a budget: the seconds to wait before it.
select take_token(%(budget)s, %(longest)s) as seconds;

-- name: drain_budget
-- The source told somebody to wait: all who share the budget do.
update budget set next_at = greatest(next_at, now() + make_interval(secs => %(seconds)s)) where name = %(budget)s;
