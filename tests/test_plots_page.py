"""Draw `dvc plots diff` without a network: the page carries its library (tools/plots_page.py)."""

import re
from pathlib import Path

import pytest
import yaml
from conftest import Checkout, copy_project
from playwright.sync_api import Browser
from test_page_browser import browser  # noqa: F401 -- the fixture

TABLE = "metrics/plots/by_week.csv"
FETCHED = re.compile(r'(?:src|href)="(https?:[^"]+)"')


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a clone in which one week's error is another than in its commit."""
    checkout = copy_project(tmp_path_factory.mktemp("plots") / "project")
    checkout.run("python", "tools/plots_page.py")
    path = checkout.root / TABLE
    path.write_text(re.sub(r",0\.0\d+,", ",0.1,", path.read_text(), count=1))
    return checkout


def page(checkout: Checkout) -> Path:
    checkout.run("dvc", "plots", "diff", "HEAD")
    return checkout.root / "dvc_plots/index.html"


def test_the_page_fetches_nothing_and_draws_all(project: Checkout, browser: Browser) -> None:  # noqa: F811
    file = page(project)
    assert FETCHED.findall(file.read_text()) == []
    assert project.run("git", "status", "--porcelain").stdout.split() == ["M", TABLE], "the page is no file of git's"
    context = browser.new_context(offline=True)
    shown, errors, addresses = context.new_page(), [], []
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.on("request", lambda request: addresses.append(request.url))
    shown.goto(file.as_uri())
    declared = yaml.safe_load((project.root / "dvc.yaml").read_text())["plots"]
    wanted = sum(isinstance(plot, dict) for plot in declared)  # the others are pictures
    shown.wait_for_function(
        "wanted => document.querySelectorAll('.chart-wrapper > :is(svg, canvas)').length === wanted", arg=wanted
    )
    context.close()
    assert errors == []
    assert {address for address in addresses if not address.startswith(("file:", "data:,"))} == set()


def test_the_page_of_dvc_itself_would_fetch(project: Checkout) -> None:
    """Otherwise the check above could not fail."""
    project.run("dvc", "config", "--unset", "plots.html_template")
    fetched = FETCHED.findall(page(project).read_text())
    project.run("git", "checkout", "--quiet", "--", ".dvc/config")
    assert any("vega" in address for address in fetched)
