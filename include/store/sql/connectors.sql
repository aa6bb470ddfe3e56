-- Connectors and their records, as people ask about them (include/cli/connectors*.py).

-- name: connector_by_id
-- One connector.
select * from connector where id = %(id)s;

-- name: connector_by_name
-- One connector; names are unique.
select * from connector where name = %(name)s;

-- name: connector_names
-- Every name, to find the one that was meant.
select name from connector order by name;

-- name: list_connectors
-- A page of connectors in the order of their ids.
select * from connector c
where c.id > %(after)s
  and (%(kind)s::text is null or c.kind = %(kind)s)
  and (%(owner)s::text is null or c.owner = %(owner)s)
  and (%(paused)s::bool is null or (not c.is_active or coalesce(c.paused_until > now(), false)) = %(paused)s)
  and (not %(failing)s::bool or c.error is not null or c.failures > 0)
order by c.id
limit %(limit)s;

-- name: insert_connector
-- A new connector, from a document with every column that a person may set.
insert into connector (external_id, name, owner, kind, config, every, dedupe, rate_limit, budget, timeout, alert_after, notify,
                       is_active, paused_until)
select external_id, name, owner, kind, config, every, dedupe, rate_limit, budget, timeout, alert_after, notify, is_active,
       paused_until
from jsonb_populate_record(null::connector, %(columns)s::jsonb)
returning *;

-- name: change_connector
-- Set the columns that are in the document and leave the others as they are at this moment.
update connector
set (external_id, name, owner, kind, config, every, dedupe, rate_limit, budget, timeout, alert_after, notify, is_active,
     paused_until) =
    (select n.external_id, n.name, n.owner, n.kind, n.config, n.every, n.dedupe, n.rate_limit, n.budget, n.timeout, n.alert_after,
            n.notify, n.is_active, n.paused_until
     from jsonb_populate_record(connector, %(changes)s::jsonb) as n)
where id = %(id)s
returning *;

-- name: rewind_connector
-- Forget where the last pull stopped: the next one begins anew.
update connector set cursor = null where id = %(id)s returning *;

-- name: holdings
-- How many records go with each of these connectors.
select c.id, c.name, (select count(*) from record r where r.connector_id = c.id) as records
from connector c where c.id = any(%(ids)s::bigint[]) order by c.id;

-- name: remove_connectors
-- Delete connectors, and with each its log.
delete from connector where id = any(%(ids)s::bigint[]) returning id, name;

-- name: records
-- The log from a position backwards, the newest first; of one key, where one is given. A long key is stored as a digest.
select position, key, version, payload, created_at from record
where connector_id = %(connector_id)s
  and position <= coalesce(%(from)s::bigint, 9223372036854775807)
  and (%(key)s::text is null or key = record_key(%(key)s, 'null'))
order by position desc
limit %(limit)s;

-- name: readers
-- The workflows that read a connector's records, and what each has ahead of it.
select workflow_id, name, owner, position, head, lag_records, lag_seconds, processed, failed, stopped_at, stopped_by,
       moved_at, dead_letters, is_active
from workflow_lag where connector_id = %(connector_id)s order by workflow_id;
