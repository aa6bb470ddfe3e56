"""Airflow imports this in every process; the one patch that Millrace makes to Airflow is applied here.

What it does and why is in `include/orchestration/task_end.py` and `docs/decisions/0004-the-one-patch.md`. A triggerer
imports what shifts need, too: `include/orchestration/triggerer.py`.
"""

from include.orchestration.task_end import register
from include.orchestration.triggerer import make_ready

register()
make_ready()

__all__: list[str] = []
