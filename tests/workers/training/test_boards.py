"""The board generator: repeatable, and its boxes say exactly where a board was spoiled."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from workers.training.boards import MOST_DEFECTS, draw_board
from workers.training.camera import PICTURE_SIZE
from workers.training.dataset import HELD_OUT_SEED, SAMPLE_SEED, SPLITS, TRAIN_SEED
from workers.training.defects import CLASSES
from workers.training.layout import draw_layout

SEED = 9


@pytest.fixture(scope="module")
def boards():
    return [draw_board(SEED, index) for index in range(24)]


def test_the_same_seed_and_index_give_the_same_bytes(boards):
    again = draw_board(SEED, 3)
    assert again.picture.tobytes() == boards[3].picture.tobytes()
    assert again.boxes == boards[3].boxes


def test_another_seed_or_index_gives_another_board(boards):
    assert not np.array_equal(boards[0].picture, boards[1].picture)
    assert not np.array_equal(boards[0].picture, draw_board(SEED + 1, 0).picture)


def test_a_picture_is_a_colour_image_of_the_stated_size(boards):
    assert all(b.picture.shape == (PICTURE_SIZE, PICTURE_SIZE, 3) and b.picture.dtype == np.uint8 for b in boards)


def test_every_box_lies_inside_the_picture_and_has_a_sensible_size(boards):
    for box in (box for board in boards for box in board.boxes):
        x1, y1, x2, y2 = box.bbox
        assert 0 <= x1 < x2 <= PICTURE_SIZE
        assert 0 <= y1 < y2 <= PICTURE_SIZE
        assert 20 <= x2 - x1 <= 80
        assert 20 <= y2 - y1 <= 80
        assert box.class_name == CLASSES[box.class_id]


def test_every_kind_occurs_and_some_boards_are_faultless(boards):
    kinds = Counter(box.class_name for board in boards for box in board.boxes)
    assert set(kinds) == set(CLASSES)
    assert max(kinds.values()) < 3 * min(kinds.values())
    assert any(not draw_board(SEED, index).boxes for index in range(24, 60))
    assert max(len(board.boxes) for board in boards) <= MOST_DEFECTS


@pytest.mark.parametrize("index", range(6))
def test_boxes_cover_every_changed_pixel_and_nothing_else_changed(boards, index):
    board, clean = boards[index], draw_board(SEED, index, faultless=True)
    assert clean.boxes == ()
    difference = np.abs(board.picture.astype(int) - clean.picture.astype(int)).max(axis=2)
    changed = difference > 24
    outside = changed.copy()
    for box in board.boxes:
        x1, y1, x2, y2 = (round(v) for v in box.bbox)
        assert changed[y1:y2, x1:x2].sum() >= 25, box
        outside[y1:y2, x1:x2] = False
    assert outside.sum() == 0


def test_defects_of_one_board_do_not_overlap(boards):
    for board in boards:
        for i, a in enumerate(board.boxes):
            for b in board.boxes[:i]:
                apart_x = a.bbox[2] <= b.bbox[0] or b.bbox[2] <= a.bbox[0]
                apart_y = a.bbox[3] <= b.bbox[1] or b.bbox[3] <= a.bbox[1]
                assert apart_x or apart_y


def test_tracks_run_straight_or_at_45_degrees():
    layout = draw_layout(np.random.default_rng(SEED))
    assert len(layout.tracks) > 5
    for track in layout.tracks:
        for (ax, ay), (bx, by) in zip(track.points, track.points[1:], strict=False):
            dx, dy = abs(bx - ax), abs(by - ay)
            assert min(dx, dy) < 1e-6 or abs(dx - dy) < 1e-6


def test_the_series_of_the_splits_and_the_samples_never_meet():
    seeds = [seed for seed, _ in SPLITS.values()] + [SAMPLE_SEED]
    assert len(set(seeds)) == len(seeds)
    assert SPLITS["test"] == (HELD_OUT_SEED, 300)
    assert SPLITS["train"][0] == TRAIN_SEED
