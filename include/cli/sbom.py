"""`./millrace sbom`: a software bill of materials (CycloneDX 1.6, JSON) of what is installed from the lock.

And of what is not in it: the JavaScript that is in the checkout, and the images that containers are made of. Tested
against the schema of CycloneDX. See docs/decisions/0005-dependencies.md for why we write it ourselves.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Annotated, Any

import typer

from include.errors import ConfigError

Component = dict[str, Any]

_ROOT = "millrace"
_PINNED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LONGEST_LICENSE = 100  # some write the whole text where its name belongs


@dataclass(frozen=True, slots=True)
class _Script:
    """JavaScript that is in the checkout, and its licence by SPDX; `is_for_tests`: it is in no image."""

    name: str
    pattern: str
    licence: str
    is_for_tests: bool = False


_SCRIPTS = (
    _Script("htmx.org", "include/ui/static/vendor/htmx-*.min.js", "0BSD"),
    _Script("uplot", "include/ui/static/vendor/uplot-*.min.js", "MIT"),
    _Script("axe-core", "tests/vendor/axe-core-*.min.js", "MPL-2.0", is_for_tests=True),
)


def sbom(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Where to write it; default: standard output.")
    ] = None,
) -> None:
    """Write the software bill of materials: every package, script and image, with version, licence and hashes."""
    text = json.dumps(document(Path(__file__).parents[2], datetime.now(timezone.utc)), indent=2, ensure_ascii=False)
    if file is None:
        print(text)
        return
    file.write_text(f"{text}\n", encoding="utf-8")


def document(root: Path, now: datetime) -> dict[str, Any]:
    """The bill for the checkout at `root` and the packages that this Python finds.

    The same parts have the same serial number.
    """
    packages, needs = _packages(root / "requirements.txt")
    components = [*packages, *_scripts(root), *_images(root)]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(components, sort_keys=True))
    others = [component["bom-ref"] for component in components if component["type"] != "library"]
    scripts = [component["bom-ref"] for component in components if component["purl"].startswith("pkg:npm/")]
    needs[_ROOT] = sorted({*needs.get(_ROOT, []), *others, *scripts})
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "bom-ref": _ROOT, "name": "millrace"},
            "properties": [{"name": "millrace:python", "value": ".".join(map(str, sys.version_info[:3]))}],
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(needs[ref])} for ref in sorted(needs)],
    }


def _packages(lock: Path) -> tuple[list[Component], dict[str, list[str]]]:
    """What of the lock is installed here, and what needs what, as the lock says it."""
    if not lock.exists():
        raise ConfigError(f"there is no {lock}: call it in a checkout")
    installed = {_normal(found.metadata["Name"]): found for found in distributions() if found.metadata["Name"]}
    components: list[Component] = []
    needed_by: list[tuple[str, str]] = []
    for name, version, block in _locked(lock):
        found = installed.get(name)
        if found is None or found.version != version:
            continue  # for another Python, or another system
        ref = f"pkg:pypi/{name}@{version}"
        hashes = [{"name": "millrace:locked-sha256", "value": each} for each in _HASH.findall(block)]
        components.append(_component("library", ref, name, version) | _licensed(found) | {"properties": hashes})
        via = re.findall(r"^    #(?: via)?[ ]+(\S.*)$", block, re.MULTILINE)
        needed_by += [(_ROOT if by.startswith("-r ") else _normal(by), ref) for by in via if by != "via"]
    refs = {component["name"]: component["bom-ref"] for component in components} | {_ROOT: _ROOT}
    needs: dict[str, list[str]] = {component["bom-ref"]: [] for component in components}
    for by, ref in needed_by:
        if by in refs:
            needs.setdefault(refs[by], []).append(ref)
    return components, needs


def _locked(lock: Path) -> Iterator[tuple[str, str, str]]:
    """Name, version and the whole entry of each package in the lock."""
    for block in re.split(r"^(?=[A-Za-z0-9])", lock.read_text("utf-8"), flags=re.MULTILINE):
        if pinned := _PINNED.match(block):
            yield _normal(pinned["name"]), pinned["version"], block


def _licensed(found: Distribution) -> dict[str, Any]:
    """The licence by its SPDX expression where the package gives one, else by whatever name it gives."""
    if expressions := found.metadata.get_all("License-Expression"):
        return {"licenses": [{"expression": expressions[0]}]}
    named = [line.rpartition(" :: ")[2] for line in found.metadata.get_all("Classifier") or () if "License ::" in line]
    text = (found.metadata.get_all("License") or [""])[0]
    if not named and text and "\n" not in text and len(text) <= _LONGEST_LICENSE:
        named = [text]
    return {"licenses": [{"license": {"name": name}} for name in named]} if named else {}


def _scripts(root: Path) -> Iterator[Component]:
    for script in _SCRIPTS:
        for file in sorted(root.glob(script.pattern)):
            version = re.sub(r"^.*?-(\d[\w.]*)\.min\.js$", r"\1", file.name)
            made = _component("library", f"pkg:npm/{script.name}@{version}", script.name, version)
            made["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]
            made["licenses"] = [{"license": {"id": script.licence}}]
            made["scope"] = "excluded" if script.is_for_tests else "required"
            yield made


def _images(root: Path) -> Iterator[Component]:
    """What our image begins with, and what stands beside it in docker-compose.yaml."""
    texts = (root / "Dockerfile").read_text("utf-8"), (root / "docker-compose.yaml").read_text("utf-8")
    named = re.findall(r"^FROM (\S+)", texts[0], re.MULTILINE) + re.findall(r"^\s+image: (\S+)", texts[1], re.MULTILINE)
    for image in sorted({name for name in named if not name.startswith("millrace")}):
        name, _, tag = image.partition(":")
        yield _component("container", f"pkg:docker/{name}@{tag}", name, tag)


def _component(kind: str, purl: str, name: str, version: str) -> Component:
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _normal(name: str) -> str:
    """A package's name as the index compares it, without extras."""
    return re.sub(r"[-_.]+", "-", name.partition("[")[0]).lower()
