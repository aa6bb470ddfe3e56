-- Owners name their connectors without knowing of each other: pushes have the id as their address. A name goes on working
-- as an address, for whoever has had it for longest: nobody takes another's deliveries away by a name.

alter table connector drop constraint connector_name_key;
alter table connector add constraint connector_owner_name_key unique (owner, name);
create index connector_name on connector (name);

-- Since when connectors have their names that have been called otherwise. It is no column of theirs: the version before
-- has prepared `select *`, and would fail.
create table connector_rename (
    connector_id bigint primary key references connector (id) on delete cascade,
    at timestamptz not null
);

create function connector_after_rename() returns trigger language plpgsql set search_path from current as $$
begin
    insert into connector_rename (connector_id, at) values (new.id, now())
    on conflict (connector_id) do update set at = excluded.at;
    return null;
end $$;

create trigger connector_after_rename after update of name on connector
    for each row when (new.name is distinct from old.name)
    execute function connector_after_rename();
