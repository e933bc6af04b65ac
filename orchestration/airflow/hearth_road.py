"""Be the road as a DAG: one task per stage, along the graph that `hearth docs` writes from dvc.yaml.

Every task is a fresh checkout of one commit, which the first one finds out; `hearth task` says how it runs.
"""

import json
import os
import re
from pathlib import Path

from airflow.sdk import DAG, Param, TaskGroup
from hearth_tasks import BENTO, DEFAULTS, SOURCE, Hearth, alert, setting

ROAD = Path(os.environ.get("HEARTH_ROAD") or Path(__file__).resolve().parent.parent / "road.json")

KNOWN = """[ -n "$REPOSITORY" ] || { echo "error: no repository is named; set the param repository, or HEARTH_REPOSITORY."; exit 2; }
"""
PLACE = '--repository "$REPOSITORY" --commit "$COMMIT" ${REMOTE:+--remote "$REMOTE"}\n'
WHERE = {"REPOSITORY": "{{ params.repository }}", "REMOTE": "{{ params.remote }}"}
ASKED = {**WHERE, "COMMIT": "{{ params.commit }}"}
RESOLVED = {**WHERE, "COMMIT": "{{ ti.xcom_pull(task_ids='resolve') }}"}


def task_id(stage: str) -> str:
    """Return a stage's name as Airflow takes it; that of a stage of DVC's foreach holds an @."""
    return re.sub(r"[^\w.-]", "__", stage)


with DAG(
    "hearth_road",
    description="Run the stages of one commit, from and to the DVC remote",
    doc_md=__doc__,
    schedule=[SOURCE],
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params={
        "repository": Param(setting("REPOSITORY"), type="string", description="the git repository"),
        "commit": Param(setting("COMMIT", "main"), type="string", description="a commit, branch or tag of it"),
        "remote": Param(setting("REMOTE"), type="string", description="the DVC remote; empty: the commit's default"),
    },
    tags=["hearth"],
) as dag:
    resolve = Hearth(task_id="resolve", commands=f"{KNOWN}exec hearth task --resolve {PLACE}", given=ASKED,
                     doc_md="Find out which commit it is, so that all tasks have the same.")  # fmt: skip
    with TaskGroup("road", prefix_group_id=True):
        stages = {}
        for stage in json.loads(ROAD.read_text(encoding="utf-8")):
            one = Hearth(task_id=task_id(stage["name"]), commands=f'exec hearth task "$STAGE" {PLACE}',
                         given={**RESOLVED, "STAGE": stage["name"]}, doc_md=stage["desc"], do_xcom_push=False)  # fmt: skip
            stages[stage["name"]] = one
            one.set_upstream([stages[name] for name in stage["after"]] or resolve)
    gather = Hearth(task_id="gather", commands=f"exec hearth gather --check {PLACE}", given=RESOLVED, outlets=[BENTO],
                    doc_md="Say that the whole road of the commit is on the remote.")  # fmt: skip
    gather.set_upstream([one for one in stages.values() if not one.downstream_task_ids])
    alert().set_upstream([resolve, *stages.values(), gather])
