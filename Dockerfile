# One image for every process of Airflow; docker-compose.yaml says which one a container is.
#
# Where things are is as in Airflow's own image (user 50000 of group 0, /opt/airflow), so its Helm chart fits this one.

FROM python:3.12.13-slim-bookworm AS packages

RUN python -m venv /opt/venv
# Alone, so that only a change of the lock installs anew. Wheels only: nothing is compiled, so no compiler is needed.
COPY requirements.txt /tmp/requirements.txt
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/venv/bin/pip install --cache-dir /var/cache/pip --disable-pip-version-check --no-input --progress-bar off \
        --require-hashes --no-deps --only-binary :all: -r /tmp/requirements.txt

FROM python:3.12.13-slim-bookworm

RUN useradd --uid 50000 --gid 0 --home-dir /opt/airflow --create-home --shell /usr/sbin/nologin airflow \
    && install -d -o 50000 -g 0 -m 775 /opt/airflow /opt/airflow/logs \
    && printf '#!/bin/sh\nexec python -m include.cli "$@"\n' > /usr/local/bin/millrace \
    && chmod 755 /usr/local/bin/millrace

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/millrace:/opt/millrace/config \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MILLRACE_HOME=/opt/airflow \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/millrace/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/millrace/plugins \
    AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH=/opt/airflow/bundles \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/opt/airflow/logs \
    AIRFLOW__API__HOST=0.0.0.0 \
    AIRFLOW__API__PORT=8080

COPY --from=packages /opt/venv /opt/venv

# Ours comes last, because it changes most. It belongs to root: what runs here cannot change itself.
WORKDIR /opt/millrace
COPY config config
COPY dags dags
COPY plugins plugins
COPY include include
RUN python -m compileall -q config dags plugins include

USER 50000:0
CMD ["millrace", "--help"]
