# SPDX-License-Identifier: Apache-2.0
"""Every option of Cinder is judged once, and a shared name has a shared meaning."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from oslo_config import cfg

from drivers.compat import oslo_config
from worker.conf import option_groups
from worker.conf.cinder import defaults, no_effect, refused, unrelated
from worker.conf.cinder.names import KEYSTONES
from worker.conf.cinder.table import BACKEND, Table
from worker.conf.option_groups import backend

DOCS = Path(__file__).parents[3] / "docs/cinder-conf.rst"
TABLE = Table()
SERVICE, BACKENDS = TABLE.sections["DEFAULT"], TABLE.sections[BACKEND]

OTHER_DEFAULTS = {
    ("DEFAULT", "backup_driver"),
    ("DEFAULT", "glance_request_timeout"),
    ("DEFAULT", "state_path"),
    (BACKEND, "volume_driver"),
}
"""Our defaults that are not Cinder's; the documentation has the reasons."""

EMPTY = (None, "", [])


@pytest.fixture(scope="module")
def ours():
    """Our options, by section and name."""
    conf = cfg.ConfigOpts()
    option_groups.register_all(conf)
    found = {(section, option.dest): option for section, option in oslo_config.registered(conf)}
    return found | {(BACKEND, option.dest): option for option in backend.OPTS}


def names(ours, section):
    """Return the names that may stand in a section, former ones too."""
    found = set()
    for (place, name), option in ours.items():
        if place == section:
            old = [former.name or name for former in option.deprecated_opts]
            found |= {name, *old, *(former.replace("-", "_") for former in old)}
    return found


def test_every_option_of_the_service_is_judged_once(ours):
    wanted = {name for name, option in SERVICE.items() if not option.driver}
    wanted |= {name.replace("-", "_") for name in TABLE.libraries["DEFAULT"]}
    judged = Counter([*unrelated.SERVICE, *no_effect.SERVICE, *refused.SERVICE])

    assert wanted - set(judged) - names(ours, "DEFAULT") == set(), "what becomes of these?"
    assert {name for name, times in judged.items() if times > 1} == set()


def test_every_option_of_all_backends_is_judged_once(ours):
    wanted = {name for name, option in BACKENDS.items() if option.base}
    verdicts = (unrelated.BASE, no_effect.BACKEND, refused.BACKEND)
    judged = Counter([name for known in verdicts for name in known] + [*names(ours, BACKEND)])

    assert len(wanted) > 50
    assert wanted - set(judged) == set(), "what becomes of these?"
    assert {name for name, times in judged.items() if times > 1} == set()


def test_every_section_is_judged(ours):
    known = {section.lower() for section, _ in ours} | set(unrelated.SECTIONS)
    known |= {*no_effect.SECTIONS, "default", "key_manager", BACKEND, *KEYSTONES}

    assert (set(TABLE.libraries) | set(TABLE.sections)) - {"DEFAULT"} - known == set()


def test_what_is_read_is_not_said_to_have_no_effect(ours):
    idle = {*unrelated.SERVICE, *no_effect.SERVICE}

    assert idle & names(ours, "DEFAULT") == set(), "take it out of worker/conf/cinder"


@pytest.mark.parametrize(
    ("verdicts", "section"),
    [
        (unrelated.SERVICE, "DEFAULT"),
        (no_effect.SERVICE, "DEFAULT"),
        (refused.SERVICE, "DEFAULT"),
        (unrelated.BASE, BACKEND),
        (no_effect.BACKEND, BACKEND),
        (refused.BACKEND, BACKEND),
        (refused.KEYS, "key_manager"),
    ],
)
def test_nothing_is_judged_that_cinder_has_not(verdicts, section):
    known = {*TABLE.sections[section], *TABLE.libraries.get(section, ())}

    assert set(verdicts) - known == set()


def test_what_was_renamed_is_gone_and_its_new_name_is_there():
    old = {name for name in unrelated.RENAMED if name in SERVICE or name in BACKENDS}
    known = {*SERVICE, *BACKENDS, *TABLE.libraries["DEFAULT"]}
    plain = {new for new in unrelated.RENAMED.values() if new and not new.startswith("[")}

    assert old == set()
    assert plain - known == set()


def test_defaults_are_cinders(ours):
    shared = {place: TABLE.sections.get(place[0], {}).get(place[1]) for place in ours}
    other = {
        place
        for place, option in shared.items()
        if option is not None
        and place not in (("DEFAULT", "host"), ("DEFAULT", "my_ip"))
        and option.default != ours[place].default
        and not (option.default in EMPTY and ours[place].default in EMPTY)
    }

    assert len([option for option in shared.values() if option]) > 90
    assert other == OTHER_DEFAULTS


def test_every_default_that_is_not_cinders_has_its_reason_in_the_documentation():
    text = DOCS.read_text()

    assert [name for _, name in OTHER_DEFAULTS if f"``{name}``" not in text] == []
    assert [str(value) for value in defaults.SERVICE.values() if str(value) not in text] == []


def test_former_names_are_known_as_in_cinder(ours):
    missing = {
        (place, old)
        for place in ours
        for option in [TABLE.sections.get(place[0], {}).get(place[1])]
        if option is not None
        for old in option.old
        if old not in names(ours, place[0])
    }

    assert missing == set()
