"""The layers of the code hold: imports point down, are written in full, and Airflow stays at the edge."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from include.settings import Settings

ROOT = Path(__file__).parent.parent
# From the bottom up; a package may import those before its own line, and itself.
LAYERS = (
    {"errors", "time_zones", "wall_cron", "deadline", "host", "clock"},
    {"schedule", "retry", "times", "user_function"},
    {"model", "fires"},
    {"settings", "templates", "webhook_signature"},
    {"registry"},
    {"store", "egress"},
    {"actions", "connectors", "why"},
    {"user_code", "documents"},
    {"shifts"},
    {"local"},
    {"orchestration", "cli"},
    {"api"},
    {"ui"},
)
# Same level, but no strangers: a cron expression is part of a schedule, in a zone, and its errors are ours.
SIBLINGS = {("wall_cron", "errors"), ("wall_cron", "time_zones"), ("time_zones", "errors")}
AIRFLOW_ALLOWED = {"orchestration", "api"}
FILES = sorted(path for path in (ROOT / "include").rglob("*.py"))


def imported(path: Path) -> list[tuple[str, int]]:
    """Modules that a file imports, with their line; relative imports come with a leading dot."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "include" else [module]
            found += [(name, node.lineno) for name in names]
    return found


def level(package: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if package in layer)


def test_every_module_has_its_place() -> None:
    """A new package under `include/` is given a layer before it is used."""
    packages = {path.relative_to(ROOT / "include").parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert packages <= set.union(*LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    """No module imports from its own level or from above, and none imports relatively."""
    parts = path.relative_to(ROOT / "include").parts
    package = parts[0].removesuffix(".py")
    if package == "__init__":
        return
    for module, line in imported(path):
        assert not module.startswith("."), f"{path}:{line}: write the import in full"
        if module == "airflow" or module.startswith("airflow."):
            assert package in AIRFLOW_ALLOWED, f"{path}:{line}: only {AIRFLOW_ALLOWED} import Airflow"
        if not module.startswith("include."):
            continue
        other = module.split(".")[1]
        down = level(other) < level(package) or other == package or (package, other) in SIBLINGS
        assert down, f"{path}:{line}: {package} imports {other}, which is not below it"


def test_doors_hold_no_logic() -> None:
    """What Airflow loads of ours by path is imports and one expression or class; DAGs of people's own are theirs."""
    for path in [*(ROOT / "dags").glob("*.py"), *(ROOT / "plugins").glob("*.py")]:
        text = path.read_text("utf-8")
        assert "include" not in text or len(text.splitlines()) <= 20, f"{path} is more than a door"
    assert [path.name for path in (ROOT / "plugins").glob("*.py")] == ["millrace_plugin.py"]


def test_every_setting_is_in_the_operations_page() -> None:
    """What an operator may set is written down where an operator looks, with its default."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for name, field in Settings.model_fields.items():
        [line] = [line for line in page.splitlines() if line.startswith(f"| `MILLRACE_{name.upper()}`")]
        if not field.is_required() and field.default:
            spelled = f"{field.default:g}" if isinstance(field.default, (int, float)) else field.default
            spelled = ",".join(spelled) if isinstance(spelled, tuple) else spelled
            assert f"| {spelled} |" in line, f"the default of {name} is {field.default}"
