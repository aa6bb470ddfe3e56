-- Airflow's triggerers and their triggers (include/store/triggerers.py).

-- name: triggerer_of
-- The triggerer of this machine that has the trigger now.
select j.id from public.trigger t join public.job j on j.id = t.triggerer_id
where t.id = %(trigger_id)s and j.hostname = %(hostname)s;

-- name: release
-- Let other triggerers have at once what this one has: they would wait for its heartbeat to be old.
update public.trigger set triggerer_id = null where triggerer_id = %(triggerer_id)s;

-- name: wanted
-- Which of these triggers are still to run, here or elsewhere; one whose task has been ended by a person is not.
select id from public.trigger where id = any(%(ids)s);
