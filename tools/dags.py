"""Draw the DAGs of orchestration/airflow as Mermaid into docs/orchestration.md, from what Airflow makes of the files.

Run it by Airflow's own Python: `.venv-airflow/bin/python tools/dags.py`. --check writes nothing; exit status 1 where the drawing is stale.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs/orchestration.md"
FOR_ALL = "alert"


def drawn(dag: Any) -> str:
    """Return a DAG: its tasks and what they wait for, the events that start it, and those that it sends."""
    lines = ["flowchart LR"]
    for asset in getattr(getattr(dag.timetable, "asset_condition", None), "objects", ()):
        lines += [f"  {asset.name}([{asset.uri}]) --> {root.task_id}" for root in dag.roots if root.task_id != FOR_ALL]
    for task in dag.topological_sort():
        if task.task_id == FOR_ALL:
            continue
        lines.append(f"  {task.task_id}[{task.label}]")
        word = "" if task.trigger_rule.value == "all_success" else f"|{task.trigger_rule.value}|".replace("_", " ")
        lines += [f"  {before} -->{word} {task.task_id}" for before in sorted(task.upstream_task_ids)]
        lines += [f"  {task.task_id} --> {asset.name}([{asset.uri}])" for asset in task.outlets]
    every = "every task that fails"
    return "\n".join([*lines, f"  any({every}) -.-> {FOR_ALL}[{FOR_ALL}]"])


def main() -> int:
    """Write the page, or compare it."""
    with tempfile.TemporaryDirectory(prefix="hearth-dags-") as home:
        os.environ["AIRFLOW_HOME"] = home  # Airflow writes its settings there when it is loaded
        return _main()


def _main() -> int:
    sys.path.insert(0, str(PROJECT / "orchestration/airflow"))
    from hearth_loop import dag as loop
    from hearth_road import dag as road

    text = PAGE.read_text(encoding="utf-8")
    wanted = text
    for dag in (road, loop):
        block = f"<!-- {dag.dag_id}: made by tools/dags.py -->\n```mermaid\n{drawn(dag)}\n```\n"
        wanted, count = re.subn(
            rf"<!-- {dag.dag_id}: .*? -->\n```mermaid\n.*?\n```\n", lambda _, new=block: new, wanted, flags=re.DOTALL
        )
        if count != 1:
            print(f"error: {PAGE.name} has {count} places for {dag.dag_id}, wanted one.", file=sys.stderr)
            return 2
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print(f"docs/{PAGE.name} is stale; `.venv-airflow/bin/python tools/dags.py` draws it anew.")
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
