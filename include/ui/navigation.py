"""Where Airflow's UI leads to the dashboard: an entry in its navigation, and a tab on the page of each DAG.

Addresses have no slash in front: Airflow's UI reads them from its own root, wherever that is. What the entry leads to
is shown in a frame, and Airflow keeps the address of the page in it behind its own, so that it can be reloaded and
linked to: `/plugin/millrace/millrace/ui/jobs/42`.
"""

from __future__ import annotations

from typing import Any

# Legible on the ground of the navigation, light and dark, and on that of the entry that is open.
_ICON = "millrace/ui/static/nav.svg"

EXTERNAL_VIEWS: list[dict[str, Any]] = [
    {
        "name": "Millrace",
        "href": "millrace/ui/",
        "destination": "nav",
        "url_route": "millrace",
        "icon": _ICON,
        "nav_top_level": True,
    },
    {
        "name": "Row",
        "href": "millrace/ui/dag/{DAG_ID}",
        "destination": "dag",
        "url_route": "millrace-row",
        "icon": _ICON,
    },
]
