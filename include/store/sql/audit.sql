-- The audit as people read it (include/store/audit.py): what was changed, by whom, and what it was before.

-- name: search_audit
-- A page of changes, the newest first. `of` is whose rows are asked for; `owner` is who asks: he sees those whose row was his
-- after them, or until it was deleted, among `tables`; the entry of a row that was given to him shows it as it was then,
-- and nothing of what it had been.
select id, id::text as sort_key, at, actor, via, table_name, row_id, operation,
       case when %(owner)s::text is null or old ->> 'owner' = %(owner)s then old end as old, new
from audit
where (%(owner)s::text is null or coalesce(new, old) ->> 'owner' = %(owner)s and table_name = any(%(tables)s::text[]))
  and (%(of)s::text is null or coalesce(new, old) ->> 'owner' = %(of)s)
  and (%(after_id)s::bigint is null or id < %(after_id)s)
  and (%(id)s::bigint is null or id = %(id)s)
  and (%(table)s::text is null or table_name = %(table)s)
  and (%(row_id)s::bigint is null or row_id = %(row_id)s)
  and (%(actor)s::text is null or actor = %(actor)s)
  and (%(operation)s::text is null or operation = %(operation)s)
  and (%(since)s::timestamptz is null or at >= %(since)s)
order by id desc
limit %(limit)s;

-- name: changes_to_revisions
-- The changes that have made a row's revisions, while it belonged to `owner` (null: to anybody).
select id, (new ->> 'revision')::bigint as revision
from audit
where table_name = %(table)s and row_id = %(row_id)s and new ->> 'revision' = any(%(revisions)s::text[])
  and (%(owner)s::text is null or new ->> 'owner' = %(owner)s);

-- name: given_at
-- When a row was last given to another owner.
select max(at) as at
from audit
where table_name = %(table)s and row_id = %(row_id)s and operation = 'update' and old ->> 'owner' <> new ->> 'owner';
