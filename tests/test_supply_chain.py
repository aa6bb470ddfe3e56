"""What Millrace is made of can be listed, and asked about: `./millrace sbom` and `./millrace audit`."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cyclonedx.schema
import jsonschema_rs
import pytest
from typer.testing import CliRunner, Result

from include.cli.__main__ import _application
from include.cli.sbom import document
from include.errors import ConfigError
from include.local.home import PROJECT
from tests.way_out import closed_port

NOW = datetime(2026, 11, 22, tzinfo=timezone.utc)
ADVISORY = "PYSEC-2026-1"


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return document(PROJECT, NOW)


def run(*words: str) -> Result:
    return CliRunner().invoke(_application(words[0]), words)


def by_purl(bill: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {component["purl"]: component for component in bill["components"]}


# -- the bill of materials ---------------------------------------------------------------------------------------------


def test_the_bill_is_valid_cyclonedx(bill: dict[str, Any]) -> None:
    """By the schema of CycloneDX itself, licences by that of SPDX included."""
    schemas = Path(cyclonedx.schema.__file__).parent / "_res"

    def read(uri: str) -> Any:
        return json.loads((schemas / Path(uri).name).read_text("utf-8"))

    validator = jsonschema_rs.validator_for(read("bom-1.6.SNAPSHOT.schema.json"), retriever=read, validate_formats=True)
    assert [error.message for error in validator.iter_errors(bill)] == []
    assert not validator.is_valid({**bill, "components": [{**bill["components"][0], "type": "thing"}]})


def test_every_package_that_is_installed_from_the_lock_is_in_it(bill: dict[str, Any]) -> None:
    """In the version that is installed, with the lock's hashes, and nothing of what only the checks need."""
    listed = by_purl(bill)
    for name in ("apache-airflow", "aiohttp", "psycopg", "pyjwt", "uvloop"):
        component = listed[f"pkg:pypi/{name}@{version(name)}"]
        assert component["version"] == version(name)
        assert all(re.fullmatch("[0-9a-f]{64}", each["value"]) for each in component["properties"])
        assert component["properties"]
        assert component["licenses"]
    lock = set(re.findall(r"^([\w.-]+)==", (PROJECT / "requirements.txt").read_text("utf-8"), re.MULTILINE))
    packages = {one["name"] for purl, one in listed.items() if purl.startswith("pkg:pypi/")}
    assert packages <= lock
    assert len(packages) > 0.9 * len(lock)
    assert not {"pytest", "ruff"} & packages


def test_scripts_and_images_are_in_it(bill: dict[str, Any]) -> None:
    """Each script of the checkout with the hash of its file; what images begin with, by their tags."""
    listed = by_purl(bill)
    vendored = [*(PROJECT / "include/ui/static/vendor").glob("*.js"), *(PROJECT / "tests/vendor").glob("*.js")]
    hashes = {hashlib.sha256(file.read_bytes()).hexdigest() for file in vendored}
    scripts = [one for purl, one in listed.items() if purl.startswith("pkg:npm/")]
    assert {one["hashes"][0]["content"] for one in scripts} == hashes
    assert {one["name"] for one in scripts if one["scope"] == "excluded"} == {"axe-core"}
    images = {one["name"] for one in listed.values() if one["type"] == "container"}
    assert images == {"python", "postgres", "redis"}


def test_it_says_what_needs_what(bill: dict[str, Any]) -> None:
    """What we import ourselves hangs on Millrace, the rest on what brought it; every reference leads somewhere."""
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert set(needs) == {*by_purl(bill), "millrace"} - {
        purl for purl, one in by_purl(bill).items() if one["type"] == "container" or purl.startswith("pkg:npm/")
    }
    direct = {ref.partition("/")[2].partition("@")[0] for ref in needs["millrace"]}
    assert {"aiohttp", "fastapi", "uplot", "python"} <= direct
    assert "aiosignal" not in direct
    assert f"pkg:pypi/aiosignal@{version('aiosignal')}" in needs[f"pkg:pypi/aiohttp@{version('aiohttp')}"]
    assert {ref for refs in needs.values() for ref in refs} <= set(by_purl(bill))


def test_the_same_parts_have_the_same_serial_number(bill: dict[str, Any], tmp_path: Path) -> None:
    """Written to a file or to standard output; outside a checkout it is refused."""
    file = tmp_path / "bill.json"
    assert run("sbom", "-f", str(file)).exit_code == 0
    assert json.loads(file.read_text("utf-8"))["serialNumber"] == bill["serialNumber"]
    assert json.loads(run("sbom").stdout)["components"] == bill["components"]
    with pytest.raises(ConfigError, match=r"there is no .*requirements\.txt: call it in a checkout"):
        document(tmp_path, NOW)


# -- the audit ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "lock.txt"
    file.write_text("".join(f"{name}==1.0 \\\n    --hash=sha256:{'0' * 64}\n" for name in ("sound", "rotten")))
    return file


@pytest.fixture
def advisories() -> Iterator[str]:
    """A server of the OSV API that knows of one package."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            events = [{"introduced": "0"}, {"fixed": "1.1"}]
            package = {"name": "rotten", "ecosystem": "PyPI"}
            affected = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
            known = {"id": ADVISORY, "summary": "It rots.", "aliases": ["CVE-2026-1"], "affected": affected}
            known["modified"] = known["published"] = "2026-01-01T00:00:00Z"
            answer = json.dumps({"vulns": [known]} if asked["package"]["name"] == "rotten" else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.e2e
def test_what_is_known_to_be_vulnerable_is_named(lock: Path, advisories: str) -> None:
    """Package, version, advisory, and what mends it; exit code 1."""
    found = run("audit", "--lock", str(lock), "--osv-url", advisories)
    assert found.exit_code == 1
    assert [line.split() for line in found.stdout.splitlines()][1:] == [["rotten", "1.0", ADVISORY, "1.1"]]
    told = run("audit", "--lock", str(lock), "--osv-url", advisories, "--json")
    [known] = json.loads(told.stdout)["vulnerabilities"]
    assert (known["package"], known["aliases"], known["fixed_in"]) == ("rotten", ["CVE-2026-1"], ["1.1"])


@pytest.mark.e2e
def test_an_advisory_that_does_not_concern_us_is_passed_over(lock: Path, advisories: str) -> None:
    """By its name; what remains is nothing: exit code 0."""
    found = run("audit", "--lock", str(lock), "--osv-url", advisories, "--ignore", ADVISORY)
    assert (found.exit_code, found.stdout) == (0, "no known vulnerability in 2 packages\n")


@pytest.mark.e2e
def test_nobody_to_ask_is_no_all_clear(lock: Path) -> None:
    """Without the internet the command says so; exit code 2."""
    found = run("audit", "--lock", str(lock), "--osv-url", f"http://127.0.0.1:{closed_port()}/")
    assert (found.exit_code, found.stdout) == (2, "")
    assert "lock.txt could not be audited: nobody answered\n" in found.stderr
    assert "this needs the internet" in found.stderr


def test_packages_that_nobody_knows_are_counted(lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line says how many there are, and of one of them what is the matter; not the same of each."""
    packages = [{"name": f"p{n}", "skip_reason": "Dependency not found on PyPI"} for n in range(100)]
    (tmp_path / "pip_audit.py").write_text(f"print({json.dumps(json.dumps({'dependencies': packages}))})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = run("audit", "--lock", str(lock))
    said = "error: lock.txt could not be audited: 100 of 100 packages; of p0: Dependency not found on PyPI"
    assert (found.exit_code, found.stderr.splitlines()[0]) == (2, said)


def test_our_locks_can_be_audited_as_they_are() -> None:
    """Every entry of each has its version and its hashes, so that nothing has to be resolved or downloaded."""
    for name in ("requirements.txt", "requirements-dev.txt", "deploy/kubernetes/requirements.txt"):
        text = (PROJECT / name).read_text("utf-8")
        entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
        assert entries
        for entry in entries:
            assert re.match(r"[\w.\[\],-]+==[\w.+!]+( ; [^\n]+)? \\\n    --hash=sha256:", entry), entry[:80]
