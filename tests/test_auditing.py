"""Test that what stages opened is held to what they declare; tests/test_pipeline.py does it with the real ones."""

from hearth.auditing import Deeds, deeds_of, undeclared, undone
from hearth.locks import Stage

TRAIN = Stage("train", "python train.py", ("data", "train.py"), ("models/model",), ("model",))


def test_the_logs_of_all_processes_of_a_stage_count_together() -> None:
    logs = [
        "train\nread train.py\nparams model\nwrite models/model/.a.json.partial\n",
        "train\nread data/x.csv\nread .venv/lib/x.py\nread .dvc/cache/ab\nread dvc.lock\nread params.yaml\n",
        "other\n",
    ]
    assert deeds_of(logs) == {
        "train": Deeds(reads={"train.py", "data/x.csv"}, writes={"models/model/a.json"}, params={"model"}),
        "other": Deeds(),
    }


def test_a_stage_that_keeps_to_its_words_has_no_fault() -> None:
    deeds = {
        "train": Deeds(reads={"data/x.csv", "train.py", "models/model/a"}, writes={"models/model/a"}, params={"model"})
    }
    assert undeclared([TRAIN], deeds) == []
    assert undone([TRAIN], deeds) == []


def test_each_deed_that_is_not_declared_is_named_and_so_is_each_word_that_is_not_kept() -> None:
    deeds = {"train": Deeds(reads={"database", "x.py"}, writes={"models/model.txt"}, params={"gate"})}
    assert undeclared([TRAIN], deeds) == [
        "stage train reads database, which dvc.yaml does not say",
        "stage train reads x.py, which dvc.yaml does not say",
        "stage train writes models/model.txt, which dvc.yaml does not say",
        "stage train params gate, which dvc.yaml does not say",
    ]
    assert undone([TRAIN], deeds) == [
        f"stage train does not do what dvc.yaml says: {deed}"
        for deed in ("reads data", "reads train.py", "writes models/model", "params model")
    ]
    assert undeclared([TRAIN], {}) == []
