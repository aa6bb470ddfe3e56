"""`./millrace test`: all tests, the fast ones first and side by side; or, with arguments, what pytest makes of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

# Most tests wait for a database or a clock: more of them at once than there are cores.
_SIDE_BY_SIDE = ["-n", "4", "--dist", "loadgroup"]
# Those that need a whole system are one group, and so one after another; the others have the second core.
_BESIDE_A_SYSTEM = ["-n", "2", "--dist", "loadgroup"]


def main(arguments: Sequence[str]) -> int:
    """Return pytest's exit code. A whole system is started only when the fast tests have passed."""
    if arguments:
        return _pytest([*([] if "-n" in arguments else _SIDE_BY_SIDE), *arguments])
    return _pytest([*_SIDE_BY_SIDE, "-m", "not e2e"]) or _pytest([*_BESIDE_A_SYSTEM, "-m", "e2e"])


def _pytest(arguments: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode  # noqa: S603 - ourselves


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
