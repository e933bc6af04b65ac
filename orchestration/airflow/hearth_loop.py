"""Be the loop as a DAG: look at what was served, and where an alarm is due, retrain, promote, check, or roll back.

It works in one clone on the worker, since what was served is logged there, and the releases are its tags. Every verdict is
hearth's; this file only carries it from one command to the next. Where no alarm is due, all that follows is skipped.
"""

import json
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, TriggerRule, task
from hearth_tasks import ALARM, DEFAULTS, Hearth, alert, setting, tell

# Enter the clone, and keep what hearth answers as JSON. Exit status 1 with an answer is an answer; without one it is a failure.
ASK = """answer="$PWD/answer.json"
[ -n "$CLONE" ] || { echo "error: no clone is named; set the param clone, or HEARTH_CLONE."; exit 2; }
cd "$CLONE" || exit 2
status=0
hearth %s --json > "$answer" || status=$?
[ "$status" -le 1 ] || exit "$status"
[ -s "$answer" ] || exit 1
python -c '
import json, sys
known = json.load(open(sys.argv[1]))
print(json.dumps({name: known[name] for name in sys.argv[2:]}))
' "$answer" %s || exit 1
%s"""
SKIP = 99  # Airflow's exit status for a task that is skipped
CLONE = {"CLONE": "{{ params.clone }}", "PUSH": "{{ '1' if params.push else '' }}"}
SAID = "{{ ti.xcom_pull(task_ids='%s')['%s'] or '' }}"

CHECK = """cd "$CLONE" || exit 2
exec hearth smoke ${SERVICE:+--url "$SERVICE" --within "$WITHIN_S"}
"""
ROLL_BACK = """cd "$CLONE" || exit 2
exec hearth rollback --reason "by itself: $REASON" ${PUSH:+--push}
"""
# A rollback that was done already, or a promotion that never was, leaves nothing to take back; so this may be tried again.
UNDO = f"""cd "$CLONE" || exit 2
champion=$(hearth releases --json | python -c 'import json, sys; print((json.load(sys.stdin)["champion"] or {{}}).get("version", ""))') || exit 1
[ "$champion" != "$BEFORE" ] || {{ echo "the champion is $champion, as before; there is nothing to take back"; exit {SKIP}; }}
exec hearth rollback ${{BEFORE:+--to "$BEFORE"}} --reason "by itself: the check of $champion failed" ${{PUSH:+--push}}
"""


def asking(words: str, keys: str, skip: int | None = None) -> str:
    """Return commands that ask hearth, and print these keys of its answer; with the exit status `skip` all that follows is skipped."""
    return ASK % (words, keys, "" if skip is None else f'[ "$status" != {skip} ] || exit {SKIP}\n')


@task.branch
def advised(seen: dict[str, Any]) -> str | None:
    """Follow what the monitor advises."""
    return {"retrain": "retrain", "roll back": "roll_back", "look": "look", "none": None}[seen["advice"]["action"]]


@task.branch
def judged(made: dict[str, Any]) -> str:
    """Promote what is no worse than the champion, and nothing else."""
    return "promote" if made["verdict"] in {"no worse", "no champion"} else "stop"


@task
def look(seen: dict[str, Any]) -> None:
    """Ask a person to look."""
    tell(f"hearth_loop: a person is to look: {seen['advice']['said']}")


with DAG(
    "hearth_loop",
    description="Monitor, retrain, promote, check, roll back",
    doc_md=__doc__,
    schedule=setting("LOOP_SCHEDULE", "@daily"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    params={
        "clone": Param(setting("CLONE"), type="string", description="the clone on the worker that holds the log"),
        "service": Param(
            setting("SERVICE"),
            type="string",
            description="address of the service that takes up releases; empty: the bento is booted",
        ),
        "within_s": Param(
            120.0, type="number", minimum=0, description="seconds within which the service takes up a release"
        ),
        "push": Param(
            setting("PUSH") == "1", type="boolean", description="push the tags of releases to the clone's origin"
        ),
    },
    tags=["hearth"],
) as dag:
    monitor = Hearth(task_id="monitor", commands=asking("monitor", "alarms advice", skip=0), given=CLONE,
                     output_processor=json.loads, outlets=[ALARM], execution_timeout=timedelta(minutes=30))  # fmt: skip
    retrain = Hearth(task_id="retrain", commands=asking("retrain", "verdict reasons as_of branch champion"), given=CLONE,
                     output_processor=json.loads, execution_timeout=timedelta(hours=4))  # fmt: skip
    promote = Hearth(task_id="promote", commands=asking('retrain --as-of "$AS_OF" --promote ${PUSH:+--push}', "verdict reasons promoted", skip=1),
                     given={**CLONE, "AS_OF": SAID % ("retrain", "as_of")}, output_processor=json.loads)  # fmt: skip
    check = Hearth(task_id="check", commands=CHECK, given={**CLONE, "SERVICE": "{{ params.service }}", "WITHIN_S": "{{ params.within_s }}"},
                   execution_timeout=timedelta(minutes=30), retries=1)  # fmt: skip
    undo = Hearth(task_id="undo", commands=UNDO, given={**CLONE, "BEFORE": SAID % ("retrain", "champion")},
                  trigger_rule=TriggerRule.ALL_FAILED)  # fmt: skip
    # Twice would go back two releases, so this one is never retried by itself.
    roll_back = Hearth(task_id="roll_back", commands=ROLL_BACK, given={**CLONE, "REASON": "{{ ti.xcom_pull(task_ids='monitor')['advice']['said'] }}"},
                       retries=0)  # fmt: skip
    stop = EmptyOperator(task_id="stop")
    looked = look(monitor.output)
    verdict = judged(retrain.output)
    monitor >> (follow := advised(monitor.output)) >> [retrain, roll_back, looked]
    retrain >> verdict >> [promote, stop]
    promote >> check >> undo
    alert().set_upstream([monitor, follow, retrain, roll_back, looked, verdict, promote, check, undo])
