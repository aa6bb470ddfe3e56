"""deploy/helm-values.yaml fits the official chart, our image and our settings, and holds no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from include.local.alive import _JOBS
from include.local.environment import read_settings
from include.local.home import PROJECT
from tests.compose_file import EXAMPLE, RAW, compose, image_environment, instructions

KUBERNETES = PROJECT / "deploy" / "kubernetes"
TEXT = (PROJECT / "deploy" / "helm-values.yaml").read_text("utf-8")
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
MIGRATE: dict[str, Any] = yaml.safe_load((KUBERNETES / "migrate.yaml").read_text("utf-8"))
PAGE = (PROJECT / "docs" / "deploy.md").read_text("utf-8").partition("\n## Kubernetes\n")[2]
ENV = {each["name"]: each["value"] for each in VALUES["env"]}
OF_AIRFLOW = ("apiServer", "scheduler", "triggerer", "dagProcessor")
SECRET_OF_COMPOSE = "PASSWORD|SECRET|_KEY"

# What the chart knows of what we set (values.schema.json of apache-airflow/airflow 1.22.0): path and type. What is
# Kubernetes' own (a container's resources, a pod's security context) is an `any`.
CHART = {
    "fullnameOverride": str, "defaultAirflowRepository": str, "defaultAirflowTag": str, "airflowVersion": str,
    "airflowHome": str, "uid": int, "gid": int, "executor": str, "extraEnvFrom": str, "env": list, "secret": list,
    "airflowLocalSettings": type(None), "data.metadataSecretName": str, "fernetKeySecretName": str,
    "apiSecretKeySecretName": str, "jwtSecretName": str, "enableBuiltInSecretEnvVars.AIRFLOW_CONN_AIRFLOW_DB": bool,
    "postgresql.enabled": bool, "pgbouncer.enabled": bool, "pgbouncer.replicas": int, "pgbouncer.configSecretName": str,
    "pgbouncer.metricsExporterSidecar.statsSecretName": str, "pgbouncer.metricsExporterSidecar.resources": Any,
    "pgbouncer.podDisruptionBudget.enabled": bool, "pgbouncer.resources": Any, "migrateDatabaseJob.enabled": bool,
    "createUserJob.enabled": bool, "securityContexts.pod": Any, "securityContexts.containers": Any, "volumes": list,
    "volumeMounts": list, "logs.persistence.enabled": bool, "logs.persistence.size": str,
    "workers.kubernetes.resources": Any, "ingress.apiServer.enabled": bool, "ingress.apiServer.hosts": list,
    "redis.enabled": bool, "statsd.enabled": bool, "triggerer.persistence.enabled": bool,
    "triggerer.strategy": Any, "dagProcessor.enabled": bool,
    **{f"{name}.replicas": int for name in ("apiServer", "scheduler", "triggerer")},
    **{f"{name}.args": list for name in OF_AIRFLOW}, **{f"{name}.resources": Any for name in OF_AIRFLOW},
    **{f"{name}.podDisruptionBudget.enabled": bool for name in ("apiServer", "scheduler")},
    **{f"{name}.logGroomerSidecar.enabled": bool for name in OF_AIRFLOW[1:]},
    **{f"{name}.terminationGracePeriodSeconds": int for name in ("scheduler", "triggerer")},
    **{f"{name}.{probe}Probe.{key}": int for name in OF_AIRFLOW for probe in ("liveness", "startup")
       for key in ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")},
    **{f"{name}.livenessProbe.command": list for name in OF_AIRFLOW[1:]}, "scheduler.startupProbe.command": list,
}  # fmt: skip


def settings(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting by its path, as deep as the chart has names for."""
    if isinstance(value, dict) and path not in CHART:
        for name, inner in value.items():
            yield from settings(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def container() -> dict[str, Any]:
    [only] = MIGRATE["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def test_every_key_is_one_of_the_chart() -> None:
    """With a value of its type: Helm refuses what it does not know in some places, and says nothing in others."""
    for path, value in settings(VALUES):
        assert path in CHART, path
        assert CHART[path] is Any or isinstance(value, CHART[path]), path


def test_there_is_no_secret_in_the_files() -> None:
    """Whatever is called a password, secret or key is the name of a Secret, and no URL has a login."""
    for document in (VALUES, MIGRATE):
        assert not [text for text in texts(document) if re.search(r"://[^/\s]*@", text)]
    assert not [name for name in ENV if re.search(SECRET_OF_COMPOSE, name)]
    for each in [*VALUES["secret"], *container()["env"]]:
        assert "value" not in each or not re.search(SECRET_OF_COMPOSE, each["name"])
    ini = (KUBERNETES / "pgbouncer.ini").read_text("utf-8")
    assert not re.search(r"\bpassword\s*=", ini)


def test_what_compose_has_as_a_secret_is_one_here() -> None:
    """Each secret of .env.example but Redis', which KubernetesExecutor has no use for, is a Secret that is named."""
    named = {each["envName"] for each in VALUES["secret"]} | {
        each["name"] for each in container()["env"] if "valueFrom" in each
    }
    by_chart = {
        "AIRFLOW__CORE__FERNET_KEY": "fernetKeySecretName",
        "AIRFLOW__API_AUTH__JWT_SECRET": "jwtSecretName",
        "AIRFLOW__API__SECRET_KEY": "apiSecretKeySecretName",
        "POSTGRES_PASSWORD": "data",
    }
    for secret in (name for name, value in EXAMPLE.items() if not value and name != "REDIS_PASSWORD"):
        assert secret in named or VALUES[by_chart[secret]], secret


def test_the_page_makes_every_secret_that_is_named_and_every_key_of_it() -> None:
    """And none that nobody reads."""
    wanted = {(each["secretName"], each["secretKey"]) for each in VALUES["secret"]}
    wanted |= {tuple(each["valueFrom"]["secretKeyRef"].values()) for each in container()["env"] if "valueFrom" in each}
    wanted |= {
        (VALUES["data"]["metadataSecretName"], "connection"),
        (VALUES["fernetKeySecretName"], "fernet-key"),
        (VALUES["apiSecretKeySecretName"], "api-secret-key"),
        (VALUES["jwtSecretName"], "jwt-secret"),
        (VALUES["pgbouncer"]["configSecretName"], "pgbouncer.ini"),
        (VALUES["pgbouncer"]["configSecretName"], "users.txt"),
        (VALUES["pgbouncer"]["metricsExporterSidecar"]["statsSecretName"], "connection"),
    }
    made = set()
    for command in re.findall(r"kubectl create secret generic (.*?)(?=\n(?:kubectl|printf|```|\n))", PAGE, re.DOTALL):
        name = command.split()[0]
        made |= {(name, key) for key in re.findall(r"--from-literal=([\w.-]+)=", command)}
        made |= {(name, file.rpartition("/")[2]) for file in re.findall(r"--from-file=(\S+)", command)}
    assert made == wanted


def test_settings_are_those_of_config_airflow_env() -> None:
    """By the ConfigMap that the page makes of that file; over it win only the few that must differ here."""
    assert yaml.safe_load(VALUES["extraEnvFrom"]) == [{"configMapRef": {"name": "millrace-airflow"}}]
    assert container()["envFrom"] == [{"configMapRef": {"name": "millrace-airflow"}}]
    assert PAGE.count("configmap millrace-airflow --from-env-file=config/airflow.env") == 2
    assert set(ENV) & set(read_settings()) == {"AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__AUTH_MANAGER"}
    assert ENV["AIRFLOW__CORE__EXECUTOR"] == VALUES["executor"] == "KubernetesExecutor"
    manager = compose()["services"]["migrate"]["environment"]["AIRFLOW__CORE__AUTH_MANAGER"]
    assert ENV["AIRFLOW__CORE__AUTH_MANAGER"] == manager
    assert {"name": "AIRFLOW__CORE__AUTH_MANAGER", "value": manager} in container()["env"]


def test_the_processes_are_those_of_compose() -> None:
    """Each by the same command, and watched in the same way."""
    services = compose()["services"]
    names = {"apiServer": "api-server", "dagProcessor": "dag-processor"}
    for part in OF_AIRFLOW:
        name = names.get(part, part)
        assert VALUES[part]["args"] == services[name]["command"]
        if part != "apiServer":  # which the chart asks by HTTP
            assert VALUES[part]["livenessProbe"]["command"] == services[name]["healthcheck"]["test"][1:]
            assert name in _JOBS
    assert [VALUES[part]["replicas"] for part in ("scheduler", "triggerer")] == [2, 2]
    assert container()["command"] == services["migrate"]["command"]
    assert not VALUES["migrateDatabaseJob"]["enabled"]
    assert not VALUES["createUserJob"]["enabled"]


def test_the_image_is_ours_and_has_the_executor() -> None:
    """The same one migrates and runs; its user, its home and its packages are those of the Dockerfile and the lock."""
    image = f"{VALUES['defaultAirflowRepository']}:{VALUES['defaultAirflowTag']}"
    assert container()["image"] == image == "millrace-kubernetes:local"
    assert "millrace-kubernetes" in PAGE
    [user] = [rest for name, rest in instructions() if name == "USER"]
    assert (KUBERNETES / "Dockerfile").read_text("utf-8").splitlines()[-1] == f"USER {user}"
    assert user == f"{VALUES['uid']}:{VALUES['gid']}"
    assert image_environment()["AIRFLOW_HOME"] == VALUES["airflowHome"]
    lock = (PROJECT / "requirements.txt").read_text("utf-8")
    assert f"apache-airflow=={VALUES['airflowVersion']} " in lock
    ours = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    more = (KUBERNETES / "requirements.txt").read_text("utf-8")
    pins = re.findall(r"^([\w.-]+)==\S+ \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", more, re.MULTILINE)
    assert "apache-airflow-providers-cncf-kubernetes" in dict(pins)
    assert len(pins) == len(re.findall(r"^[\w.-]+==", more, re.MULTILINE))
    assert not set(dict(pins)) & set(ours)


def test_processes_may_do_little() -> None:
    """Not root, no capabilities, nothing to write but what is gone with the pod, and the logs; all have limits."""
    pod = MIGRATE["spec"]["template"]["spec"]
    assert VALUES["securityContexts"] == {"pod": pod["securityContext"], "containers": container()["securityContext"]}
    confined = VALUES["securityContexts"]["containers"]
    assert (confined["readOnlyRootFilesystem"], confined["allowPrivilegeEscalation"]) == (True, False)
    assert confined["capabilities"] == {"drop": ["ALL"]}
    assert VALUES["securityContexts"]["pod"]["runAsNonRoot"] is True
    assert VALUES["volumes"] == pod["volumes"] == [{"name": name, "emptyDir": {}} for name in ("home", "tmp")]
    assert VALUES["volumeMounts"] == container()["volumeMounts"]
    assert {each["mountPath"] for each in VALUES["volumeMounts"]} == set(RAW["x-airflow"]["tmpfs"])
    for part in OF_AIRFLOW:
        assert VALUES[part]["resources"]["limits"]["memory"]
    assert not [part for part in OF_AIRFLOW[1:] if VALUES[part]["logGroomerSidecar"]["enabled"]]
