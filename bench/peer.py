"""The peer of `ingest`: dlt pulls the same pages with its `rest_api` source and loads them into the same server.

It merges them by their key, which is what Millrace does: each is there once, whatever is pulled again. The process says
on standard output, as JSON, how many rows it has loaded, and how many seconds each part of it took.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.errors import MillraceError
from include.local.home import PROJECT

_LONGEST_SECONDS = 900
_NOT_INSTALLED = 3
_PARTS = ("extract", "normalize", "load")


@dataclass(frozen=True, slots=True)
class Peer:
    """What dlt did. `seconds` is the time of each of its parts, and of `import` before them."""

    records: int
    seconds: dict[str, float]

    @property
    def records_per_s(self) -> float:
        """Its speed without the time that Python takes to import it."""
        return self.records / sum(self.seconds[part] for part in _PARTS)

    @property
    def records_per_s_with_import(self) -> float:
        return self.records / sum(self.seconds.values())


def run_peer(url: str, page: int, database_url: str, folder: Path) -> Peer | None:
    """Have dlt load `url`'s items, in a process whose files are in `folder`; None if dlt is not installed."""
    folder.mkdir(parents=True)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(PROJECT),
        "PYTHONSAFEPATH": "1",  # what lies in the folder is not to be imported
        "HOME": str(folder),
        "DLT_DATA_DIR": str(folder),
        "DLT_PROJECT_DIR": str(folder),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "BENCH_PEER_DATABASE_URL": database_url,  # arguments can be read by everybody on the machine
    }
    command = [sys.executable, "-m", "bench.peer", "--url", url, "--page", str(page), "--folder", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MillraceError(f"dlt was not done after {_LONGEST_SECONDS} s") from None
    if done.returncode == _NOT_INSTALLED:
        return None
    if done.returncode != 0:
        raise MillraceError(f"dlt failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return Peer(**json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peer", description="Load the source's items with dlt.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--page", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    try:
        import dlt
        from dlt.sources.rest_api import rest_api_source
    except ImportError:
        return _NOT_INSTALLED
    seconds["import"] = time.perf_counter() - began
    source = rest_api_source(_source_config(options.url, options.page))
    pipeline = dlt.pipeline(
        "peer",
        pipelines_dir=str(options.folder / "pipelines"),
        destination=dlt.destinations.postgres(credentials=os.environ["BENCH_PEER_DATABASE_URL"]),
        dataset_name="peer",
    )
    # What `pipeline.run()` does, part by part.
    began = time.perf_counter()
    pipeline.extract(source)
    extracted = time.perf_counter()
    normalized_info = pipeline.normalize()
    normalized = time.perf_counter()
    pipeline.load()
    loaded = time.perf_counter()
    seconds |= {"extract": extracted - began, "normalize": normalized - extracted, "load": loaded - normalized}
    print(json.dumps({"records": normalized_info.row_counts["items"], "seconds": seconds}))
    return 0


def _source_config(url: str, page: int) -> Any:
    return {
        "client": {"base_url": f"{url}/"},
        "resources": [
            {
                "name": "items",
                "endpoint": {
                    "path": "items",
                    "data_selector": "items",
                    "paginator": {"type": "offset", "limit": page, "total_path": "total"},
                },
                "primary_key": "id",
                "write_disposition": "merge",
            }
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
