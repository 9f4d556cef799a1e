# SPDX-License-Identifier: Apache-2.0
"""Objects off the bus: all of Cinder's, newer ones, broken ones."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from tests.unit.rpc.samples import FOLDER, SAMPLES, of
from worker.rpc import codec
from worker.rpc.codec import MalformedObject, WireList, WireObject, decode, encode, raw


def walk(value):
    """Look at every field of every object; return the primitives that were met."""
    if isinstance(value, WireList):
        return [value.raw, *walk(list(value))]
    if isinstance(value, WireObject):
        return [value.raw, *(found for field in value for found in walk(value[field]))]
    if isinstance(value, dict):
        return [found for entry in value.values() for found in walk(decode(entry))]
    if isinstance(value, list):
        return [found for entry in value for found in walk(entry)]
    return []


def objects_in(value):
    """Count objects by their name key."""
    if isinstance(value, dict):
        inside = sum(map(objects_in, value.values()))
        return inside + ("versioned_object.name" in value)
    return sum(map(objects_in, value)) if isinstance(value, list) else 0


def test_every_method_has_a_sample():
    assert len({path.stem for path in FOLDER.glob("*.json")}) == 75
    assert {str(sample) for sample in SAMPLES} == {p.stem for p in FOLDER.glob("*.json")}


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_every_object_of_every_message_is_readable_and_kept(sample):
    for part in (*sample.message["args"].values(), (sample.reply or {}).get("result")):
        before = copy.deepcopy(part)
        found = decode(part)

        assert len(walk(found)) == objects_in(part)
        assert raw(found) == before
        assert json.loads(json.dumps(raw(found))) == before


def test_an_object_is_read_by_attribute_and_by_item():
    volume = decode(of("create_volume").message["args"]["volume"])

    assert (volume.object_name, volume.object_version) == ("Volume", "1.9")
    assert volume.size == volume["size"] == 1
    assert volume._name_id is None
    assert volume.volume_type.name == volume["volume_type"]["name"] == "t-noop"
    assert volume.volume_attachment == []
    assert volume.get("nothing", 5) == 5
    with pytest.raises(AttributeError, match="Volume 1.9 .* has no field 'nothing'"):
        _ = volume.nothing


def test_a_newer_object_with_unknown_fields_keeps_them_at_every_level():
    primitive = copy.deepcopy(of("create_volume").message["args"]["volume"])
    primitive["versioned_object.version"] = "1.42"
    primitive["versioned_object.future"] = "kept"
    data = primitive["versioned_object.data"]
    data["novelty"] = encode("Novelty", "7.0", {"inner": encode("Other", "1.0", {"x": [1]})})
    data["volume_type"]["versioned_object.version"] = "1.99"
    data["volume_type"]["versioned_object.data"]["colour"] = "red"

    volume = decode(primitive)

    assert volume.object_version == "1.42"
    assert volume.novelty.inner.x == [1]
    assert volume.volume_type.colour == "red"
    assert raw(volume) is primitive


def test_an_object_without_a_version_is_readable():
    found = decode({"versioned_object.name": "Volume", "versioned_object.data": {"id": "v"}})

    assert (found.id, found.object_version, found.changes) == ("v", "", ())


def test_a_list_object_is_a_list_and_is_sent_onward_as_an_object():
    primitive = encode("SnapshotList", "1.0", {"objects": [encode("Snapshot", "1.6", {"id": "s"})]})

    found = decode(primitive)

    assert isinstance(found, list)
    assert found[0].id == "s"
    assert raw(found) is primitive
    assert raw([found]) == [primitive]


def test_a_field_called_objects_makes_no_list():
    found = decode(encode("Bucket", "1.0", {"objects": 12}))

    assert found.objects == 12


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "text", [], {}, {"a": {"b": [1]}}, [[1]]])
def test_what_is_no_object_stays(value):
    assert decode(value) == value


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ({"versioned_object.name": 5, "versioned_object.data": {}}, "name is 5"),
        ({"versioned_object.name": "", "versioned_object.data": {}}, "name is ''"),
        ({"versioned_object.version": "1.0"}, "name is None"),
        ({"versioned_object.data": {}}, "name is None"),
        ({"versioned_object.name": "Volume"}, "Volume has no data"),
        ({"versioned_object.name": "Volume", "versioned_object.data": []}, "Volume has no data"),
        (encode("Volume", 1.9, {}), "Volume has the version 1.9"),
        (encode("Volume", "1.9", {}) | {"versioned_object.changes": 3}, "changes that are no list"),
        (encode("VolumeList", "1.0", {"objects": {}}), "no list of objects"),
    ],
)
class TestMalformed:
    def test_is_one_error_that_says_what_is_wrong(self, broken, text):
        with pytest.raises(MalformedObject, match=f"^volume: .*{text}"):
            decode(broken, "volume")

    def test_is_found_deep_inside_and_its_place_is_named(self, broken, text):
        sound = {"sound": [encode("VolumeType", "1.3", {})]}
        value = encode("Volume", "1.9", {"kinds": [1, {"best": broken}, sound], "more": sound})

        with pytest.raises(MalformedObject, match=rf"^volume\.data\.kinds\.1\.best: .*{text}"):
            decode(value, "volume")

    def test_is_found_inside_plain_dicts(self, broken, text):
        with pytest.raises(MalformedObject, match=rf"^value\.filter\.0: .*{text}"):
            decode({"filter": [broken]})


@pytest.mark.parametrize("step", [lambda v: [v], lambda v: {"a": v}])
def test_what_is_nested_too_deep_to_be_written_again_is_refused(step):
    value = "leaf"
    for _ in range(codec.MAX_DEPTH - 1):
        value = step(value)
    decode(value)

    for _ in range(5000):
        value = step(value)
    with pytest.raises(MalformedObject, match="^args: nested more than 100 levels deep"):
        decode(value, "args")


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))]
)
def test_an_object_can_be_copied(clone):
    volume = decode(encode("Volume", "1.9", {"id": "v", "type": encode("VolumeType", "1.3", {})}))

    assert clone(volume).id == "v"
    assert clone(volume).raw == volume.raw
