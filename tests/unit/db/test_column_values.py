# SPDX-License-Identifier: Apache-2.0
"""Values that a column takes, and the text of a refusal."""

from __future__ import annotations

import datetime

import pytest

from worker.db import models
from worker.db.column_values import checked, is_key

UTC = datetime.UTC
CEST = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("no_such", 1, "there is no such column"),
        ("provider_location", "x" * 257, "takes 256 characters, not 257"),
        ("provider_id", "x" * 256, "takes 255 characters, not 256"),
        ("provider_id", {"a": 1}, "takes text, not dict"),
        ("provider_id", ["a"], "takes text, not list"),
        ("provider_id", True, "takes text, not bool"),
        ("provider_id", b"x", "takes text, not bytes"),
        ("provider_id", "a\0b", "takes no NUL character"),
        ("provider_id", "\ud800", "takes Unicode text only"),
        ("volume_type_id", None, "must have a value"),
        ("use_quota", None, "must have a value"),
        ("size", "5", "takes a whole number, not str"),
        ("size", True, "takes a whole number, not bool"),
        ("size", 1.5, "takes a whole number, not float"),
        ("size", 2**31, "takes a number of 32 bits"),
        ("bootable", "yes", "takes yes or no, not str"),
        ("bootable", 2, "takes yes or no, not int"),
        ("launched_at", "2026-01-01", "takes a time, not str"),
    ],
)
def test_what_does_not_fit_is_refused_by_table_and_column(column, value, text):
    with pytest.raises(ValueError) as caught:
        checked(models.volumes, {column: value})

    assert str(caught.value) == f"volumes.{column}: {text}"


def test_a_refusal_never_shows_the_value():
    with pytest.raises(ValueError) as caught:
        checked(models.volumes, {"provider_auth": "CHAP user secret" * 20})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "kept"),
    [
        ("provider_location", "x" * 256, "x" * 256),
        ("provider_id", 5, "5"),
        ("provider_id", "", ""),
        ("provider_id", None, None),
        ("display_name", "größer 🐘", "größer 🐘"),
        ("size", 2**31 - 1, 2**31 - 1),
        ("bootable", 1, True),
        ("bootable", 0, False),
        ("shared_targets", None, None),
        (
            "launched_at",
            datetime.datetime(2026, 1, 2, 3, 4, 5, 999999),
            datetime.datetime(2026, 1, 2, 3, 4, 5),
        ),
        (
            "launched_at",
            datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=CEST),
            datetime.datetime(2026, 1, 2, 1, 4, 5),
        ),
    ],
)
def test_what_fits_is_kept_as_the_tables_hold_it(column, value, kept):
    assert checked(models.volumes, {column: value}) == {column: kept}


def test_the_time_of_a_work_row_keeps_its_microseconds():
    time = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)

    assert checked(models.workers, {"updated_at": time}) == {"updated_at": time}


@pytest.mark.parametrize(
    ("value", "possible"),
    [
        ("6f1c6c1e-5e7b-4d4e-9f0e-2f6d3d6a7b8c", True),
        ("v1", True),
        ("", False),
        (None, False),
        (5, False),
        ("x" * 37, False),
        ("a\0b", False),
        ("a\nb", False),
        ("\ud800", False),
        ("ü", False),
    ],
)
def test_only_short_plain_text_can_be_an_id(value, possible):
    assert is_key(value) is possible


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\0" * 300, "\ud800", "\U0001f600" * 300])
def test_a_text_for_people_is_shortened_and_never_refused(text):
    for table, column in (
        (models.backups, "fail_reason"),
        (models.services, "disabled_reason"),
        (models.messages, "request_id"),
    ):
        kept = checked(table, {column: text})[column]

        assert 0 < len(kept.encode()) <= 255
        assert "\0" not in kept and max(kept) <= "\uffff"


def test_a_text_without_a_length_has_as_many_bytes_as_mysql_takes():
    table = models.volume_glance_metadata
    assert checked(table, {"value": "é" * 32767})["value"] == "é" * 32767
    with pytest.raises(ValueError, match="volume_glance_metadata.value: takes 65535 bytes"):
        checked(table, {"value": "é" * 32768})
