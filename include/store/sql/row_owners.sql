-- Whose the rows are that DAGs are made of (include/store/row_owners.py).

-- name: owned
-- The rows of an owner among these, by the ids of their DAGs.
select 'job_' || id as dag_id from job where owner = %(owner)s and id = any(%(job)s::bigint[])
union all
select 'connector_' || id from connector where owner = %(owner)s and id = any(%(connector)s::bigint[])
union all
select 'workflow_' || id from workflow where owner = %(owner)s and id = any(%(workflow)s::bigint[]);
