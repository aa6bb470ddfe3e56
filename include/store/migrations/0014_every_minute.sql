-- Jobs of the triggerer that are due every minute have a shift for an hour of occurrences, as faster ones have.

-- A run of one occurrence must not be taken for such a shift: nothing would be due before the hour is over. So the
-- schedule of these jobs begins anew after their newest run; what is owed since then stays owed.
do $$
begin
    if to_regclass('public.dag_run') is not null then
        update job j set schedule_changed_at = newest.at
        from (select dag_id, max(data_interval_start) + interval '1 microsecond' as at
              from public.dag_run where run_type = 'scheduled' group by dag_id) newest
        where newest.dag_id = 'job_' || j.id and newest.at > j.schedule_changed_at
          and (j.every = '1 minute' or j.cron ~ '^\s*(0\s+)?(\*|\*/1|0-59)(\s+\S+){4}\s*$');
    end if;
end $$;

-- Nor after an edit: of a kind that runs on a worker, each occurrence has a run of its own.
create function job_kind_change() returns trigger language plpgsql set search_path from current as $$
begin
    new.schedule_revision := new.revision;
    new.schedule_changed_at := now();
    return new;
end $$;

-- Triggers go by their names: this one after job_before_change, which gives the row its revision.
create trigger job_before_kind_change before update of kind on job
    for each row when (new.kind <> old.kind) execute function job_kind_change();
