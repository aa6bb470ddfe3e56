-- Whose turn it is to work on a row (include/store/turns.py). Parameters are arrays of equal length.

-- name: take
-- Take turns that nobody alive has; say whose the last ones were. Rows are locked before they are looked at, or what is
-- said might be older than what was decided by.
with want as materialized (
    select * from unnest(%(table_name)s::text[], %(row_id)s::bigint[], %(claim)s::bigint[])
        with ordinality as w(table_name, row_id, claim, place)
), before as materialized (
    select want.place, turn.claim, turn.taken_at from want join turn using (table_name, row_id)
    order by table_name, row_id for no key update of turn
), taken as (
    insert into turn (table_name, row_id, owner, claim)
    select want.table_name, want.row_id, %(owner)s::uuid, want.claim
    from want left join before on before.place = want.place order by want.table_name, want.row_id
    on conflict (table_name, row_id) do update
    set owner = excluded.owner, claim = excluded.claim, taken_at = now(), ended_at = null
    where turn.ended_at is not null or turn.claim = excluded.claim
       or not exists (select from lease l where l.owner = turn.owner and l.until > now())
    returning table_name, row_id, claim
)
select want.place, taken.claim is not null as mine, before.claim as before, before.taken_at as before_at
from want
left join taken on (taken.table_name, taken.row_id, taken.claim) = (want.table_name, want.row_id, want.claim)
left join before on before.place = want.place
order by want.place;

-- name: end
-- Give turns back.
update turn t set ended_at = now()
from unnest(%(table_name)s::text[], %(row_id)s::bigint[], %(claim)s::bigint[]) as d(table_name, row_id, claim)
where (t.table_name, t.row_id, t.claim) = (d.table_name, d.row_id, d.claim) and t.ended_at is null;
