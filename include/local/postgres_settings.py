"""How the embedded PostgreSQL is set, each with its reason; what is not here is the server's default."""

from __future__ import annotations

# The log is kept for a week, one file a day, in the data directory: the server's own user must be able to write it.
_LOG = {
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgres-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
}

_ALWAYS = {
    "unix_socket_directories": "",
    "max_connections": "200",  # every component of Airflow has a pool, and so have triggerer and bench
    "timezone": "UTC",
    "jit": "off",  # statements are short and many
    "max_parallel_workers_per_gather": "0",  # two cores, and small /dev/shm in containers
    # Airflow updates the same few rows all the time; without this, tables of live rows drown in dead ones.
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_analyze_scale_factor": "0.05",
}

DURABLE = {
    **_ALWAYS,
    **_LOG,
    "shared_buffers": "256MB",
    # Rare checkpoints: each makes every page that changes after it go to the log whole.
    "checkpoint_timeout": "15min",
    "max_wal_size": "2GB",
}

FORGETFUL = {
    **_ALWAYS,
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
