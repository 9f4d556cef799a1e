# SPDX-License-Identifier: Apache-2.0
"""Places of a configuration that no start can use: relative, shared, too long for a queue."""

from __future__ import annotations

import pytest
from oslo_config import cfg

from worker.cmd import volume as program
from worker.conf import ConfigError, backends
from worker.conf.check import checker, places
from worker.rpc import topics
from worker.service import volume

HEAD = "[DEFAULT]\nenabled_backends = b1, b2\ntransport_url = rabbit://h/?amqp_durable_queues=1\n"
NOOP = "[b1]\nvolume_driver = noop\n[b2]\nvolume_driver = noop\n"


def problems(path):
    return [(one.section, one.option, one.line) for one in checker.check([path])]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("state_path = var/lib\n", ("DEFAULT", "state_path", 4)),
        ("[journal]\nconnection = sqlite:///journal.sqlite\n", ("journal", "connection", 5)),
        ("[database]\nconnection = sqlite:///c.sqlite\n", ("database", "connection", 5)),
    ],
)
def test_a_relative_place_is_named_once(write, load, text, found):
    assert problems(write(HEAD + text + NOOP)) == [found]
    with pytest.raises(ConfigError, match="is relative: write the whole path"):
        load(HEAD + text + NOOP)


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        ("local_path = /srv/v\n", "local_path = /srv/v\n", 9),
        ("local_path = /srv/v\n", "local_path = /srv/x/../v/\n", 9),
        ("", "", 6),
    ],
)
def test_two_backends_in_one_directory_are_named(write, first, second, line):
    local = f"[b1]\nvolume_driver = local\n{first}[b2]\nvolume_driver = local\n{second}"
    path = write(HEAD + local)

    assert problems(path) == [("b2", "local_path", line)]
    assert "is the directory of b1, too" in checker.check([path])[0].text


@pytest.mark.parametrize("only", [[], ["b2"]])
def test_the_second_one_does_not_start(write, tmp_path, capsys, only):
    local = "[b1]\nvolume_driver = local\n[b2]\nvolume_driver = local\n"
    path = write(f"{HEAD}state_path = {tmp_path}\n{local}")
    words = [word for name in only for word in ("--backend", name)]

    with pytest.raises(SystemExit) as caught:
        program.main(["--config-file", path, *words])
    cfg.CONF.reset()
    assert caught.value.code == 78
    assert "is the directory of b1, too" in capsys.readouterr().err


def test_a_backend_without_a_section_has_no_directory(write):
    path = write(HEAD + "[b1]\nvolume_driver = local\n")

    [problem] = checker.check([path])
    assert problem.text == "b2 has no section [b2]"


def test_backends_with_directories_of_their_own_are_not(write):
    local = "[b1]\nvolume_driver = local\n[b2]\nvolume_driver = local\nlocal_path = /srv/v\n"

    assert problems(write(HEAD + local)) == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("state_path = /etc/passwd/x\n", ("state_path", True)),
        ("log_dir = /no/such/directory\n", ("log_dir", False)),
        ("log_file = /no/such/file\n", ("log_file", False)),
        ("log_dir = /tmp\nlog_file = no/such/file\n", ("log_dir", False)),
        ("log_dir = /tmp\nstate_path = /no/such/path\n", None),
    ],
)
def test_a_directory_without_which_a_start_ends_is_named(write, options, found):
    problems = checker.check([write(HEAD + options + NOOP)])

    assert [(one.option, one.fatal) for one in problems] == ([found] if found else [])


@pytest.mark.parametrize("name", ["DEFAULT", "default"])
def test_the_section_of_the_service_is_no_backend(write, name):
    path = write(f"[DEFAULT]\nenabled_backends = {name}\nvolume_driver = local\n")

    errors = [one for one in checker.check([path]) if one.fatal]
    assert [(one.option, one.line) for one in errors] == [("enabled_backends", 2)]
    assert errors[0].text.startswith(f"{name} cannot be a backend: move its options")


class TestLongHosts:
    @pytest.mark.parametrize("backend", ["b1", ""])
    def test_the_limit_is_that_of_the_longest_queue(self, backend):
        topic, target = ("cinder-volume", topics.volume_targets) if backend else ("", None)
        fits = [
            n for n in range(250) if not places.too_long(topic or "cinder-backup", n * "h", backend)
        ]
        host = fits[-1] * "h"
        targets = target(host, backend, None) if target else [topics.backup_target(host)]
        queues = [f"{one.topic}.{one.server}" for one in targets]
        fanouts = [f"{one.topic}_fanout_{32 * '0'}" for one in targets]

        assert max(map(len, queues + fanouts)) <= 255
        assert fits == list(range(len(fits)))
        assert len(fits) > 100

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (f"host = {'h' * 150}\n{NOOP}", ("DEFAULT", "host")),
            (f"{NOOP}backend_host = {'h' * 150}\n", ("b2", "backend_host")),
        ],
    )
    def test_a_longer_one_is_named_by_a_check_and_at_the_start(self, write, load, text, found):
        named = {(section, option) for section, option, _ in problems(write(HEAD + text))}

        assert named == {found}
        with pytest.raises(ConfigError, match="would have names of .* bytes"):
            backends.enabled(load(HEAD + text))


class TestTimeouts:
    @pytest.mark.parametrize("section", ["b2", "backend_defaults"])
    def test_a_name_of_no_operation_is_named(self, write, section):
        own = "" if section == "b2" else "[backend_defaults]\n"
        text = f"{HEAD}{NOOP}{own}operation_timeout = creat_volume:60,delete_volume:5,*:9\n"
        [problem] = checker.check([write(text)], volume.operations())

        assert (problem.section, problem.fatal) == (section, False)
        assert problem.text == "there is no operation creat_volume; did you mean create_volume?"

    def test_the_names_are_those_that_a_start_knows(self):
        assert {"create_volume", "delete_volume", "migrate_volume"} < volume.operations()
