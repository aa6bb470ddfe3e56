-- The newest executions of all jobs, for people to watch.
select job.name, execution.scheduled_for, execution.status, execution.attempt,
       extract(epoch from execution.started_at - execution.scheduled_for)::float8 as late_seconds,
       coalesce(execution.error, execution.reason, execution.output ->> 'line', '') as said
from millrace.execution
left join millrace.job on job.id = execution.job_id
where execution.scheduled_for > now() - interval '1 day'
order by execution.scheduled_for desc, execution.job_id
limit %(rows)s;
