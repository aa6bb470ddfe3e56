-- What people are told about a change that is refused (include/store/edits.py).

-- name: constraint_rule
-- What a constraint of ours says, for a message.
select pg_get_constraintdef(oid) as rule from pg_constraint
where conname = %(name)s and connamespace = 'millrace'::regnamespace
limit 1;
