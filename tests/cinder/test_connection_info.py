# SPDX-License-Identifier: Apache-2.0
"""Connection info is completed as Cinder's own manager completes it."""

from __future__ import annotations

import copy
import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.interface.records import Record  # noqa: E402
from flows.context import Options  # noqa: E402
from flows.volume.connections import connection_info  # noqa: E402
from tests.conformance import cinders  # noqa: E402

ABSENT: Any = object()
IO = "total_iops_sec"
SPECS = [
    None,
    {},
    {IO: "9"},
    {f"{IO}_per_gb": "5"},
    {f"{IO}_per_gb": "5", f"{IO}_per_gb_min": "70"},
    {f"{IO}_per_gb": "5", f"{IO}_max": "30", "read_bytes_sec_max": "1"},
    {"x_per_gb": "5", "write_bytes_sec_per_gb": "2", "write_bytes_sec": "1"},
]
SAID = [ABSENT, None, True, False, 1, ""]


@pytest.fixture(scope="module")
def manager() -> Any:
    cinders.load("cinder.volume.drivers.nfs.NfsDriver")
    from cinder.volume import manager as found

    return found


def assert_same(
    manager: Any,
    monkeypatch: pytest.MonkeyPatch,
    data: dict[str, Any],
    *,
    extra: dict[str, str] | None = None,
    qos: dict[str, Any] | None = None,
    admin: dict[str, str] | None = None,
    key: str | None = None,
    typed: bool = True,
    options: Options | None = None,
) -> None:
    """Both complete the same data in the same way."""
    options = options or Options()
    given = {name: value for name, value in data.items() if value is not ABSENT}
    settings = {
        "report_discard_supported": options.report_discard_supported,
        "disk_geometry": options.disk_geometry,
    }
    common: dict[str, Any] = {"id": "v", "size": 10, "encryption_key_id": key}
    common |= {"volume_type_id": "t" if typed else None, "admin_metadata": admin or {}}
    kinds = manager.volume_types
    monkeypatch.setattr(
        kinds, "get_volume_type_qos_specs", lambda _id: {"qos_specs": copy.deepcopy(qos)}
    )
    monkeypatch.setattr(kinds, "get_volume_type_extra_specs", lambda _id: extra or {})
    driver = SimpleNamespace(configuration=SimpleNamespace(safe_get=settings.get))
    of_cinder = manager.VolumeManager
    service = SimpleNamespace(driver=driver)
    service._set_connection_block_size = of_cinder._set_connection_block_size.__get__(service)
    theirs = of_cinder._parse_connection_options(
        service, None, SimpleNamespace(**common), {"data": copy.deepcopy(given)}
    )["data"]

    kind = Record("volume_type", {"id": "t", "extra_specs": extra or {}}) if typed else None
    ctx: Any = SimpleNamespace(
        options=options, volumes=SimpleNamespace(qos=lambda of: qos if of else None)
    )
    ours = connection_info.complete(
        ctx, Record("volume", {**common, "volume_type": kind}), {}, given
    )

    assert ours.pop("enforce_multipath") is False  # Cinder adds it elsewhere
    assert ours == theirs
    assert {name: type(value) for name, value in ours.items()} == {
        name: type(value) for name, value in theirs.items()
    }


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("spec", ["<is> True", "<is> False", "True", None])
@pytest.mark.parametrize("said", SAID, ids=["absent", *map(repr, SAID[1:])])
def test_cacheable(
    manager: Any, monkeypatch: pytest.MonkeyPatch, said: Any, spec: Any, typed: bool
) -> None:
    extra = {} if spec is None else {"cacheable": spec}

    assert_same(manager, monkeypatch, {"cacheable": said}, extra=extra, typed=typed)


@pytest.mark.parametrize("consumer", ["front-end", "back-end", "both"])
@pytest.mark.parametrize("specs", SPECS, ids=str)
def test_quality_of_service(
    manager: Any, monkeypatch: pytest.MonkeyPatch, specs: Any, consumer: str
) -> None:
    qos = None if specs is None else {"consumer": consumer, "specs": specs}

    assert_same(manager, monkeypatch, {"qos_specs": {"of": "the driver"}}, qos=qos)


@pytest.mark.parametrize("said", SAID, ids=["absent", *map(repr, SAID[1:])])
@pytest.mark.parametrize("key", ["k", None])
def test_encrypted_and_discard(
    manager: Any, monkeypatch: pytest.MonkeyPatch, said: Any, key: str | None
) -> None:
    for reported in (True, False):
        options = Options(report_discard_supported=reported)
        data = {"encrypted": said, "discard": said}
        assert_same(manager, monkeypatch, data, key=key, options=options)


@pytest.mark.parametrize("mode", [ABSENT, "rw"], ids=["absent", "rw"])
@pytest.mark.parametrize(
    "admin", [{}, {"readonly": "True"}, {"readonly": "False"}, {"attached_mode": "ro"}], ids=str
)
def test_access_mode(
    manager: Any, monkeypatch: pytest.MonkeyPatch, admin: dict[str, str], mode: Any
) -> None:
    """A driver's ``ro`` is the exception that docs/compatibility.rst names."""
    assert_same(manager, monkeypatch, {"access_mode": mode}, admin=admin)


@pytest.mark.parametrize("geometry", [None, "512", "512e", "4k"])
@pytest.mark.parametrize("said", [{}, {"physical_block_size": "4096"}], ids=str)
def test_block_sizes(
    manager: Any, monkeypatch: pytest.MonkeyPatch, said: dict[str, str], geometry: Any
) -> None:
    assert_same(manager, monkeypatch, said, options=Options(disk_geometry=geometry))
