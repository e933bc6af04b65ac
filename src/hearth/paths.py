"""Name every file of the project once, relative to its top folder."""

from pathlib import Path

PARAMS = Path("params.yaml")
CONTRACT = Path("data/contract.yaml")
RAW = Path("data/raw/sales.parquet")
VALIDATED = Path("data/validated/sales.parquet")
QUARANTINE = Path("data/validated/quarantine.parquet")
TRAIN = Path("data/prepared/train.parquet")
TEST = Path("data/prepared/test.parquet")
EVALUATED_MODEL = Path("models/evaluated")
MODEL = Path("models/model")
PREDICTIONS = Path("models/predictions.parquet")
PROFILE = Path("models/profile.json")
BENTO = Path("models/house_prices.bento")
METRICS = Path("metrics/metrics.json")
GATE = Path("metrics/gate.json")
SLICES = Path("metrics/slices.csv")
PLOTS = Path("metrics/plots")
LOCK = Path("requirements.lock")
SERVE_LOCK = Path("requirements-serve.lock")
DICTIONARY = Path("docs/data.md")
README = Path("README.md")
