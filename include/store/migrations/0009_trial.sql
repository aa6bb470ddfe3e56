-- Settings of a job that somebody tries out before there is such a job, where their kind runs on a worker. Each is
-- taken once, and kept for an hour; what needs no worker is tried where it is asked for, and has no row.
create table trial (
    id bigint generated always as identity primary key,
    owner text not null check (length(owner) between 1 and 200),
    kind text not null check (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
    payload jsonb check (jsonb_typeof(payload) = 'object'),
    timeout interval not null check (timeout > interval '0' and timeout <= interval '1 minute'),
    status text not null default 'running' check (status in ('running', 'success', 'failed')),
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    outcome json check (octet_length(outcome::text) <= 524288),
    constraint what_has_ended_has_an_outcome check (
        (finished_at is null) = (status = 'running') and (finished_at is null) = (outcome is null)
        and (finished_at is null or (started_at is not null and finished_at >= started_at))),
    constraint settings_until_it_has_ended check ((payload is null) = (finished_at is not null))
);
create index trial_age on trial (created_at);
comment on column trial.owner is 'Who tries it out, and sees what became of it.';
comment on column trial.started_at is 'When a worker took it; null: none has.';
comment on column trial.outcome is
    '{"attempts", "output", "error"}, as in the ledger. It is json, for its size to be what was written.';
