-- A search for executions that were never begun finds them at once, however many others there are.

-- Few rows, and none of what succeeds is ever in it. Only new days have it by this: those that there are get it when all
-- migrations are done, without a lock that would stop what is written to them (include/store/migrate.py).
create index execution_not_begun on only execution (scheduled_for) where status in ('skipped', 'missed', 'cancelled');
