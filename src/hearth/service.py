"""Make the bento's service from a release: BentoML's for docs, health and metrics, with the front before it."""

import contextlib
import ctypes
import gc
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bentoml
from _bentoml_sdk import Service  # no public name yet; `service_class=` is public, and a test imports this
from bentoml.exceptions import InvalidArgument, ServiceUnavailable
from pydantic import BaseModel

from hearth.answering import Answers, BadRequestError, ServiceParams
from hearth.counters import Counters
from hearth.errors import Refusal
from hearth.front import App, Desk, Front
from hearth.impatience import be_impatient
from hearth.journal import LOG_DIR, Journal
from hearth.log_lines import OUTCOMES
from hearth.native import native
from hearth.openapi import described
from hearth.prediction_log import PredictionLog
from hearth.release import MANIFEST, open_release
from hearth.shadow import SHADOW, SHADOW_SIGNATURE, Shadow
from hearth.static import Static
from hearth.storage import read_bytes, read_folder, read_json, read_text
from hearth.strict import parse

ABOUT, PAGE, CARD = "about.json", "page", "model_card.md"
ROUTES = ("/predict", "/predict_batch", "/explain", "/feedback")
TOKEN = "HEARTH_TOKEN"  # noqa: S105 -- the name of the variable, no token
TOKEN_LENGTH_MIN = 16
PUBLIC_KEY, SIGNATURE = "HEARTH_PUBLIC_KEY", "HEARTH_SIGNATURE"  # each the name of a file
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


class Part(BaseModel):
    """Be what some columns add to the typical price: in the target's unit, and as a factor in percent."""

    columns: list[str]
    amount: float
    percent: float
    standard_error: float


class ExplainedAnswer(Answer):
    """Be the answer for one house with its explanation: base and all amounts add up to the price before rounding."""

    level: float
    unit: str
    typical: dict[str, Any]
    base: float
    contributions: list[Part]


class Stored(BaseModel):
    """Be the receipt of an outcome."""

    prediction_id: str
    price: float
    stored: bool


class FrontedService(Service[Any]):
    """Be BentoML's service with a front before its application."""

    def to_asgi(self, is_main: bool = True) -> App:
        """Return the application that the server runs."""
        return Front(super().to_asgi(is_main=is_main), self._desk(), self.inner.page)

    def _desk(self) -> Desk:
        made = self.inner
        facts = made.answers.release.facts
        columns = [*facts.ranges, made.answers.contract.time.name]
        counted = Counters(bentoml.metrics, made.answers.release.manifest.model_version, str(facts.as_of), columns)
        document = described(json.loads(json.dumps(self.openapi_spec.asdict())), ROUTES)  # statuses as texts
        shadow = _shadow(made.answers, made.log)
        if made.log is not None:
            made.log.counters = counted
            made.log.start()
        return Desk(made.answers, counted, made.outcomes, made.token, document, made.log, shadow)


def house_prices(folder: Path) -> Service[Any]:
    """Return the service of the release in `folder`/model, once its files are verified and its golden answers right.

    That happens on import: a bento that must not be served ends its server at once, where a failure in the worker's
    start-up would be tried again and again.
    """
    opened = open_answers(folder)
    house, outcome = opened.house, opened.outcome
    kept, written, secret, files = _outcomes(), _log(opened), _token(), Static(read_folder(folder / PAGE))
    opened.listener = written
    be_impatient(opened.params.body_seconds_max)

    @bentoml.service(
        name="house_prices",
        service_class=FrontedService,
        workers=1,
        traffic={"timeout": 10},
        http={"host": "127.0.0.1"},
    )  # BentoML's own default is every interface; BENTOML_HOST says otherwise
    class HousePrices:
        """Price houses, explain prices, take outcomes. All routes take JSON; see the fields below."""

        answers, outcomes, log, token, page = opened, kept, written, secret, files

        @bentoml.api
        async def predict(self, house: house, /) -> Answer:  # type: ignore[valid-type]
            """Return the price of one house with its interval."""
            return Answer(**_declared(self.answers.predict, _json(house)))

        @bentoml.api
        async def predict_batch(self, houses: list[house]) -> BatchAnswer:  # type: ignore[valid-type]
            """Return the prices of many houses, in their order."""
            body = b'{"houses":[' + b",".join(map(_json, houses)) + b"]}"
            return BatchAnswer(**_declared(self.answers.predict_batch, body))

        @bentoml.api
        async def explain(self, house: house, /) -> ExplainedAnswer:  # type: ignore[valid-type]
            """Return the price of one house, and what each column adds to the price of a typical one."""
            return ExplainedAnswer(**_declared(self.answers.explain, _json(house)))

        @bentoml.api
        async def feedback(self, outcome: outcome, /) -> Stored:  # type: ignore[valid-type]
            """Store what a house that was priced really sold for."""
            entry = _declared(self.answers.feedback, _json(outcome))
            if self.outcomes is None:
                raise ServiceUnavailable(f"outcomes are not kept here; {LOG_DIR} is not set")
            self.outcomes.append(entry)
            return Stored(**entry, stored=True)

    return HousePrices


def _check_signature(manifest: bytes, named: str = SIGNATURE) -> None:
    """Refuse a manifest without a good signature where a public key is named, before anything parses it."""
    if public := os.environ.get(PUBLIC_KEY):
        if not (signature := os.environ.get(named)):
            raise Refusal(f"{PUBLIC_KEY} asks for a signed model, and {named} names no signature; set it to its file.")
        from hearth.signing import check  # only where it is asked for: it loads a large library

        check(manifest, read_bytes(Path(signature)), read_bytes(Path(public)), "the model's manifest")


def _declared(answer: Callable[[bytes], dict[str, Any]], body: bytes) -> dict[str, Any]:
    """Return the front's answer to a body that a declared route was given, or its refusal as BentoML knows one."""
    try:
        return answer(body)
    except BadRequestError as bad:
        raise InvalidArgument(json.dumps(bad.body)) from None


def _json(one: BaseModel) -> bytes:
    return one.model_dump_json().encode()


def _token() -> str | None:
    """Return the token that callers have to send; refuse one that is no protection."""
    token = os.environ.get(TOKEN)
    if token is not None and len(token.strip()) < TOKEN_LENGTH_MIN:
        raise Refusal(f"{TOKEN} has {len(token.strip())} characters, wanted at least {TOKEN_LENGTH_MIN}; set a longer one, "
                      "or none at all to serve without.")  # fmt: skip
    return None if token is None else token.strip()


def _outcomes() -> Journal | None:
    """Return where outcomes are kept, if the one who starts the service says so; the bento's own folder is no place."""
    folder = os.environ.get(LOG_DIR)
    return Journal(Path(folder), OUTCOMES) if folder else None


def _log(answers: Answers) -> PredictionLog | None:
    folder = os.environ.get(LOG_DIR)
    return PredictionLog(Path(folder), answers.params.log) if folder else None


def _shadow(answers: Answers, log: PredictionLog | None) -> dict[str, Any] | None:
    """Let a candidate answer beside the served model, if one is named; return what is told of it.

    One that cannot be opened stops nothing.
    """
    if not (folder := os.environ.get(SHADOW)):
        return None
    try:
        if log is None:
            raise Refusal(f"a shadow's answers go to the log, and {LOG_DIR} is not set; set it to a folder.")
        files = read_folder(Path(folder))
        _check_signature(files.get(MANIFEST, b""), SHADOW_SIGNATURE)
        log.shadow = Shadow(open_release(files, "the shadow", native()), answers.contract)
        return {"model_version": log.shadow.model_version}
    except Exception as error:  # a candidate may be broken in any way
        said = str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
        print(f"warning: served without a shadow: {said}", file=sys.stderr, flush=True)
        return {"error": said.replace(folder, "its folder")}  # which is nobody else's business


def open_answers(folder: Path) -> Answers:
    """Return what answers requests; refuse a model that answers the packaged golden requests differently."""
    model, about = folder / "model", read_json(folder / ABOUT)
    files = read_folder(model)
    _check_signature(files.get(MANIFEST, b""))
    fast = native()
    release = open_release(files, model.name, fast)
    # The commit cannot stand in the bento, whose hash the commit holds; who deploys it says it.
    told = {"metrics": about["metrics"], "gate": about["gate"], "card": read_text(folder / CARD),
            "computed_by": "native" if fast else "numpy", "git_commit": os.environ.get("HEARTH_GIT_COMMIT")}  # fmt: skip
    answers = Answers(release, parse(ServiceParams, about["service"], f"{ABOUT}: service"), told, about["typical"])
    for case in about["golden"]:
        answer = answers.predict(case["request"].encode())
        for key, wanted in case["answer"].items():
            if not math.isclose(answer[key], wanted, rel_tol=GOLDEN):
                raise Refusal(
                    f"the model answers {key} {answer[key]} where {wanted} was packaged; do not serve it on this machine."
                )
    _give_back()
    return answers


def _give_back() -> None:
    """Return to the system what opening the model took for a while: 20 MB in each process, which glibc would keep."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, another C library
        ctypes.CDLL(None).malloc_trim(0)
