-- Connectors and their records, as people ask about them (include/cli/connectors*.py).

-- name: connector_by_id
-- One connector.
select * from connector where id = %(id)s;

-- name: connector_by_name
-- The connectors of that name: one of each owner.
select * from connector where name = %(name)s order by id;

-- name: connector_by_external_id
-- An owner's connector by the name that its maker has for it.
select * from connector where owner = %(owner)s and external_id = %(external_id)s;

-- name: get_connector
-- One connector, if it is the owner's, or of any owner.
select * from connector where id = %(id)s and (%(owner)s::text is null or owner = %(owner)s);

-- name: lock_connector
-- The same, for somebody who is about to change it.
select * from connector where id = %(id)s and (%(owner)s::text is null or owner = %(owner)s) for no key update;

-- name: search_connectors
-- A page of connectors in the order that is asked for; all of them are looked at. The state is as a document says it.
with wanted as materialized (
    select c.id,
           case %(sort)s when 'name' then c.name when 'kind' then c.kind when 'owner' then c.owner
                         when 'created_at' then to_char(c.created_at, 'YYYYMMDDHH24MISSUS')
                         when 'updated_at' then to_char(c.updated_at, 'YYYYMMDDHH24MISSUS')
                         else to_char(c.id, 'FM0000000000000000000') end collate "C" as sort_key
    from connector c
    where (%(owner)s::text is null or c.owner = %(owner)s)
      and (%(kind)s::text is null or c.kind = %(kind)s)
      and (%(name)s::text is null or c.name = %(name)s)
      and (%(external_id)s::text is null or c.external_id = %(external_id)s)
      and (%(state)s::text is null or %(state)s = case
               when c.error is not null then 'error'
               when not c.is_active or coalesce(c.paused_until > now(), false) then 'paused'
               when c.failing_since is not null then 'failing'
               when coalesce(c.not_before > now(), false) then 'rate-limited' else 'active' end)
      and (%(search)s::text is null
           or position(lower(%(search)s) in lower(concat_ws(' ', c.name, c.external_id, c.kind, c.owner, c.config))) > 0)
), page as (
    select id, sort_key, (select count(*) from wanted) as total from wanted
    where %(after_id)s::bigint is null
       or case when %(descending)s then (sort_key, id) < (%(after_key)s collate "C", %(after_id)s::bigint)
               else (sort_key, id) > (%(after_key)s collate "C", %(after_id)s::bigint) end
    order by case when %(descending)s then sort_key end desc, case when not %(descending)s then sort_key end,
             case when %(descending)s then id end desc, id
    limit %(limit)s
)
select c.*, p.sort_key, p.total
from page p
join connector c using (id)
order by case when %(descending)s then sort_key end desc, case when not %(descending)s then sort_key end,
         case when %(descending)s then id end desc, id;

-- name: stored_last_minute
-- How many records of each of these connectors were stored within the last minute. A log is in the order of time, so its
-- halves are looked at, and nothing is counted; not even that, where nothing has come.
select c.id, case when c.head_at > now() - interval '1 minute'
                  then c.head - position_at(c.id, now() - interval '1 minute') else 0 end as records
from connector c where c.id = any(%(ids)s::bigint[]);

-- name: connector_names
-- Every name once, to find the one that was meant.
select distinct name from connector order by name;

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

-- name: records_before
-- Where records are, the newest first; those with a text in their payload, where one is given.
select r.position from record r
where r.connector_id = %(connector_id)s and r.position > %(above)s and r.position < %(below)s
  and (%(search)s::text is null or position(lower(%(search)s) in lower(r.payload::text)) > 0)
order by r.position desc
limit %(limit)s;

-- name: records_after
-- The same, the oldest first.
select r.position from record r
where r.connector_id = %(connector_id)s and r.position > %(above)s and r.position < %(below)s
  and (%(search)s::text is null or position(lower(%(search)s) in lower(r.payload::text)) > 0)
order by r.position
limit %(limit)s;

-- name: versions_before
-- Where the records of one key are, the newest first. Versions come in the order of positions, and have an index by key.
select r.position from record r
where r.connector_id = %(connector_id)s and r.key = record_key(%(key)s, 'null')
  and r.position > %(above)s and r.position < %(below)s
  and (%(search)s::text is null or position(lower(%(search)s) in lower(r.payload::text)) > 0)
order by r.version desc
limit %(limit)s;

-- name: versions_after
-- The same, the oldest first.
select r.position from record r
where r.connector_id = %(connector_id)s and r.key = record_key(%(key)s, 'null')
  and r.position > %(above)s and r.position < %(below)s
  and (%(search)s::text is null or position(lower(%(search)s) in lower(r.payload::text)) > 0)
order by r.version
limit %(limit)s;

-- name: records_at
-- Records by their positions, in the order of these, until their payloads come to so many bytes.
select position, key, version, payload, created_at
from (select r.*, p.place, sum(octet_length(r.payload::text)) over (order by p.place) - octet_length(r.payload::text) as bytes
      from unnest(%(positions)s::bigint[]) with ordinality as p(position, place)
      join record r on r.connector_id = %(connector_id)s and r.position = p.position) as found
where bytes < %(most_bytes)s
order by place;

-- name: readers
-- The workflows that read a connector's records, and what each has ahead of it.
select workflow_id, name, owner, position, head, lag_records, lag_seconds, processed, failed, stopped_at, stopped_by,
       moved_at, dead_letters, is_active
from workflow_lag where connector_id = %(connector_id)s order by workflow_id;
