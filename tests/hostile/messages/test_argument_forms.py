# SPDX-License-Identifier: Apache-2.0
"""Arguments that have a form are refused in another one, and kept as rejected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dispatchers import backup_dispatcher, volume_dispatcher
from tests.length import examples
from tests.unit.rpc.samples import load
from worker.rpc.dispatch import BadArguments, Dispatcher
from worker.rpc.received import argument_forms

VOLUME = "9bec70da-a51a-40a2-8c1b-0750833da930"
OBJECT = {"versioned_object.name": "Volume", "versioned_object.data": {"id": VOLUME}}
PATHS = ("../../etc/shadow", "-rf", "--image-opts", "/dev/sda", "a\nb", "\x1b[2J", "x" * 37, ["a"])

IMAGE = ("copy_volume_to_image", {"volume_id": VOLUME})
RETYPE = ("retype", {"volume": OBJECT, "new_type_id": VOLUME, "host": {"host": "a@b#c"}})
ATTACH = (
    "attach_volume",
    {
        "volume_id": VOLUME,
        "instance_uuid": None,
        "host_name": None,
        "mountpoint": "/dev/vdb",
        "mode": "rw",
    },
)


@pytest.fixture(scope="module")
def dispatcher() -> Dispatcher:
    return volume_dispatcher()


def refused(dispatcher: Dispatcher, method: str, args: dict[str, Any], **others: Any) -> None:
    """Require that a message is an operation, and none with these arguments."""
    valid = {"image_meta": {"id": VOLUME}} if method == IMAGE[0] else {}
    message = {"method": method, "version": "3.20", "args": {**args, **valid}}
    assert dispatcher.dispatch(message, {})
    with pytest.raises(BadArguments, match=next(iter(others))):
        dispatcher.dispatch({**message, "args": {**args, **valid, **others}}, {})


@pytest.mark.parametrize("path", PATHS, ids=repr)
class TestIds:
    def test_of_an_image(self, dispatcher: Dispatcher, path: Any) -> None:
        refused(dispatcher, *IMAGE, image_meta={"id": path})

    def test_of_an_attachment(self, dispatcher: Dispatcher, path: Any) -> None:
        refused(dispatcher, "detach_volume", {"volume_id": VOLUME}, attachment_id=path)

    def test_of_reservations(self, dispatcher: Dispatcher, path: Any) -> None:
        refused(dispatcher, *RETYPE, reservations=[path])
        refused(dispatcher, *RETYPE, old_reservations={"a": path})

    def test_of_a_type(self, dispatcher: Dispatcher, path: Any) -> None:
        refused(dispatcher, *RETYPE, new_type_id=path)


@pytest.mark.parametrize("host", ["", "a@b\n", "a@b#\x1b[2J", "\u202ea@b", "x" * 256, None, 5])
def test_a_host(dispatcher: Dispatcher, host: Any) -> None:
    refused(dispatcher, *RETYPE, host={"host": host})
    if host:
        refused(dispatcher, *RETYPE, host={"host": "a@b", "cluster_name": host})


@pytest.mark.parametrize("host", ["a@b#10.0.0.1:/export/one", "a@b#Pool 1", "rbd:volumes@ceph"])
def test_the_hosts_of_other_drivers_are_accepted(dispatcher: Dispatcher, host: str) -> None:
    method, args = RETYPE
    message = {"method": method, "version": "3.20", "args": {**args, "host": {"host": host}}}

    assert dispatcher.dispatch(message, {})


@pytest.mark.parametrize("name", ["host_name", "mountpoint", "mode"])
@pytest.mark.parametrize("value", ["x" * 256, {"a": 1}, 5])
def test_a_text_that_no_column_takes(dispatcher: Dispatcher, name: str, value: Any) -> None:
    refused(dispatcher, *ATTACH, **{name: value})


def test_whatever_a_running_cinder_sends_is_accepted() -> None:
    dispatchers = {"volume": volume_dispatcher(), "backup": backup_dispatcher()}
    checked = 0
    for sample in load():
        kind = sample.service.removeprefix("cinder-")
        if kind in dispatchers and sample.method in dispatchers[kind].methods:
            assert dispatchers[kind].dispatch(sample.message, sample.context)
            checked += 1
    assert checked > 40


@settings(max_examples=examples(200), deadline=None)
@given(
    name=st.sampled_from(sorted(argument_forms._FORMS)),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_any_value_passes_or_is_refused(name: str, value: Any) -> None:
    try:
        argument_forms.check(name, value)
    except argument_forms.BadForm as error:
        assert name in str(error) and str(error).isprintable() and len(str(error)) < 400
