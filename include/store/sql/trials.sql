-- Trials: settings of a job that are run once, on a worker, without a job (include/store/trials.py).

-- name: add_trial
-- Have settings tried out, unless as many of the owner's as he may have are under way; forget those that are too old.
with old as (
    delete from trial where created_at < now() - %(kept)s::interval
)
insert into trial (owner, kind, payload, timeout)
select %(owner)s, %(kind)s, %(payload)s, %(timeout)s
where (
    select count(*) from trial
    where owner = %(owner)s and status = 'running' and created_at > now() - %(taken_within)s::interval) < %(most)s
returning *;

-- name: get_trial
-- One trial, if it is the owner's, or of any owner, and not too old.
select * from trial
where id = %(id)s and (%(owner)s::text is null or owner = %(owner)s) and created_at > now() - %(kept)s::interval;

-- name: withdraw_trial
-- Forget a trial for which no worker could be asked.
delete from trial where id = %(id)s and started_at is null;

-- name: claim_trial
-- Take a trial, if nobody has, and if it was asked for just now.
update trial set started_at = now()
where id = %(id)s and started_at is null and created_at > now() - %(taken_within)s::interval
returning *;

-- name: finish_trial
-- Write what became of a trial; its settings are no longer needed.
update trial
set status = %(status)s, started_at = %(started_at)s, finished_at = %(finished_at)s, outcome = %(outcome)s,
    payload = null
where id = %(id)s and status = 'running';
