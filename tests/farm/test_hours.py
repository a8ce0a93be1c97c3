"""Working hours, as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from farm import hours

MONDAY = datetime(2026, 11, 30)


def at(day: int, time: str) -> datetime:
    """A moment of a week; day 0 is Monday."""
    hour, minute = time.split(":")
    return MONDAY + timedelta(days=day, hours=int(hour), minutes=int(minute))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("20:00-08:00", [(0, "20:00"), (0, "23:59"), (1, "07:59")], [(0, "08:00"), (4, "19:59")]),
        ("09:30-10:00", [(6, "09:30")], [(6, "09:29"), (6, "10:00")]),
        ("weekends", [(5, "00:00"), (6, "23:59")], [(4, "23:59"), (0, "00:00")]),
        ("fri 22:00-06:00", [(4, "22:00"), (5, "05:59")], [(4, "05:00"), (5, "22:00")]),
        ("sun 22:00-06:00", [(0, "05:00")], [(1, "05:00")]),
        ("weekdays 18:00-24:00", [(4, "23:59")], [(5, "18:00"), (4, "17:59")]),
        ("20:00-08:00, Weekends", [(5, "12:00"), (2, "21:00")], [(2, "12:00")]),
    ],
)
def test_spans_begin_with_their_first_minute_and_end_before_their_last(text, inside, outside):
    found = hours.parse(text)

    assert all(found.has(at(*moment)) for moment in inside)
    assert not any(found.has(at(*moment)) for moment in outside)


@pytest.mark.parametrize(
    "text",
    ["20-8", "weekend", "25:00-08:00", "08:00-08:00", "20:00-08:60", "mon tue", "sat,,sun", ","],
)
def test_what_cannot_be_read_is_refused_with_what_can(text):
    with pytest.raises(ValueError, match=r"work_hours \('.*'\): spans such as 20:00-08:00"):
        hours.parse(text)
