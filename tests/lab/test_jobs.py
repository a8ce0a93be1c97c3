"""What tells that a farm kept its promises does tell when it did not."""

from __future__ import annotations

from tests.lab.jobs import counting, differing, made_again


def test_a_product_that_is_lost_doubled_or_changed_is_noticed(tmp_path):
    for name in ("count-000000.txt", "count-000001.txt", "count-000002.txt", "work.log"):
        (tmp_path / name).write_text("good-00000\n")
    expected = counting(3, 0.0).left(tmp_path)
    assert sorted(expected) == ["count-000000.txt", "count-000001.txt", "count-000002.txt"]

    (tmp_path / "count-000000.txt").unlink()
    (tmp_path / "count-000001.txt").write_text("good-00000\ngood-00000\n")
    (tmp_path / "count-000003.txt").write_text("good-00000\n")

    left = counting(3, 0.0).left(tmp_path)
    assert differing(expected, expected) == []
    assert differing(expected, left) == [
        "count-000000.txt",
        "count-000001.txt",
        "count-000003.txt",
    ]


def test_what_was_worked_on_twice_is_counted(tmp_path):
    (tmp_path / "work.log").write_text("good-1 7\ngood-2 7\ngood-1 8\n")

    assert made_again(tmp_path) == 1
