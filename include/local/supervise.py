"""The supervisor's process: `python -m include.local.supervise [--leashed] [WISHES]`.

It says on standard output how far it is, in lines of JSON: `step` for each step, then `ready` or `error`.
With `--leashed`, standard input is a leash: when its other end closes, the system goes down. SIGTERM does the same.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import resource
import sys
import traceback
from contextlib import suppress

from include.errors import MillraceError
from include.local.attention import Attention, Stopped
from include.local.home import Home
from include.local.run import Wishes
from include.local.supervisor import Supervisor

_MANY_FILES = 65_536  # as docker-compose.yaml has it


def main() -> int:
    options = _options()
    home = Home.from_environment()
    lock = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say(error="another ./millrace is already at work here", busy=True)
        return 1
    allow_many_files()
    attention = Attention(sys.stdin.fileno() if options.leashed else None)
    wishes = Wishes(options.port, options.demo, options.schedulers, options.triggerers, options.executor)
    supervisor = Supervisor(home, wishes, attention, _step)
    try:
        supervisor.bring_up()
        _say(ready=True)
        supervisor.watch()
    except Stopped:
        pass
    except (MillraceError, OSError) as error:
        _say(error=str(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        _say(error=f"{type(error).__name__}: {error} ({home.log('supervisor')})")
        return 1
    finally:
        supervisor.take_down()
    return 0


def allow_many_files() -> None:
    """Raise this process's limit of open files, and so its children's: a triggerer has a log open for each shift.

    Where a shell's limit is 1024, as it often is, the triggerer would die of its thousandth.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else min(_MANY_FILES, hard)
    with suppress(ValueError, OSError):  # a kernel that allows fewer than it says
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.local.supervise")
    parser.add_argument("--port", type=int)
    parser.add_argument("--no-demo", dest="demo", action="store_false")
    parser.add_argument("--schedulers", type=int, default=1)
    parser.add_argument("--triggerers", type=int, default=1)
    parser.add_argument("--executor", default="local")
    parser.add_argument("--leashed", action="store_true")
    return parser.parse_args()


def _step(name: str, seconds: float | None) -> None:
    _say(step=name if seconds is None else f"{name} ({seconds:.1f} s)")


def _say(**facts: object) -> None:
    """Tell whoever started us, if they still listen."""
    try:
        print(json.dumps(facts), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
