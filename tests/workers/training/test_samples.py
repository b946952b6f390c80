"""The shipped catalogue entry: its sample boards are the generator's."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from workers.training.defects import CLASSES
from workers.training.export import CATALOG, SAMPLE_COUNT, write_samples


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return write_samples(tmp_path_factory.mktemp("samples"))


def test_the_sample_boards_are_what_the_generator_draws_today(drawn):
    assert len(drawn) == SAMPLE_COUNT
    for fresh in drawn:
        shipped = CATALOG / "samples" / fresh.name
        assert json.loads(fresh.with_suffix(".json").read_text()) == json.loads(
            shipped.with_suffix(".json").read_text()
        )
        difference = np.abs(cv2.imread(str(fresh)).astype(int) - cv2.imread(str(shipped)).astype(int))
        assert difference.mean() < 1.0


def test_the_sample_boards_are_small_and_show_every_defect_and_a_faultless_board():
    truths = [json.loads(path.read_text()) for path in sorted((CATALOG / "samples").glob("*.json"))]
    assert {row["class_name"] for truth in truths for row in truth} == set(CLASSES)
    assert [] in truths
    assert all(path.stat().st_size < 300_000 for path in (CATALOG / "samples").glob("*.jpg"))
