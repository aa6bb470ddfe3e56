-- Limits that connectors share, as admins lay them down (include/store/budgets.py).

-- name: search_budgets
-- A page of budgets in the order of their names, each with how many connectors share it.
select b.name, b.rate_limit, (select count(*) from connector c where c.budget = b.name) as connectors,
       b.name collate "C" as sort_key, 0 as id
from budget b
where %(after_key)s::text is null or b.name collate "C" > %(after_key)s
order by sort_key
limit %(limit)s;

-- name: budget
-- One budget.
select b.name, b.rate_limit, (select count(*) from connector c where c.budget = b.name) as connectors
from budget b where b.name = %(name)s;

-- name: set_budget
-- Add a budget, or give it another limit; whether it is new.
insert into budget (name, rate_limit) values (%(name)s, %(rate_limit)s)
on conflict (name) do update set rate_limit = excluded.rate_limit
returning xmax = 0 as made;

-- name: lock_budget
-- A budget, for somebody who is about to remove it: no connector can name it meanwhile.
select name from budget where name = %(name)s for update;

-- name: sharers
-- The connectors that share a budget.
select id, name from connector where budget = %(name)s order by id limit 10;

-- name: remove_budget
-- Remove a budget.
delete from budget where name = %(name)s;
