-- Which DAGs have to be built again (include/orchestration/bundle.py) and what they are built from (factory.py).

-- name: snapshot
-- What is visible now.
select pg_current_snapshot()::text as snapshot;

-- name: changed
-- The rows whose changes became visible since the snapshot `last`, and the snapshot to ask from next time. Commit order
-- does not matter: a transaction that was open then and has committed since is among them, however early it began.
with latest as materialized (select pg_current_snapshot() as snapshot)
select latest.snapshot::text as snapshot, c.table_name, c.row_id, c.changes_dag, c.transaction::text as transaction
from latest left join lateral (
    select a.table_name, a.row_id, bool_or(a.changes_dag) as changes_dag, max(a.transaction) as transaction
    from audit a
    where a.transaction >= pg_snapshot_xmin(%(last)s::pg_snapshot)
      and not pg_visible_in_snapshot(a.transaction, %(last)s::pg_snapshot)
      and pg_visible_in_snapshot(a.transaction, latest.snapshot)
    group by a.table_name, a.row_id) c on true;

-- name: unbuilt
-- Of the shards asked about, those whose last build had not seen the transaction that changed them.
select want.number, want.transaction::text as transaction
from unnest(%(numbers)s::bigint[], %(transactions)s::xid8[]) as want(number, transaction)
left join shard s on s.table_name = %(table_name)s and s.number = want.number
where s.built is null or not pg_visible_in_snapshot(want.transaction, s.built);

-- name: built
-- Note what a build of a shard has seen.
insert into shard (table_name, number, built) values (%(table_name)s, %(number)s, %(built)s::pg_snapshot)
on conflict (table_name, number) do update set built = excluded.built, built_at = excluded.built_at;

-- name: shards_of
-- The shards of a table that have rows. Here and below, {table} is one of the config tables.
select distinct id / %(size)s as number from {table} order by 1;

-- name: rows_of_shard
-- The rows of one shard, in a fixed order; those of workflows with the name of their connector.
select r.*, c.name as connector
from {table} r left join connector c on c.id = (to_jsonb(r) ->> 'connector_id')::bigint
where r.id >= %(number)s * %(size)s and r.id < (%(number)s + 1) * %(size)s order by r.id;

-- name: rows_by_id
-- Some rows, for vetting.
select r.*, c.name as connector
from {table} r left join connector c on c.id = (to_jsonb(r) ->> 'connector_id')::bigint
where r.id = any(%(ids)s) order by r.id;

-- name: rows_after
-- A page of all rows, for vetting.
select r.*, c.name as connector
from {table} r left join connector c on c.id = (to_jsonb(r) ->> 'connector_id')::bigint
where r.id > %(after)s order by r.id limit 500;

-- name: set_error
-- Say on the row why it cannot run, or that it can; touches only rows where that is news. A row that somebody is just
-- editing is left alone: the edit will have it vetted again, and nobody waits for an open transaction.
update {table} set error = %(error)s
where id = (select id from {table} where id = %(id)s and error is distinct from %(error)s for update skip locked);
