"""Be what both DAGs share: the operator that calls the project's own `hearth`, where its secrets come from, and the alert.

Only Airflow and the standard library are loaded here: the project with its libraries is an environment of its own, on the
worker, whose programs are in the folder that the worker's environment names as HEARTH_BIN.
"""

import json
import logging
import os
import urllib.request
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, Connection, TriggerRule, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

SOURCE = Asset("hearth_source", "hearth://house-prices/source")  # there is new data: somebody else's event
BENTO = Asset("hearth_bento", "hearth://house-prices/bento")  # the whole road of a commit is on the remote
ALARM = Asset("hearth_alarm", "hearth://house-prices/alarm")  # the monitor saw something

STORE, WEBHOOK = "hearth_store", "hearth_alert"  # connections; without them the worker's environment is asked
POST_WITHIN_S = 10
WRONG_USE = 2  # hearth's exit status of what another try would not mend

# Airflow's supervisor gives bash a socket for its standard input, for which Debian's bash reads ~/.bashrc, and that may set
# PATH anew; so PATH is set within the command, where it holds.
PATH = 'export PATH="${HEARTH_BIN:+$HEARTH_BIN:}$PATH"\n'


def setting(name: str, default: str = "") -> str:
    """Return a value that whoever runs Airflow may set, from the environment of what reads the DAG files."""
    return os.environ.get(f"HEARTH_{name}") or default


# What every task has. A retry is safe: hearth hands over last, and takes up what is there.
DEFAULTS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=float(setting("RETRY_SECONDS", "60"))),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=15),
    "execution_timeout": timedelta(hours=2),
    "pool": setting("POOL", "default_pool"),
}


class Hearth(BashOperator):
    """Run commands by the project's programs; what is wrong use fails at once, without a retry.

    `given` are values for the commands' environment, templated. They are no part of the commands' text, so that none of them
    can be taken for a command. Secrets are added when the task runs, and are in no rendered field.
    """

    def __init__(self, *, commands: str, given: dict[str, str], **more: Any) -> None:
        """Put the values into the environment that the worker has."""
        super().__init__(bash_command=PATH + commands, env=given, append_env=True, **more)

    def get_env(self, context: Any) -> dict[str, str]:
        """Return the worker's environment, the values, and the keys of the store."""
        return {**super().get_env(context), **secrets()}

    def execute(self, context: Any) -> Any:
        """Run the commands."""
        try:
            return super().execute(context)
        except AirflowException:
            process = self.subprocess_hook.sub_process
            if process is not None and process.returncode == WRONG_USE:
                raise AirflowFailException(
                    "this would fail again, so it is not retried; what it said stands above"
                ) from None
            raise


def secrets() -> dict[str, str]:
    """Return the store's address and keys, if a connection holds them; else those of the environment count."""
    if (known := connection(STORE)) is None:
        return {}
    extra = known.extra_dejson
    found = {
        "AWS_ACCESS_KEY_ID": known.login,
        "AWS_SECRET_ACCESS_KEY": known.password,
        "AWS_ENDPOINT_URL": extra.get("endpoint"),
        "AWS_REGION": extra.get("region"),
    }
    return {name: value for name, value in found.items() if value}


def connection(name: str) -> Any:
    """Return one of Airflow's connections; None where there is none of this name."""
    try:
        return Connection.get(name)
    except AirflowNotFoundException:
        return None


def tell(text: str) -> None:
    """Write into the task's log, and post to the webhook if one is set: the connection's password, or HEARTH_ALERT_URL."""
    log = logging.getLogger(__name__)
    log.error(text)
    known = connection(WEBHOOK)
    url = known.password if known is not None else os.environ.get("HEARTH_ALERT_URL")
    if not url:
        log.info("no webhook is set (the connection %s, or HEARTH_ALERT_URL), so it stands in this log only", WEBHOOK)
        return
    request = urllib.request.Request(url, json.dumps({"text": text}).encode(), {"content-type": "application/json"})  # noqa: S310 -- whoever runs Airflow sets it
    try:
        with urllib.request.urlopen(request, timeout=POST_WITHIN_S) as answer:  # noqa: S310
            log.info("the webhook answered %s", answer.status)
    except (OSError, ValueError) as error:
        log.error(
            "the webhook did not take it: %s", type(error).__name__
        )  # its address is a secret, and may stand in the error


@task(trigger_rule=TriggerRule.ONE_FAILED, retries=0)
def alert(**context: Any) -> None:
    """Tell which tasks of the run failed, and fail, so that the run is red whatever else was put right."""
    run = context["dag_run"]
    states = context["ti"].get_task_states(dag_id=run.dag_id, run_ids=[run.run_id])[run.run_id]
    failed = sorted(name for name, state in states.items() if state == "failed")
    text = f"{run.dag_id}, run {run.run_id}: failed: {', '.join(failed)}"
    tell(text)
    raise AirflowFailException(text)
