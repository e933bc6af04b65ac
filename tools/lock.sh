#!/bin/sh
# Resolve the locks anew. The widest one first; the others take its versions, so that all agree.
# `--fork-strategy fewest`: one version of a library for all supported Pythons, since its bytes end in ours.
set -eu
command -v uv >/dev/null || { echo "error: tools/lock.sh needs uv; type \`make lock\`, which has it." >&2; exit 1; }
resolve() {
    uv pip compile --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
}
resolve pyproject.toml --extra road --extra dev -o requirements-dev.lock
resolve pyproject.toml --extra road -c requirements-dev.lock -o requirements.lock
resolve pyproject.toml -c requirements-dev.lock -o requirements-serve.lock
# Schedulers have environments of their own; nothing of them runs beside the stages.
resolve orchestration/kubeflow/requirements.in -o orchestration/kubeflow/requirements.lock
# The image of the road has this beside requirements.lock.
resolve deploy/road.in --no-deps -c orchestration/kubeflow/requirements.lock -o deploy/road.lock
# Airflow's environment is its own, so it agrees with none of them.
resolve orchestration/airflow/requirements.in -o orchestration/airflow/requirements.lock
