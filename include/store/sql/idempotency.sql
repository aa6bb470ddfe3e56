-- What requests with an Idempotency-Key were answered (include/store/idempotency.py).

-- name: claim
-- Take a key, and forget two that are too old: so the table stays as small as a day's keys. Whoever sends the same key at
-- the same time waits here until the first has its answer.
with old as (
    delete from idempotency_key where (caller, key) in (
        select caller, key from idempotency_key
        where created_at < now() - %(kept)s::interval and (caller, key) <> (%(caller)s, %(key)s)
        order by created_at limit 2 for update skip locked)
)
insert into idempotency_key (caller, key, request, status) values (%(caller)s, %(key)s, %(request)s, 0)
on conflict (caller, key) do nothing
returning key;

-- name: kept
-- How many bytes the answers are, roughly, that a caller's keys must be kept with.
select coalesce(sum(200 + coalesce(octet_length(body), 0)), 0)::bigint as bytes
from idempotency_key where caller = %(caller)s and created_at >= now() - %(kept)s::interval;

-- name: answered
-- What the key was answered before.
select request, status, headers, body from idempotency_key where caller = %(caller)s and key = %(key)s;

-- name: answer
-- Keep the answer with its key.
update idempotency_key set status = %(status)s, headers = %(headers)s, body = %(body)s
where caller = %(caller)s and key = %(key)s;
