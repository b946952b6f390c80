"""The training command: stages follow one another, and what is finished is not done again."""

from __future__ import annotations

import pytest

from workers.training.dataset import write_dataset
from workers.training.defects import CLASSES
from workers.training.train import Recipe, Stage, train

ultralytics = pytest.importorskip("ultralytics")
torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.slow]

TINY = Recipe(
    batch=2,
    threads=1,
    stages=(
        Stage("first", img_size=64, spread=0.0, epochs=5, stop_after=1, share=1.0, learning_rate=0.002),
        Stage("second", img_size=96, spread=1 / 3, epochs=1, stop_after=1, share=0.5, learning_rate=0.001),
    ),
)


def test_the_second_stage_goes_on_from_the_first_and_a_finished_training_is_kept(tmp_path):
    data = write_dataset(tmp_path / "data", {"train": 4, "val": 2, "test": 0}, processes=1)
    weights = train(data, tmp_path / "train", TINY)

    model = ultralytics.YOLO(str(weights))
    assert list(model.names.values()) == list(CLASSES)
    assert weights.stat().st_size < 6_000_000

    first = ultralytics.YOLO(str(tmp_path / "train" / "first.pt")).model.state_dict()
    for name, tensor in model.model.state_dict().items():
        if name.endswith("conv.weight"):
            # A step or two away, where other random weights would be far.
            assert torch.nn.functional.cosine_similarity(tensor.flatten(), first[name].flatten(), dim=0) > 0.9

    written = weights.stat().st_mtime_ns
    assert train(data, tmp_path / "train", TINY, resume=True) == weights
    assert weights.stat().st_mtime_ns == written
