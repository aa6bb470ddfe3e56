"""A DAG of your own that runs when a connector has new records.

Copy this file into `dags/`, and write the name of your connector, and whose it is. The DAG runs a second or two after
new records, once for all that came meanwhile. Airflow learns of them by events of the connector's asset, at most one a
second, whose `extra` is `{"connector": its name, "records": how many are new, "head": the newest position}`.

In the name of the asset, `%`, `/`, `?` and `#` of an owner or a connector are `%25`, `%2F`, `%3F` and `%23`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset, Variable, task

OWNER, CONNECTOR = "admin", "github issues"
SEEN = "on_new_records_seen"  # a variable of Airflow's: the position of the last record that was dealt with
NEWER = """
    select r.position, r.key, r.payload from record r join connector c on c.id = r.connector_id
    where c.owner = %s and c.name = %s and r.position > %s order by r.position limit 1000
"""

# One run at a time, so that none deals with what another is dealing with.
with DAG("on_new_records", schedule=Asset(f"millrace://connector/{OWNER}/{CONNECTOR}"), max_active_runs=1):

    @task
    def deal_with_new_records() -> None:
        from include.settings import settings
        from include.store.db import connect

        seen = int(Variable.get(SEEN, default="0"))
        with connect(settings().database_url, via="dag") as db:
            while records := db.execute(NEWER, (OWNER, CONNECTOR, seen)).fetchall():
                for record in records:
                    print(record["position"], record["key"], record["payload"])  # here goes what you want to do
                seen = int(str(records[-1]["position"]))
                Variable.set(SEEN, str(seen))

    deal_with_new_records()
