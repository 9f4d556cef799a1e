# SPDX-License-Identifier: Apache-2.0
"""Backends: which are served, where their values come from, how their drivers are found."""

from __future__ import annotations

import pytest
from oslo_config import cfg

from drivers.interface.volume import VolumeDriver
from worker import conf
from worker.conf import ConfigError, backends
from worker.conf.check import checker

COLOUR = cfg.StrOpt("colour", default="grey")
WIDTH = cfg.IntOpt("width", default=1, min=1)


class Painter(VolumeDriver):
    """A driver with options of its own."""

    OPTS = [COLOUR, WIDTH]


class Decorator(VolumeDriver):
    """A driver whose option contradicts the painter's."""

    OPTS = [cfg.IntOpt("colour", default=0)]


PAINTER = f"{__name__}.Painter"


def configured(load, text, name="b1"):
    return backends.BackendConfiguration(load(text), name, Painter.OPTS)


def test_value_of_the_section_wins_over_the_shared_one(load):
    found = configured(load, "[b1]\ncolour = red\n[backend_defaults]\ncolour = blue\nwidth = 3\n")

    assert (found.colour, found.width) == ("red", 3)


def test_value_of_nobody_is_the_default(load):
    found = configured(load, "[b1]\n")

    assert (found.colour, found.width) == ("grey", 1)
    assert (found.volume_driver, found.processes) == ("local", 1)
    assert (found.reserved_percentage, found.max_over_subscription_ratio) == (0, "20.0")
    assert found.volume_backend_name is None


def test_section_may_repeat_the_default_against_the_shared_value(load):
    found = configured(load, "[b1]\ncolour = grey\n[backend_defaults]\ncolour = blue\n")

    assert found.colour == "grey"


def test_a_host_of_its_own_is_read_from_the_section_only_as_in_cinder(load):
    text = "[DEFAULT]\nenabled_backends = b1, b2\n[backend_defaults]\nbackend_host = shared\n"
    loaded = load(f"{text}[b1]\nbackend_host = own\n[b2]\n")
    found = [backends.BackendConfiguration(loaded, name) for name in ("b1", "b2")]

    assert [one.backend_host for one in found] == ["own", None]


def test_options_of_the_service_are_seen_but_not_set_by_a_section(load):
    found = configured(
        load, "[DEFAULT]\nvolume_name_template = v-%s\n[b1]\nvolume_name_template = w-%s\n"
    )

    assert found.volume_name_template == "v-%s"


def test_backends_do_not_share_their_sections(load):
    conf = load("[b1]\ncolour = red\n[b2]\n")

    found = [backends.BackendConfiguration(conf, name, Painter.OPTS) for name in ("b1", "b2")]

    assert [each.colour for each in found] == ["red", "grey"]
    assert [each.config_group for each in found] == ["b1", "b2"]


def test_safe_get_of_an_unknown_option_is_none(load):
    found = configured(load, "[b1]\ncolour = red\n")

    assert found.safe_get("colour") == "red"
    assert found.safe_get("no_such_option") is None
    with pytest.raises(AttributeError):
        found.no_such_option  # noqa: B018


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[b1]\nwidth = wide\n", "2: [b1] width: 'wide' is not a number"),
        ("[b1]\n[backend_defaults]\nwidth = 0\n", "3: [backend_defaults] width: "),
        ("[b1]\nreserved_percentage = 101\n", "2: [b1] reserved_percentage: "),
        ("[b1]\nmax_over_subscription_ratio = many\n", "2: [b1] max_over_subscription_ratio: "),
        ("[b1]\nextra_capabilities = {\n", "2: [b1] extra_capabilities: not a JSON object"),
        ("[b1]\nextra_capabilities = [1]\n", "2: [b1] extra_capabilities: not a JSON object"),
    ],
)
def test_wrong_value_is_named_with_file_and_line(load, tmp_path, text, line):
    with pytest.raises(ConfigError) as caught:
        configured(load, text)

    assert str(caught.value).startswith(f"{tmp_path}/holdfast.conf:{line}")


@pytest.mark.parametrize("ratio", ["auto", "1", "1.5", "20.0", ".5"])
def test_ratio_of_over_subscription_is_a_number_or_auto(load, ratio):
    found = configured(load, f"[b1]\nmax_over_subscription_ratio = {ratio}\n")

    assert found.max_over_subscription_ratio == ratio


@pytest.mark.parametrize("names", [",b1", "b1,", "b1,,b2", ", b1 , ,b2,"])
def test_a_comma_too_many_is_passed_over_as_in_cinder(load, names):
    loaded = load(f"[DEFAULT]\nenabled_backends = {names}\n[b1]\n[b2]\n")

    assert backends.enabled(loaded) == ["b1", "b2"][: 1 + ("b2" in names)]


def test_enabled_backends_keep_their_order(load):
    conf = load("[DEFAULT]\nenabled_backends = b2, b1\n[b1]\n[b2]\n")

    assert backends.enabled(conf) == ["b2", "b1"]
    assert backends.enabled(conf, ["b1"]) == ["b1"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[DEFAULT]\n", "[DEFAULT] enabled_backends: names no backend"),
        ("[DEFAULT]\nenabled_backends = b1\n", ":2: [DEFAULT] enabled_backends: b1 has no section"),
        ("[DEFAULT]\nenabled_backends = fsat\n[fast]\n", "; did you mean fast?"),
        ("[DEFAULT]\nenabled_backends = b1,b1\n[b1]\n", "b1 stands there twice"),
        ("[DEFAULT]\nenabled_backends = a@b\n[a@b]\n", "'a@b' cannot be a backend"),
    ],
)
def test_wrong_list_of_backends_is_named(load, text, told):
    with pytest.raises(ConfigError) as caught:
        backends.enabled(load(text))

    assert told in str(caught.value)


def test_without_a_file_cinders_is_pointed_at_but_not_read(monkeypatch):
    monkeypatch.setattr(cfg, "find_config_files", lambda project, prog: ["/etc/cinder/cinder.conf"])
    loaded = conf.load([], prog="holdfast-volume", default_config_files=[])

    with pytest.raises(ConfigError) as caught:
        backends.enabled(loaded)

    assert "read: no configuration file" in str(caught.value)
    assert str(caught.value).endswith("with --config-file /etc/cinder/cinder.conf")
    cfg.CONF.reset()


def test_backend_of_the_command_line_must_be_enabled(load):
    conf = load("[DEFAULT]\nenabled_backends = b1\n[b1]\n")

    with pytest.raises(ConfigError) as caught:
        backends.enabled(conf, ["b2"])

    assert "b2 is not among them: b1" in str(caught.value)


def test_driver_is_found_by_the_path_of_its_class(load):
    conf = load(f"[b1]\nvolume_driver = {PAINTER}\nwidth = 4\n")

    driver, found = backends.configure(conf, "b1")

    assert driver is Painter
    assert found.width == 4


def test_driver_may_be_shared(load):
    conf = load(f"[b1]\n[backend_defaults]\nvolume_driver = {PAINTER}\n")

    assert backends.driver_class(conf, "b1") is Painter


@pytest.mark.parametrize("name", ["local", "noop"])
def test_driver_is_found_by_its_entry_point(load, name):
    found = backends.driver_class(load(f"[b1]\nvolume_driver = {name}\n"), "b1")

    assert issubclass(found, VolumeDriver)


@pytest.mark.parametrize(
    ("driver", "told"),
    [
        ("locla", "there is no driver 'locla'; known: local, noop; did you mean local?"),
        ("cinder.volume.drivers.lvm.LVM", "pip install 'holdfast[cinder]'"),
        (f"{__name__}.Painters", f"module {__name__} has no class Painters: correct the path"),
        ("none.such.Driver", "none.such.Driver: there is no module none: correct the path, or"),
        ("os.path", "os.path is not a volume driver"),
        ("collections.OrderedDict", "collections.OrderedDict is not a volume driver"),
    ],
)
def test_driver_that_cannot_be_used_is_named(load, tmp_path, driver, told):
    conf = load(f"[b1]\nvolume_driver = {driver}\n")

    with pytest.raises(ConfigError) as caught:
        backends.driver_class(conf, "b1")

    assert str(caught.value).startswith(f"{tmp_path}/holdfast.conf:2: [b1] volume_driver: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import no_such_library", "needs no_such_library: No module named 'no_such_library'"),
        ("raise RuntimeError('no licence')", "cannot be imported, RuntimeError: no licence ("),
        ("import sys; sys.exit(3)", "cannot be imported, SystemExit: 3 ("),
        ("def broken(:", "cannot be imported, SyntaxError: "),
        ("raise type('Panic', (BaseException,), {})()", "cannot be imported, Panic ("),
        ("from os import nothing_like_it", "cannot be imported, ImportError: cannot import name"),
        ("import os; os.nothing_like_it", "cannot be imported, AttributeError: module 'os'"),
    ],
)
def test_a_module_that_raises_at_its_import_is_named(load, tmp_path, monkeypatch, body, reason):
    module = f"bad_{abs(hash(body))}"
    (tmp_path / f"{module}.py").write_text(f"{body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    conf = load(f"[DEFAULT]\nenabled_backends = b1\n[b1]\nvolume_driver = {module}.Driver\n")

    with pytest.raises(ConfigError) as caught:
        backends.configure(conf, "b1")  # at a start
    [checked] = [one for one in checker.check([str(tmp_path / "holdfast.conf")]) if one.fatal]

    assert str(caught.value) == str(checked)
    place = f"{tmp_path}/holdfast.conf:4: [b1] volume_driver: "
    assert str(checked).startswith(f"{place}{module}.Driver: module {module} {reason}")
    assert str(checked).endswith("install it") or str(checked).endswith("reinstall or correct it")


def test_drivers_that_contradict_each_other_are_named(load):
    conf = load("[c1]\n[c2]\n")
    backends.BackendConfiguration(conf, "c1", Painter.OPTS)

    with pytest.raises(ConfigError) as caught:
        backends.BackendConfiguration(conf, "c2", Decorator.OPTS)

    assert "[c2] colour: the driver defines" in str(caught.value)


def test_reloaded_value_is_seen(load, write):
    option = cfg.IntOpt("height", default=1, mutable=True)
    conf = load("[d1]\nheight = 2\n")
    found = backends.BackendConfiguration(conf, "d1", [option])
    before = found.height

    write("[d1]\nheight = 3\n")
    conf.mutate_config_files()

    assert (before, found.height) == (2, 3)


@pytest.mark.parametrize("host", ["a@b", ""])
def test_a_host_that_is_no_part_of_an_address_is_named(load, tmp_path, host):
    text = f"[DEFAULT]\nenabled_backends = b1\n[b1]\nbackend_host = {host}\n"

    with pytest.raises(ConfigError) as caught:
        backends.configure(load(text), *backends.enabled(load(text)))
    assert str(caught.value).startswith(f"{tmp_path}/holdfast.conf:4: [b1] backend_host: ")
