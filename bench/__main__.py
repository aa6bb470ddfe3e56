"""`./millrace bench SCENARIO [--json FILE]`: measure a system that is started for it, from outside.

What is said meanwhile goes to standard error; standard output has the table.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psutil  # type: ignore[import-untyped]
import psycopg

from bench.result import Result, table, verdicts
from bench.rows import Rows
from bench.scenario import Scenario, all_scenarios
from bench.sink_process import Sink
from bench.stack import remove, started
from bench.stage import Stage
from include.errors import MillraceError

_ALL = "all"
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    known = all_scenarios()
    options = _parser(known).parse_args()
    if options.scenario is None:
        _parser(known).print_help()
        return 0
    if options.json and not options.json.absolute().parent.is_dir():
        print(f"error: {options.json}: there is no such directory", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    chosen = list(known.values()) if options.scenario == _ALL else [known[options.scenario]]
    try:
        results = _measure(chosen, options)
    except (MillraceError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return _conclude(results, options)


def _parser(known: dict[str, Scenario]) -> argparse.ArgumentParser:
    width = max(map(len, known))
    listed = [f"  {name:<{width}}  {scenario.summary}" for name, scenario in known.items()]
    parser = argparse.ArgumentParser(
        prog="./millrace bench",
        description="Measure a system that is started for it, from outside. Scenarios:\n\n" + "\n".join(listed),
        epilog="`./millrace bench SCENARIO --help` lists what can be varied.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", type=Path, metavar="FILE", help="write the result there as one JSON object")
    common.add_argument("--small", action="store_true", help="tiny numbers, as in CI: judge correctness, not speed")
    common.add_argument("--strict", action="store_true", help="exit with 1 also where a target of speed was missed")
    common.add_argument("--keep", action="store_true", help="keep logs, the database and the sink's calls; say where")
    commands = parser.add_subparsers(dest="scenario", metavar="SCENARIO")
    for name, scenario in known.items():
        scenario.add_options(commands.add_parser(name, parents=[common], description=scenario.summary))
    everything = "All of them, each with a fresh system; with --small, those that can share one do"
    commands.add_parser(_ALL, parents=[common], description=everything)
    return parser


def _measure(chosen: Sequence[Scenario], options: argparse.Namespace) -> list[Result]:
    """The result of each scenario; at the end, and whatever happens, nothing is left running."""
    results: list[Result] = []
    with _folder(options.keep) as folder:
        for number, group in enumerate(_groups(chosen, share=options.small)):
            home = folder / f"system-{number}"
            with _stage(folder, home, group[0], options) as stage:
                for scenario in group:
                    stage.rows.clear()
                    results.append(_result(scenario, stage, options))
    return results


def _result(scenario: Scenario, stage: Stage, options: argparse.Namespace) -> Result:
    """What the scenario found. One that breaks off has a result, too, and the next one its turn."""
    _say(f"{scenario.name}: {scenario.summary}")
    try:
        result = scenario.run(stage, scenario.options(options))
    except (MillraceError, OSError, psycopg.Error, psutil.Error) as error:
        result = Result(scenario.name)
        result.demand(False, f"broke off: {' '.join(str(error).split())}")
    if options.small:
        result.targets.clear()
    return result


def _groups(chosen: Sequence[Scenario], *, share: bool) -> list[list[Scenario]]:
    """The scenarios that use one system after another; at full size each has one, so as not to inherit memory."""
    if not share:
        return [[scenario] for scenario in chosen]
    sharing = [scenario for scenario in chosen if not scenario.has_own_system]
    return [*([sharing] if sharing else []), *([scenario] for scenario in chosen if scenario.has_own_system)]


@contextmanager
def _stage(folder: Path, home: Path, first: Scenario, options: argparse.Namespace) -> Iterator[Stage]:
    with ExitStack() as cleanup:
        sink = Sink(home.with_suffix(".calls.csv"))
        cleanup.callback(sink.close)
        chosen = first.options(options)
        environment = first.environment(folder, sink.url, chosen)
        stack = cleanup.enter_context(started(home, _say, environment, first.wishes(chosen)))
        rows = Rows(stack.database_url)
        cleanup.callback(rows.close)
        try:
            yield Stage(stack, sink, rows, _say, options.small)
        finally:
            # A second Ctrl-C would only leave behind what the first one is clearing away.
            before = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTS}
            cleanup.close()
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    """A place for everything that a run leaves behind; gone afterwards, unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-bench-"))
    folder.chmod(0o755)  # root's database runs as another user, who must be able to reach its files
    try:
        yield folder
    finally:
        if keep:
            _say(f"kept: {folder}")
        else:
            remove(folder, sorted(folder.glob("system-*[0-9]")))


def _conclude(results: Sequence[Result], options: argparse.Namespace) -> int:
    print(table(results))
    for result in results:
        for line in verdicts(result):
            print(line)
    if options.json:
        facts: dict[str, Any] = results[0].as_json()
        if options.scenario == _ALL:
            facts = {"scenario": _ALL, "results": [result.as_json() for result in results]}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")
    missed = options.strict and any(result.targets_met is False for result in results)
    return 1 if missed or not all(result.correct for result in results) else 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
