# SPDX-License-Identifier: Apache-2.0
"""``check``: every error in a file, and options without effect."""

from __future__ import annotations

import importlib.util
import pathlib
import re

import pytest

from worker import conf
from worker.conf.check import checker
from worker.conf.check.problems import ConfigError

GOOD = """
    [DEFAULT]
    enabled_backends = b1
    [b1]
    volume_driver = noop
    """


BUS = """[DEFAULT]
transport_url = rabbit://user:password@192.0.2.1/
[oslo_messaging_rabbit]
rabbit_quorum_queue = true
"""


def check(files):
    """Return the problems of files, with a bus that is beyond reproach."""
    bus = pathlib.Path(files[0]).with_name("bus")
    if bus.parent.is_dir():
        bus.write_text(BUS)
        bus.chmod(0o600)
    return checker.check([*files, str(bus)])


def told(path):
    return [str(problem).removeprefix(path) for problem in check([path])]


def test_good_file_has_no_problem(write):
    assert check([write(GOOD)]) == []


def test_an_address_that_cannot_be_read_hides_no_problem_of_other_options(write):
    path = write("""
        [DEFAULT]
        enabled_backends = b1
        state_path = relative
        executor_thread_pool_size = 0
        [database]
        connection = mysql+pymysql://user:pass@word@host/cinder
        [b1]
        volume_driver = noop
        """)
    pathlib.Path(path).chmod(0o600)

    assert [one.partition(":")[2].partition(":")[0].strip() for one in told(path)] == [
        "3",
        "4",
        "6",
    ]


@pytest.mark.parametrize("host", ["a@b", "a#b", "my host"])
def test_a_wrong_host_has_its_place_and_hides_no_other_problem(write, host):
    path = write(f"""
        [DEFAULT]
        enabled_backends = b1
        host = {host}
        [b1]
        volume_driver = lcoal
        """)

    first, second = told(path)

    assert first.startswith(f":3: [DEFAULT] host: Value '{host}' doesn't match")
    assert second.startswith(":5: [b1] volume_driver: there is no driver")


@pytest.mark.parametrize("option", ["debug", "log_dir"])
def test_an_option_of_the_command_line_that_refers_to_none(write, option):
    path = write(f"""
        [DEFAULT]
        enabled_backends = b1
        {option} = $absent/x
        """)
    text = f":3: [DEFAULT] {option}: has a $ before a word that is no option: write $$ for a $"

    assert told(path) == [text]
    with pytest.raises(ConfigError, match=re.escape(text)):
        conf.load([], prog="holdfast-volume", default_config_files=[path])


def test_all_problems_are_told_in_the_order_of_their_lines(write):
    path = write("""
        [DEFAULT]
        enabled_backends = b1, b2
        report_intervall = 4
        report_interval = ten
        [b1]
        volume_driver = lcoal
        reserved_percentage = 150
        [oslo_messaging_rabit]
        ssl = yes
        [journal]
        max_resumes = no
        """)

    assert told(path) == [
        ":2: [DEFAULT] enabled_backends: b2 has no section [b2]",
        ":3: [DEFAULT] report_intervall: unknown, so it has no effect;"
        " did you mean report_interval?",
        ":4: [DEFAULT] report_interval: 'ten' is not a number",
        ":6: [b1] volume_driver: there is no driver 'lcoal'; known: local, noop;"
        " did you mean local?",
        ":7: [b1] reserved_percentage: Should be less than or equal to 100",
        ":8: [oslo_messaging_rabit]: this section is not read; did you mean oslo_messaging_rabbit?",
        ":11: [journal] max_resumes: 'no' is not a number",
    ]


def test_only_what_forbids_a_start_is_fatal(write):
    path = write("""
        [DEFAULT]
        enabled_backends = b1
        frobnicate = 1
        report_interval = 60
        [b1]
        volume_driver = noop
        [b2]
        volume_driver = noop
        [keystoned]
        auth_type = password
        """)

    problems = check([path])

    assert [(problem.section, problem.line, problem.fatal) for problem in problems] == [
        ("DEFAULT", 3, False),
        ("DEFAULT", 4, False),
        ("b2", 8, False),
        ("keystoned", 9, False),
    ]


def test_heartbeat_that_is_too_rare_is_told(write):
    path = write(GOOD.replace("[b1]", "service_down_time = 10\n    [b1]"))

    [problem] = check([path])

    assert "a heartbeat every 10 s is too rare for service_down_time = 10" in problem.text


def test_nothing_enabled_is_fatal(write):
    path = write("[DEFAULT]\n")

    [problem] = check([path])

    assert problem.fatal
    read = f"{path}, {pathlib.Path(path).with_name('bus')}"
    assert problem.text == f"names no backend, so there is nothing to serve (read: {read})"


def test_unreadable_file_is_one_problem(write, tmp_path):
    assert told(write("[DEFAULT\n")) == [":1: Invalid section (must end with ]): '[DEFAULT'"]
    assert told(str(tmp_path / "nowhere")) == [": No such file or directory"]


def test_options_under_their_old_names_are_known(write):
    path = write(GOOD + "[database]\nsql_connection = sqlite://\n")

    assert [problem for problem in check([path]) if problem.section == "database"] == []


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("glanse", "there is no image service 'glanse'; known: directory, glance; did you mean"),
        ("no.such.Class", "no.such.Class: there is no module no: correct the path, or install it"),
        ("worker.conf.check.checker.check", "is not an image service"),
    ],
)
def test_an_image_service_that_is_none(write, wanted, text):
    path = write(f"""
        [DEFAULT]
        enabled_backends = b1
        image_service = {wanted}
        [b1]
        volume_driver = noop
        """)

    (problem,) = told(path)
    assert problem.startswith(":3: [DEFAULT] image_service: ")
    assert text in problem


def test_an_image_service_whose_library_is_missing(write, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "keystoneauth1" else find(name)
    )
    path = write("""
        [DEFAULT]
        enabled_backends = b1
        image_service = glance
        [service_user]
        auth_type = password
        [b1]
        volume_driver = noop
        """)

    (problem,) = told(path)
    assert problem.endswith("needs keystoneauth1: pip install 'holdfast[glance]'")


@pytest.mark.parametrize(
    ("options", "section", "count"),
    [
        ("image_service = glance", "[service_user]", 1),
        ("image_service = glance", "[glance]\nauth_section = other", 0),
        ("image_service = glance\nauth_strategy = noauth", "[service_user]", 0),
        ("image_service = directory", "[service_user]", 0),
    ],
)
def test_an_image_service_without_an_account(write, options, section, count):
    driver = "[b1]\nvolume_driver = noop\n"
    path = write(f"[DEFAULT]\nenabled_backends = b1\n{options}\n{section}\n{driver}")

    found = check([path])
    assert len([one for one in found if "there is no account for Glance" in one.text]) == count
    assert not any(one.fatal for one in found)


def test_an_account_for_nova_without_the_library(write, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "keystoneauth1" else find(name)
    )
    text = """
        [DEFAULT]
        enabled_backends = b1
        [b1]
        volume_driver = noop
        [nova]
        region_name = one
        """

    assert told(write(text)) == []
    (problem,) = check([write(f"{text}auth_type = password\n")])
    assert (problem.section, problem.option, problem.line) == ("nova", "auth_type", 7)
    assert problem.text.endswith("pip install 'holdfast[nova]'")
    assert not problem.fatal


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "slot_renewal = 10",
            "slot_renewal: slot_renewal = 10 has to be less than slot_kill_after",
        ),
        ("slot_ttl = 9.5", "slot_kill_after: slot_kill_after = 10 has to be less than slot_ttl"),
        ("slot_ttl = nan", "slot_ttl: nan is no finite number"),
        ("slot_takeover_margin = nan", "slot_takeover_margin: nan is no finite number"),
    ],
)
def test_the_times_of_leases_have_an_order(write, line, problem):
    path = write(f"{GOOD}\n    [journal]\n    {line}\n")

    (found,) = check([path])

    assert found.fatal
    assert problem in str(found)
