"""Hold the champion's bento to what was released: its bytes, its model, and its golden answers, once it has booted.

With --url, ask a service that runs instead, whether it is ready with the champion's model; no house is priced, so its log stays as it is.
Exit status 0: it does, 1: it does not.
"""

import argparse
import http.client
import json
import time
import urllib.request

from hearth.errors import Refusal
from hearth.params import section
from hearth.paths import MODEL
from hearth.pricing import fit
from hearth.promotion import check_bento
from hearth.registry import fetch, releases
from hearth.releases import ReleaseParams
from hearth.revisions import Commit

PAUSE_S = 1.0
ANSWER_WITHIN_S = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the service, and how long it may take to change its model."""
    parser.add_argument(
        "--url", help="address of the service to ask, such as http://127.0.0.1:3000 (without it: boot the bento)"
    )
    parser.add_argument(
        "--within",
        type=float,
        default=120,
        metavar="SECONDS",
        help="with --url: how long it may take to take up the champion (120)",
    )


def run(options: argparse.Namespace) -> int:
    """Check, and say what was found."""
    known = releases(section("releases", ReleaseParams).environment)
    if (champion := known.champion) is None:
        raise Refusal(
            f"nothing is released in {known.environment}, so there is nothing to check; `hearth promote` releases HEAD."
        )
    model = fit(Commit(champion.version, champion.commit), MODEL)
    if options.url:
        _ask(options.url, champion.version, model.version, options.within)
        print(f"{options.url} serves {champion.version}: model {model.version}")
        return 0
    content = fetch(champion)
    try:
        check_bento(content, model)
    except (OSError, http.client.HTTPException) as error:
        raise Refusal(f"the bento of {champion.version} booted, but does not answer ({error}).") from None
    print(f"{champion.version} boots and gives its golden answers: {len(content):,} bytes, as they were released")
    return 0


def _ask(url: str, version: str, wanted: str, within_s: float) -> None:
    """Wait until a service is ready with the model of this version; refuse when the time is over."""
    end = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(f"{url.rstrip('/')}/readyz", timeout=ANSWER_WITHIN_S) as answer:  # noqa: S310 -- the user names it
                found = str(json.load(answer)["model_version"])
            if found == wanted:
                return
            said = f"serves the model {found}, wanted {wanted} of {version}"
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            said = f"gives no good answer at /readyz ({error})"
        if time.monotonic() > end:
            raise Refusal(f"{url} {said}, after {within_s:g} s; look at its log, or `hearth rollback`.")
        time.sleep(PAUSE_S)
