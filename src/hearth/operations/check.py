"""Check params.yaml, data/contract.yaml, data/forgotten.txt and data/cards.yaml as a whole, before a stage that runs for a while finds it out."""

import argparse

from hearth.answering import ServiceParams
from hearth.cards import CardWords
from hearth.collecting import CollectParams
from hearth.contract import parse_contract
from hearth.errors import Refusal
from hearth.features import FeatureParams, input_names
from hearth.forgotten import parse_marks
from hearth.gate import GateParams
from hearth.hedonic import HedonicParams
from hearth.leakage import LeakageParams
from hearth.market import MarketParams
from hearth.model import IntervalParams, ModelParams
from hearth.params import SECTIONS, section
from hearth.paths import CARDS, CONTRACT, FORGOTTEN
from hearth.profile import ProfileParams
from hearth.releases import ReleaseParams
from hearth.slices import EvaluateParams
from hearth.sources import opened
from hearth.splitting import SplitParams
from hearth.stages.validate import ValidateParams
from hearth.staleness import RetrainParams
from hearth.storage import read_text, read_yaml
from hearth.strict import Strict, parse
from hearth.tuning import TuneParams, space_of
from hearth.windows import MonitorParams

KINDS: dict[str, type[Strict]] = {
    "collect": CollectParams,
    "validate": ValidateParams,
    "split": SplitParams,
    "features": FeatureParams,
    "hedonic": HedonicParams,
    "market": MarketParams,
    "model": ModelParams,
    "intervals": IntervalParams,
    "leakage": LeakageParams,
    "evaluate": EvaluateParams,
    "gate": GateParams,
    "profile": ProfileParams,
    "service": ServiceParams,
    "releases": ReleaseParams,
    "monitor": MonitorParams,
    "retrain": RetrainParams,
    "tune": TuneParams,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(options: argparse.Namespace) -> int:
    """Say every fault there is, not only the first; return 0 if there is none."""
    faults = []
    for name in SECTIONS:
        try:
            section(name, KINDS[name])
        except Refusal as refusal:
            faults += [line for line in str(refusal).splitlines() if line not in faults]
    try:
        contract = parse_contract(read_yaml(CONTRACT), str(CONTRACT))
        parse_marks(read_text(FORGOTTEN) if FORGOTTEN.is_file() else "", contract, str(FORGOTTEN))
        if not faults:
            collect = section("collect", CollectParams)
            opened(collect.source, collect.options, contract)
            input_names(contract, section("features", FeatureParams))
            space_of(section("tune", TuneParams), section("model", ModelParams))
    except Refusal as refusal:
        faults.append(str(refusal))
    except ValueError as error:
        faults.append(f"params.yaml: {error}.")
    try:
        parse(CardWords, read_yaml(CARDS), str(CARDS))
    except Refusal as refusal:
        faults.append(str(refusal))
    if faults:
        raise Refusal("\n".join(faults))
    return 0
