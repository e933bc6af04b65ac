"""Make the bento's service from a release: BentoML's for docs, health and metrics, with the front before it."""

import math
import os
from pathlib import Path
from typing import Any

import bentoml
from _bentoml_sdk import Service  # no public name yet; `service_class=` is public, and a test imports this
from pydantic import BaseModel

from hearth.answering import Answers, ServiceParams
from hearth.errors import Refusal
from hearth.front import App, Front
from hearth.release import open_release
from hearth.storage import read_folder, read_json
from hearth.strict import parse

ABOUT = "about.json"
GOLDEN = 1e-5  # relative; another kind of processor may move the last digit of a rounded price, and no more


class Answer(BaseModel):
    """Be the answer for one house; money in the target's unit."""

    prediction_id: str
    price: float
    low: float
    high: float
    model_version: str
    warnings: list[str]


class BatchAnswer(BaseModel):
    """Be the answers for a batch, in its order."""

    predictions: list[Answer]


class FrontedService(Service[Any]):
    """Be BentoML's service with a front before its application."""

    def to_asgi(self, is_main: bool = True) -> App:
        """Return the application that the server runs."""
        return Front(super().to_asgi(is_main=is_main), lambda: self.inner.answers)


def house_prices(folder: Path) -> Service[Any]:
    """Return the service of the release in `folder`/model, once its files are verified and its golden answers right.

    That happens on import: a bento that must not be served ends its server at once, where a failure in the worker's
    start-up would be tried again and again.
    """
    opened = open_answers(folder)
    house = opened.house

    @bentoml.service(name="house_prices", service_class=FrontedService, workers=1, traffic={"timeout": 10})
    class HousePrices:
        """Price houses. `/predict` and `/predict_batch` take JSON; see the fields below."""

        answers = opened

        @bentoml.api
        async def predict(self, house: house, /) -> Answer:  # type: ignore[valid-type]
            """Return the price of one house with its interval."""
            return Answer(**self.answers.predict(house.model_dump_json().encode()))  # type: ignore[attr-defined]

        @bentoml.api
        async def predict_batch(self, houses: list[house]) -> BatchAnswer:  # type: ignore[valid-type]
            """Return the prices of many houses, in their order."""
            body = b'{"houses":[' + b",".join(one.model_dump_json().encode() for one in houses) + b"]}"  # type: ignore[attr-defined]
            return BatchAnswer(**self.answers.predict_batch(body))

    return HousePrices


def open_answers(folder: Path) -> Answers:
    """Return what answers requests; refuse a model that answers the packaged golden requests differently."""
    model, about = folder / "model", read_json(folder / ABOUT)
    release = open_release(read_folder(model), model.name)
    # The commit cannot stand in the bento, whose hash the commit holds; who deploys it says it.
    told = {"metrics": about["metrics"], "gate": about["gate"], "git_commit": os.environ.get("HEARTH_GIT_COMMIT")}
    answers = Answers(release, parse(ServiceParams, about["service"], f"{ABOUT}: service"), told)
    for case in about["golden"]:
        answer = answers.predict(case["request"].encode())
        for key, wanted in case["answer"].items():
            if not math.isclose(answer[key], wanted, rel_tol=GOLDEN):
                raise Refusal(
                    f"the model answers {key} {answer[key]} where {wanted} was packaged; do not serve it on this machine."
                )
    return answers
