-- What config as code reads and writes (include/store/configuration.py); owners null: all.

-- name: at_one_instant
-- All that this transaction reads is as it was at its first statement.
set transaction isolation level repeatable read, read only;

-- name: jobs_of_owners
-- All jobs of these owners.
select * from job where %(owners)s::text[] is null or owner = any(%(owners)s::text[]) order by id;

-- name: connectors_of_owners
-- All connectors of these owners.
select * from connector where %(owners)s::text[] is null or owner = any(%(owners)s::text[]) order by id;

-- name: workflows_of_owners
-- All workflows of these owners, each with its connector's name, and whose that is where it is somebody else's.
select w.*, c.name as connector, nullif(c.owner, w.owner) as connector_owner
from workflow w join connector c on c.id = w.connector_id
where %(owners)s::text[] is null or w.owner = any(%(owners)s::text[])
order by w.id;

-- name: lock_connectors
-- Connectors that are about to be changed, in one order.
select from connector where id = any(%(ids)s::bigint[]) order by id for no key update;

-- name: lock_jobs
-- The same of jobs.
select from job where id = any(%(ids)s::bigint[]) order by id for no key update;

-- name: lock_workflows
-- The same of workflows.
select from workflow where id = any(%(ids)s::bigint[]) order by id for no key update;

-- name: connector_names
-- What others say to name a connector, and which budget it names.
select id, name, owner, budget from connector order by id;

-- name: budgets
-- All budgets.
select name, rate_limit from budget order by name;

-- name: add_budget
-- A new budget; no row if there is one.
insert into budget (name, rate_limit) values (%(name)s, %(rate_limit)s) on conflict do nothing;

-- name: change_budget
-- Another limit for a budget; no row if it is not as it was.
update budget set rate_limit = %(rate_limit)s where name = %(name)s and rate_limit = %(before)s;

-- name: remove_budget
-- Delete a budget; no row if it is not as it was.
delete from budget where name = %(name)s and rate_limit = %(before)s;

-- name: notifies_of_owners
-- Whom these owners have told.
select owner, notify from owner_notify
where %(owners)s::text[] is null or owner = any(%(owners)s::text[])
order by owner;

-- name: add_notify
-- Whom an owner has told who has said nothing so far; no row if he has.
insert into owner_notify (owner, notify) values (%(owner)s, %(notify)s) on conflict do nothing;

-- name: change_notify
-- Whom an owner has told from now on; no row if it is not as it was.
update owner_notify set notify = %(notify)s, updated_at = now() where owner = %(owner)s and notify = %(before)s;

-- name: remove_notify
-- Tell nobody more; no row if it is not as it was.
delete from owner_notify where owner = %(owner)s and notify = %(before)s;
