-- Rows whose shift was ended in Airflow are back on duty (include/store/recall.py).

-- name: recall
-- Have Airflow make the next run of these DAGs now, and not when the shift that has ended would have: unless a run is on
-- duty, with no task of it ended, or is about to be made. Its data interval is longer than that of a run of one occurrence
-- (timetable.py), and its first occurrence is now: it goes on where the ledger ends.
with recalled as (
    update public.dag as d
    set next_dagrun = now() - interval '1 minute', next_dagrun_data_interval_start = now() - interval '1 minute',
        next_dagrun_data_interval_end = now(), next_dagrun_create_after = now()
    where d.dag_id = any(%(dag_ids)s::text[]) and coalesce(d.next_dagrun_create_after > now() + interval '5 seconds', true)
      and not exists (
          select from public.dag_run r
          where r.dag_id = d.dag_id and r.run_type = 'scheduled' and r.state in ('queued', 'running')
            and not exists (select from public.task_instance ti
                            where ti.dag_id = r.dag_id and ti.run_id = r.run_id
                              and ti.state in ('success', 'failed', 'skipped', 'upstream_failed', 'removed')))
    returning d.dag_id
)
select dag_id from recalled order by dag_id;
