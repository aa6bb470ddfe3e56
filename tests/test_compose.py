"""docker-compose.yaml is one that Compose takes, has the topology of `./millrace up`, and holds no secret."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from include.local.components import airflow, airflow_components
from include.local.database import Database
from include.local.environment import Site, component_environment, read_settings
from include.local.home import PROJECT, Home
from include.local.keys import Keys
from include.local.postgres_settings import DURABLE
from include.local.run import Wishes
from include.settings import Settings
from tests.compose_file import EXAMPLE, FILLED, RAW, MissingError, compose, environment_of, filled

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OF_AIRFLOW = {name: service for name, service in SERVICES.items() if "env_file" in service}
SECRETS = [name for name, value in EXAMPLE.items() if not value]
OF_SIMPLE_AUTH = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_"
SITE = Site(Home(PROJECT / "nowhere"), Database("postgresql://a:b@c/d"), Keys("a", "b", "c", "d"), 8080, demo=False)


def variables(text: str) -> set[str]:
    return set(re.findall(r"\$\{(\w+)", text))


def test_a_compose_parser_takes_it() -> None:
    """One that knows the whole specification, and refuses what is not in it."""
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose()))
    assert set(parsed.service_names()) == set(SERVICES)
    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_yaml("services: {a: {image: b, helthcheck: {}}}")


def test_what_up_starts_is_started_here_by_the_same_commands() -> None:
    """The topology that tests really run is the one in containers."""
    plain = airflow()
    for component in airflow_components(SITE, {}, Wishes(executor="celery")):
        assert SERVICES[component.name]["command"] == ["airflow", *component._command[len(plain) :]]
    names = {component.name for component in airflow_components(SITE, {}, Wishes())}
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == names | {"postgres", "migrate"}


def test_profile_scale_adds_workers_and_their_broker() -> None:
    """And everything else is as without it."""
    scale = {name: service for name, service in SERVICES.items() if "profiles" in service}
    assert set(scale) == {"redis", "worker"}
    assert all(service["profiles"] == ["scale"] for service in scale.values())
    assert scale["worker"]["command"][:3] == ["airflow", "celery", "worker"]
    assert environment_of(OF_AIRFLOW["scheduler"])["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    chosen = environment_of(OF_AIRFLOW["scheduler"], AIRFLOW__CORE__EXECUTOR="CeleryExecutor")
    assert chosen["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"


def test_what_up_sets_is_set_here() -> None:
    """By the image, config/airflow.env or the file; but who logs in is told by FAB, through our own auth manager."""
    wanted = component_environment(SITE, inherited={})
    for service in OF_AIRFLOW.values():
        found = environment_of(service)
        assert {name for name in wanted if not name.startswith((OF_SIMPLE_AUTH, "PATH"))} <= set(found)
        changed = {name for name, value in read_settings().items() if found[name] != value}
        assert changed == {"AIRFLOW__CORE__AUTH_MANAGER"}
        assert found["AIRFLOW__CORE__AUTH_MANAGER"] == "include.orchestration.auth_fab.MillraceFabAuthManager"


def test_all_speak_to_one_database() -> None:
    """Each driver has the address as `./millrace up` would write it."""
    found = environment_of(OF_AIRFLOW["migrate"])
    database = Database.parse(found["MILLRACE_DATABASE_URL"])
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == database.for_airflow
    assert found["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] == database.for_airflow_async
    assert found["AIRFLOW__CELERY__RESULT_BACKEND"] == f"db+{database.for_airflow}"
    server = SERVICES["postgres"]["environment"]
    parts = [server["POSTGRES_USER"], server["POSTGRES_PASSWORD"], server["POSTGRES_DB"]]
    assert "postgresql://{}:{}@postgres:5432/{}".format(*parts) == database.url


def test_postgresql_is_set_as_the_embedded_one() -> None:
    """Where its log and its socket are is the image's business."""
    told = dict(option.removeprefix("-c").split("=") for option in SERVICES["postgres"]["command"][1:])
    assert told == {name: value for name, value in DURABLE.items() if "log" not in name and "socket" not in name}


def test_every_secret_is_demanded_and_said_how_to_be_made() -> None:
    """Without one of them Compose refuses the file, and names it."""
    assert len(SECRETS) == 6
    for secret in SECRETS:
        with pytest.raises(MissingError, match=r"\.env\.example") as refused:
            filled(RAW, {**FILLED, secret: ""})
        assert refused.value.args[0] == secret
    explained = re.findall(r"`openssl rand [^`]+`\n(\w+)=\n", (PROJECT / ".env.example").read_text("utf-8"))
    assert explained == SECRETS


def test_there_is_no_secret_in_the_file() -> None:
    """Whatever is called a password, secret or key, and every login in a URL, is a variable."""
    raw = [pair for service in RAW["services"].values() for pair in service.get("environment", {}).items()]
    hidden = [value for name, value in raw if re.search("PASSWORD|SECRET|_KEY|AUTH$", name)]
    assert len(hidden) > 5
    assert all(re.fullmatch(r"\$\{\w+(:\?[^}]*)?\}", value) for value in hidden)
    for login in re.findall(r"://([^@/\s]*)@", (PROJECT / "docker-compose.yaml").read_text("utf-8")):
        assert re.fullmatch(r"(millrace)?:\$\{\w+(:\?[^}]*)?\}", login)
    assert "\n.env\n" in (PROJECT / ".gitignore").read_text("utf-8")


def test_what_the_example_names_has_an_effect() -> None:
    """A variable there is one of the file, a setting of ours, one of Airflow's, or Compose's own; the page has it."""
    text = (PROJECT / ".env.example").read_text("utf-8")
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE))
    used = variables((PROJECT / "docker-compose.yaml").read_text("utf-8"))
    assert used <= named
    ours = {f"MILLRACE_{name.upper()}" for name in Settings.model_fields}
    assert named - used - ours <= {"COMPOSE_PROFILES", "AIRFLOW__CORE__EXECUTOR"}
    assert named <= set(re.findall(r"\w+", (PROJECT / "docs" / "deploy.md").read_text("utf-8")))


def test_only_the_api_server_is_reached_from_outside_and_from_this_machine_only() -> None:
    """Unless `.env` says otherwise; and any service may run several times."""
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api-server": ["127.0.0.1:8080:8080"]}
    elsewhere = compose(MILLRACE_BIND="192.0.2.1", MILLRACE_PORT="80")["services"]["api-server"]
    assert elsewhere["ports"] == ["192.0.2.1:80:8080"]
    assert elsewhere["environment"]["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:80"
    assert not [name for name, service in SERVICES.items() if "container_name" in service or "network_mode" in service]
    assert OF_AIRFLOW["api-server"]["environment"]["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8080"


def test_the_order_of_starting_is_one() -> None:
    """Each waits for what it needs, and for what can be waited for; nobody waits for a profile that may be off."""
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            waited_for = SERVICES[other]
            assert how["condition"] != "service_healthy" or "healthcheck" in waited_for
            assert waited_for.get("profiles", service.get("profiles")) == service.get("profiles"), (name, other)
    started: list[str] = []
    while waiting := [name for name in SERVICES if name not in started]:
        ready = [name for name in waiting if set(SERVICES[name].get("depends_on", {})) <= set(started)]
        assert ready, f"these wait for each other: {waiting}"
        started += ready
    assert OF_AIRFLOW["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    done = {"migrate": {"condition": "service_completed_successfully"}}
    assert all(done.items() <= OF_AIRFLOW[name]["depends_on"].items() for name in set(OF_AIRFLOW) - {"migrate"})


def test_all_that_goes_on_is_watched_and_started_again() -> None:
    """Everything but the job that ends has a health check."""
    for name in set(SERVICES) - {"migrate"}:
        assert SERVICES[name]["healthcheck"]["test"]
        assert SERVICES[name]["restart"] == "unless-stopped"


def test_images_are_pinned() -> None:
    """By a tag with all parts of a version; ours is built here."""
    for name, service in SERVICES.items():
        if name in OF_AIRFLOW:
            assert (service["build"], service["image"]) == (".", "millrace:local")
        else:
            assert re.fullmatch(rf"{name}:\d+\.\d+(\.\d+)?-bookworm", service["image"])


def test_processes_of_airflow_may_do_little() -> None:
    """No capabilities, no new privileges, nothing to write but logs and what is gone after a restart."""
    for service in OF_AIRFLOW.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["volumes"] == ["logs:/opt/airflow/logs"]
        assert service["ulimits"]["nofile"]["soft"] >= 2 * int(read_settings()["AIRFLOW__TRIGGERER__CAPACITY"])
        assert service["init"] is True
