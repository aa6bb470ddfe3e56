-- The statements behind store/ledger.py. Each works on a batch: parameters are arrays of equal length.

-- name: board
-- What a shift needs when it comes on duty: its row, how far the ledger is accounted for (the newest scheduled
-- occurrence in it, and when that ended; and the newest before the one that the shift is due for), the executions that
-- this run, or an owner that died, left unfinished (of runs by hand only their own run knows what they were to do), and
-- those that a person wants sent again.
select want.place, j.*, newest.scheduled_for as accounted, newest.finished_at as ended_at,
       (select e.scheduled_for from execution e
        where e.job_id = want.job_id and e.origin = 'schedule' and e.scheduled_for < want.due
        order by e.scheduled_for desc limit 1) as before,
       array(select e.scheduled_for from execution e
             where e.job_id = want.job_id and e.status in ('running', 'retrying')
               and (e.dag_run_id = want.run_id
                    or e.origin = 'schedule' and e.redrive_at is null and e.claimed_by is not null and not exists (
                        select from lease l where l.owner = e.claimed_by and l.until > now()))
             order by e.scheduled_for) as unfinished,
       array(select e.scheduled_for from execution e
             where e.job_id = want.job_id and e.redrive_at <= now()
               and (e.status = 'failed' or e.status in ('running', 'retrying') and not exists (
                        select from lease l where l.owner = e.claimed_by and l.until > now()))
             order by e.scheduled_for limit 1000) as redrives
from unnest(%(job_id)s::bigint[], %(run_id)s::text[], %(due)s::timestamptz[])
    with ordinality as want(job_id, run_id, due, place)
join job j on j.id = want.job_id
left join lateral (
    select e.scheduled_for, e.finished_at from execution e
    where e.job_id = want.job_id and e.origin = 'schedule'
    order by e.scheduled_for desc limit 1) newest on true;

-- name: former_schedules
-- Jobs as they were before each change of their schedule after an instant, and when (`until`) that was. What an old
-- entry of the audit does not know is as it is now.
select want.place, former.*, (a.new ->> 'schedule_changed_at')::timestamptz as until
from unnest(%(job_id)s::bigint[], %(since)s::timestamptz[]) with ordinality as want(job_id, since, place)
join job j on j.id = want.job_id
join audit a on a.table_name = 'job' and a.row_id = j.id and a.at > want.since
cross join lateral jsonb_populate_record(j, a.old) as former
where a.operation = 'update'
  and a.old ->> 'schedule_revision' <> a.new ->> 'schedule_revision'
  and (a.new ->> 'schedule_changed_at')::timestamptz > want.since
order by want.place, a.id;

-- name: lock_jobs
-- Let nobody else claim for these jobs until the transaction ends: what is under way is looked at by one after another,
-- in the statement after this one. Always in the order of ids, so that no two wait for each other.
select pg_advisory_xact_lock(7::bigint << 56 | id)
from (select unnest as id from unnest(%(job_id)s::bigint[]) order by 1 offset 0) as wanted;

-- name: claim
-- Make occurrences this shift's own, or say why not; one per job. One row per occurrence, inserted as running; as
-- skipped, if the job is paused or another execution is under way and must not overlap; or, where one may wait for that
-- to end, as retrying with no attempt made yet. What is under way is looked for as far back as one can have begun: two
-- days and the job's max_lateness, or to the oldest that is being redriven; a redrive that waits for its next attempt
-- is not under way. A row that exists is taken only if this very shift wrote it, if its retry in the same run is due,
-- if its owner's lease ran out, or if a person wants a finished one to be tried again: in Airflow, or by redriving it.
-- An at-most-once execution whose owner died while sending is failed, for nobody knows the outcome.
with want as (
    select * from unnest(%(job_id)s::bigint[], %(due)s::timestamptz[], %(schedule_revision)s::bigint[],
                         %(run_id)s::text[], %(try_number)s::int[], %(manual)s::bool[], %(patient)s::bool[],
                         %(redrive)s::bool[], %(claim)s::bigint[])
        with ordinality as w(job_id, due, schedule_revision, run_id, try_number, manual, patient, redrive, claim, place)
), known as (
    select w.*, j.id is null as deleted, j.revision, j.delivery, j.overlap,
           not w.manual and j.schedule_revision <> w.schedule_revision as rescheduled,
           not w.manual and (not j.is_active or coalesce(j.paused_until > w.due, false)) as paused,
           j.overlap <> 'allow' and others.unfinished as blocked, others.queued
    from want w
    left join job j on j.id = w.job_id
    left join lateral (
        select count(*) filter (where e.attempt > 0 or e.scheduled_for < w.due) > 0 as unfinished,
               count(*) filter (where e.attempt = 0) > 0 as queued
        from execution e
        where e.job_id = w.job_id and e.status in ('running', 'retrying') and e.scheduled_for <> w.due
          and e.scheduled_for > least(now() - interval '2 days' - j.max_lateness, (
              select min(old.scheduled_for) - interval '1 second' from execution old
              where old.redrive_at is not null and old.status in ('running', 'retrying')))
          and (e.claimed_by is null and e.redrive_at is null or exists (
              select from lease l where l.owner = e.claimed_by and l.until > now() - interval '1 minute'))) others on true
), judged as (
    select k.*,
           case when deleted then 'deleted'
                when redrive then case when blocked then 'busy' end
                when rescheduled then 'rescheduled'
                when paused then 'paused'
                when blocked then case when patient or overlap = 'queue' and not queued then 'busy' else 'overlap' end
           end as refusal
    from known k
), inserted as (
    insert into execution (job_id, scheduled_for, status, reason, origin, attempt, started_at, finished_at,
                           dag_run_id, try_number, config_revision, claimed_by, claim)
    select job_id, due,
           case when refusal is null then 'running' when refusal = 'busy' then 'retrying' else 'skipped' end,
           case refusal when 'paused' then 'paused' when 'overlap' then 'the execution before it was still running'
                        when 'busy' then 'waits for the execution before it' end,
           case when manual then 'manual' else 'schedule' end,
           case when refusal is null then 1 else 0 end,
           case when refusal is null then greatest(now(), due) end,
           case when refusal in ('paused', 'overlap') then now() end,
           run_id, try_number, revision, case when refusal is null or refusal = 'busy' then %(owner)s::uuid end, claim
    from judged
    where not redrive and (refusal is null or refusal in ('paused', 'overlap', 'busy'))
    on conflict (job_id, scheduled_for) do nothing
    returning job_id, scheduled_for, status, reason, claim
), present as (
    select w.place, e.status, e.attempt, e.base_attempt, e.reason,
           case when e.claim = w.claim and e.status in ('running', 'retrying') then 'own'
                when e.status = 'retrying' and e.claimed_by is null
                     and (e.dag_run_id = w.run_id or w.redrive and e.redrive_at is not null) then 'retry'
                when e.status in ('running', 'retrying') and e.claimed_by is not null and not exists (
                    select from lease l where l.owner = e.claimed_by and l.until > now()) then 'orphan'
                when w.redrive and e.status = 'failed' and e.redrive_at is not null then 'again'
                when e.status not in ('running', 'retrying') and e.dag_run_id = w.run_id and not w.redrive
                     and w.try_number > coalesce(e.try_number, 1) then 'again'
           end as ground
    from judged w join execution e on e.job_id = w.job_id and e.scheduled_for = w.due
    where w.refusal is distinct from 'deleted'
), grounded as (
    select w.*, p.status, p.attempt, p.base_attempt, p.ground,
           p.ground = 'orphan' and p.status = 'running' and w.delivery = 'at_most_once' as lost,
           -- What has not begun, is finished, or was let go of has no place of its own: the others count.
           w.blocked and (p.attempt = 0 or p.ground in ('again', 'orphan') or w.redrive and p.ground = 'retry') as waits,
           p.attempt = 0 and w.refusal = 'paused' as dropped
    from judged w join present p using (place)
    where p.ground is not null and (p.attempt > 0 or w.refusal is distinct from 'rescheduled')
), taken as (
    update execution e
    set status = case when p.lost then 'failed' when p.dropped then 'skipped' else 'running' end,
        reason = case when p.lost then 'unknown outcome' when p.dropped then 'paused' end,
        error = case when p.lost then 'the process that was sending it died' end,
        finished_at = case when p.lost or p.dropped then now() end,
        attempt = p.attempt + case when p.lost or p.dropped or p.ground = 'own' and p.status = 'running' then 0 else 1 end,
        base_attempt = case when p.ground = 'again' then p.attempt else p.base_attempt end,
        attempts = case when p.ground = 'orphan' and p.status = 'running'
                        then e.attempts || jsonb_build_object('attempt', p.attempt, 'at', e.started_at,
                                                              'error', 'the process that was sending it died')
                        else e.attempts end,
        started_at = case when not p.dropped then coalesce(e.started_at, greatest(now(), p.due)) end,
        dag_run_id = case when p.redrive then e.dag_run_id else p.run_id end,
        try_number = case when p.redrive then e.try_number else p.try_number end,
        redrive_at = case when not p.lost then e.redrive_at end, discarded_at = null,
        config_revision = p.revision, claimed_by = case when not (p.lost or p.dropped) then %(owner)s::uuid end,
        claim = p.claim
    from grounded p
    where (p.lost or p.dropped or not p.waits)
      and e.job_id = p.job_id and e.scheduled_for = p.due and e.attempt = p.attempt and e.status = p.status
    returning e.job_id, e.scheduled_for, e.status, e.reason, e.attempt, e.base_attempt, e.claim
)
select w.place,
       case when i.status = 'running' or t.status = 'running' then 'mine'
            when i.status = 'retrying' then 'busy'
            when i.status = 'skipped' or t.status = 'skipped' then 'skipped'
            when t.status = 'failed' then 'lost'
            when w.refusal = 'rescheduled' and p.ground in ('own', 'orphan') and p.attempt = 0 then 'rescheduled'
            when p.status is null and w.refusal in ('deleted', 'rescheduled') then w.refusal
            when p.status is null and w.redrive then 'settled'
            when g.waits then 'busy'
            when p.status is null or p.status in ('running', 'retrying') then 'held'
            else 'settled'
       end as verdict,
       coalesce(t.attempt, 1) as attempt,
       coalesce(t.base_attempt, 0) as base_attempt,
       coalesce(w.revision, 0) as revision,
       case when p.status is not null and i.status is null then p.status end as status,
       coalesce(i.reason, t.reason, p.reason) as reason
from judged w
left join inserted i on i.job_id = w.job_id and i.scheduled_for = w.due and i.claim = w.claim
left join taken t on t.job_id = w.job_id and t.scheduled_for = w.due and t.claim = w.claim
left join present p on p.place = w.place
left join grounded g on g.place = w.place;

-- name: finish
-- Write what became of attempts. Only the claim that made an attempt may write it, and writing it twice changes nothing.
-- Without an entry, nothing was attempted after all.
update execution e
set status = d.status,
    reason = d.reason,
    error = d.error,
    output = d.output,
    attempt = case when d.entry is null then greatest(e.attempt - 1, 0) else e.attempt end,
    attempts = case when d.entry is null then e.attempts
                    when jsonb_typeof(e.attempts) <> 'array' then jsonb_build_array(d.entry)  -- somebody edited it
                    when jsonb_array_length(e.attempts) < d.attempt then e.attempts || d.entry
                    else e.attempts end,
    started_at = case when d.attempt > 1 then e.started_at when d.entry is not null then d.started_at end,
    finished_at = case when d.status <> 'retrying' then d.finished_at end,
    redrive_at = case when d.status = 'retrying' or e.status = 'failed' then e.redrive_at end,
    claimed_by = case when d.status = 'retrying' and not d.release then e.claimed_by end
from unnest(%(job_id)s::bigint[], %(due)s::timestamptz[], %(claim)s::bigint[], %(attempt)s::int[], %(status)s::text[],
            %(reason)s::text[], %(error)s::text[], %(output)s::jsonb[], %(entry)s::jsonb[],
            %(started_at)s::timestamptz[], %(finished_at)s::timestamptz[], %(release)s::bool[])
    with ordinality as d(job_id, due, claim, attempt, status, reason, error, output, entry,
                         started_at, finished_at, release, place)
where e.job_id = d.job_id and e.scheduled_for = d.due and e.claim = d.claim and e.attempt = d.attempt
returning d.place, true as written;

-- name: miss
-- Name occurrences that nobody executed; those that have a row already keep it.
insert into execution (job_id, scheduled_for, status, reason, finished_at, dag_run_id)
select %(job_id)s, due, 'missed', %(reason)s, now(), %(run_id)s
from unnest(%(due)s::timestamptz[]) as due
on conflict do nothing;

-- name: cancel
-- End what is unfinished of one run, because a person ended the run in Airflow or deleted the job.
update execution
set status = 'cancelled', reason = %(reason)s, finished_at = now(), claimed_by = null
where job_id = %(job_id)s and status in ('running', 'retrying') and claim = %(claim)s;

-- name: put_off
-- Have a redrive that failed again wait for its next attempt.
update execution set redrive_at = now() + make_interval(secs => %(seconds)s)
where job_id = %(job_id)s and scheduled_for = %(due)s and status = 'retrying' and claimed_by is null
  and redrive_at is not null;

-- name: drop
-- End an occurrence that waited for another one, by this shift or by one whose owner died.
update execution e
set status = 'skipped', reason = %(reason)s, finished_at = now(), claimed_by = null
where e.job_id = %(job_id)s and e.scheduled_for = %(due)s and e.status = 'retrying' and e.attempt = 0
  and (e.claim = %(claim)s or not exists (select from lease l where l.owner = e.claimed_by and l.until > now()));

-- name: abandon
-- Let go of what is unfinished of one shift, so that whoever takes over need not wait for a lease to run out.
update execution
set claimed_by = '00000000-0000-0000-0000-000000000000'
where job_id = %(job_id)s and status in ('running', 'retrying') and claim = %(claim)s;

-- name: renew
-- Say that this owner lives; what it has claimed stays its own until the lease ends. The answer is the time of day.
insert into lease (owner, until) values (%(owner)s, now() + make_interval(secs => %(seconds)s))
on conflict (owner) do update set until = excluded.until
returning clock_timestamp() as at;

-- name: release
-- Say that this owner is going, so that others need not wait for its lease to run out.
delete from lease where owner = %(owner)s;

-- name: forget_dead_leases
-- Remove leases that ran out long ago; an owner without a lease counts as dead.
delete from lease where until < now() - interval '1 day';

-- name: fold_tally
-- Make fewer rows of what was counted long ago.
select fold_tally(%(most)s) as folded;

-- name: read_jobs
-- The rows of jobs, by id.
select * from job where id = any(%(ids)s);

-- name: make_partitions
-- Have a partition for every day in the span; the ones ahead keep inserts out of the default partition.
select make_execution_partitions(%(first)s::date, %(last)s::date) as made;
