"""Each request's own filters over the candidates of its image."""

import numpy as np

from workers.engines.base import RawDetections
from workers.letterbox import Placement
from workers.nms import select

WHOLE = Placement(width=640, height=640, gain_x=1.0, gain_y=1.0, left=0, top=0)


def raw(rows: list[tuple[float, float, float, float, float, int]], *, suppressed: bool = False) -> RawDetections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return RawDetections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), WHOLE, suppressed)


def test_overlap_counts_within_a_class_only() -> None:
    rows = raw([(0, 0, 100, 100, 0.9, 0), (5, 5, 100, 100, 0.8, 0), (0, 0, 100, 100, 0.7, 1)])
    found = select(rows, confidence=0.25, iou=0.7, max_det=300)
    assert [(round(float(s), 1), int(c)) for s, c in zip(found.scores, found.class_ids, strict=True)] == [
        (0.9, 0),
        (0.7, 1),
    ]


def test_requests_of_one_batch_may_want_different_overlaps() -> None:
    rows = raw([(0, 0, 100, 100, 0.9, 0), (0, 0, 100, 60, 0.8, 0)])
    assert len(select(rows, confidence=0.25, iou=0.5, max_det=300).scores) == 1
    assert len(select(rows, confidence=0.25, iou=0.7, max_det=300).scores) == 2


def test_an_end_to_end_model_is_not_suppressed_again() -> None:
    rows = raw([(0, 0, 100, 100, 0.9, 0), (0, 0, 100, 100, 0.8, 0)], suppressed=True)
    assert len(select(rows, confidence=0.25, iou=0.1, max_det=300).scores) == 2


def test_confidence_classes_and_number() -> None:
    rows = raw([(i * 10, 0, i * 10 + 5, 5, 0.9 - i / 10, i % 3) for i in range(8)])
    assert select(rows, confidence=0.55, iou=0.7, max_det=300).class_ids.tolist() == [0, 1, 2, 0]
    assert select(rows, confidence=0.05, iou=0.7, max_det=300, classes=[2]).class_ids.tolist() == [2, 2]
    assert select(rows, confidence=0.05, iou=0.7, max_det=3).class_ids.tolist() == [0, 1, 2]


def test_nothing_found_is_an_answer() -> None:
    for suppressed in (True, False):
        assert select(raw([], suppressed=suppressed), confidence=0.25, iou=0.7, max_det=300).boxes.shape == (0, 4)
