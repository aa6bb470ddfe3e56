"""How Airflow's connections to the database are opened; `airflow.env` names these two values.

Our tables are in schema `millrace` of the same database, whose search path puts them first for people with psql. One of
them is called `job`, and so is one of Airflow's: Airflow must see its own.

A commit of Airflow's does not wait for the disk. A crash of the server may lose its last half second, so a run may
start again; the ledger, whose commits do wait, knows what was done.
"""

SYNC = {"options": "-c search_path=public -c synchronous_commit=off"}

ASYNC = {"server_settings": {"search_path": "public", "synchronous_commit": "off"}}
