"""`./millrace check`: style and types; the first thing that fails ends it."""

from __future__ import annotations

import subprocess
import sys

_CHECKS = (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"])


def main() -> int:
    for check in _CHECKS:
        print("$", *check, flush=True)
        code = subprocess.run([sys.executable, "-m", *check], check=False).returncode  # noqa: S603 - the list above
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
