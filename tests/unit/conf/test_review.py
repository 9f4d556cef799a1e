# SPDX-License-Identifier: Apache-2.0
"""The fate of an assignment of Cinder's: used, ignored, reported, refused."""

from __future__ import annotations

import pytest
from oslo_config import cfg

from drivers.cinder import loading
from worker import conf as config
from worker.conf import ConfigError, backends, key_managers
from worker.conf.check import checker, config_files
from worker.conf.cinder import defaults, no_effect, refused, unrelated
from worker.conf.cinder.review import AssignmentKind, Review
from worker.conf.cinder.table import BACKEND, Table

TABLE = Table()

UNSUPPORTED = {
    "backup_manager": "ours.BackupManager",
    "quota_driver": "ours.Quota",
    "volume_copy_bps_limit": "1048576",
    "volume_manager": "ours.VolumeManager",
}
UNSUPPORTED_OF_BACKENDS = {
    "volume_copy_bps_limit": "1",
}
UNSUPPORTED_KEYS = {"backend": "other.Class"}


@pytest.fixture
def review(load):
    """A function that judges a file with one backend, ``b1``."""

    def review(text, driver="noop", section="", **options):
        head = f"[b1]\nvolume_driver = {driver}\n{section}\n"
        conf = load(f"[DEFAULT]\nenabled_backends = b1\n{text}\n{head}")
        if driver in ("noop", "local"):
            backends.configure(conf, "b1")
        return Review(conf, config_files.of(conf), **options)

    return review


def only(found, option):
    """Return the one finding about an option."""
    [finding] = [f for f in found.findings if f.entry.option == option]
    return finding


def written(default):
    """Return a default as a file would say it."""
    if isinstance(default, list):
        return ",".join(default)
    return "" if default is None else str(default)


@pytest.mark.parametrize("name", sorted(refused.SERVICE))
def test_unsupported_option_of_the_service_is_refused(review, name):
    found = review(f"{name} = {UNSUPPORTED[name]}")

    finding = only(found, name)
    assert (finding.kind, finding.entry.line) == (AssignmentKind.REFUSED, 3)
    assert found.refused() == [finding.problem]
    assert f"accept_unsupported = {name}" in finding.text


@pytest.mark.parametrize("name", sorted(refused.SERVICE))
def test_its_default_is_not_refused(review, name):
    default = written(TABLE.find("DEFAULT", name).default)

    assert review(f"{name} = {default}").refused() == []


@pytest.mark.parametrize("section", ["", f"[{BACKEND}]\n"])
@pytest.mark.parametrize("driver", ["noop", "cinder.volume.drivers.lvm.LVMVolumeDriver"])
def test_unsupported_options_of_backends_are_refused(review, section, driver):
    lines = "\n".join(f"{name} = {UNSUPPORTED_OF_BACKENDS[name]}" for name in refused.BACKEND)
    found = review("", driver, section + lines)

    assert {problem.option for problem in found.refused("volume")} == set(refused.BACKEND)


def test_their_defaults_are_not_refused(review):
    known = {name: TABLE.find(BACKEND, name).default for name in refused.BACKEND}
    lines = "\n".join(f"{name} = {written(default)}" for name, default in known.items())

    assert review("", section=lines).refused() == []


@pytest.mark.parametrize("name", sorted(refused.KEYS))
def test_keys_are_refused(review, name):
    found = review("", section=f"[key_manager]\n{name} = {UNSUPPORTED_KEYS[name]}")

    assert len(found.refused("volume")) == len(found.refused("backup")) == 1
    assert f"accept_unsupported = key_manager.{name})" in found.refused()[0].text


@pytest.mark.parametrize("name", sorted(key_managers.KINDS))
def test_known_key_managers_are_not_refused(review, name):
    text = f"[key_manager]\nbackend = {name}\nfixed_key = 00"

    assert review("", section=text).refused() == []


def test_what_is_accepted_is_told_but_not_refused(review):
    found = review(
        "accept_unsupported = volume_copy_bps_limit, key_manager.backend",
        section="volume_copy_bps_limit = 1\n[key_manager]\nbackend = other.Class",
    )

    assert found.refused() == []
    assert only(found, "volume_copy_bps_limit").kind is AssignmentKind.OTHERWISE
    assert only(found, "backend").text.endswith("this is not done, as accept_unsupported says")


def test_accepting_one_does_not_accept_another(review):
    found = review(
        "accept_unsupported = key_manager.fixed_key",
        section="volume_copy_bps_limit = 1",
    )

    assert len(found.refused()) == 1


def test_each_service_is_refused_for_its_own(review):
    found = review("backup_manager = ours.Manager", section="volume_copy_bps_limit = 1")

    assert [problem.option for problem in found.refused("volume")] == ["volume_copy_bps_limit"]
    assert [problem.option for problem in found.refused("backup")] == ["backup_manager"]


@pytest.mark.parametrize(
    "text",
    [
        "backup_create_containers = false",
        "enable_new_services = false",
        "filter_function = capabilities.free_capacity_gb > 1",
        "goodness_function = 50",
        "image_conversion_disable = true",
    ],
)
def test_options_of_the_field_are_taken_over(review, text):
    assert only(review(text), text.split()[0]).kind is AssignmentKind.TAKEN


def test_a_shared_host_has_no_effect(review):
    found = only(review("[backend_defaults]\nbackend_host = shared"), "backend_host")

    assert found.kind is AssignmentKind.OTHERWISE
    assert "section of each backend" in found.text


def test_the_last_assignment_counts(review):
    text = "volume_manager = ours.Manager\nvolume_manager ="

    assert review(text).refused() == []


def test_options_of_other_services_are_passed_over(review):
    # A library that is loaded by now may have registered one: it reads it then.
    others = {name: who for name, who in unrelated.SERVICE.items() if name not in cfg.CONF}
    found = review("\n".join(f"{name} = x" for name in others))
    passed = {f.entry.option: f.reader for f in found.of_kind(AssignmentKind.ELSEWHERE)}

    assert len(others) > 20
    assert passed == others


def test_sections_of_others_are_passed_over(review):
    sections = "\n".join(f"[{section}]\nwhatever = x" for section in unrelated.SECTIONS)
    found = review("", section=sections)
    passed = {f.entry.section: f.reader for f in found.of_kind(AssignmentKind.ELSEWHERE)}

    assert passed == unrelated.SECTIONS


def test_what_is_tuned_otherwise_is_told(review):
    found = review("\n".join(f"{name} = 7" for name in no_effect.SERVICE))
    told = {f.entry.option: f.text for f in found.of_kind(AssignmentKind.OTHERWISE)}

    assert told == no_effect.SERVICE


def test_what_is_tuned_otherwise_is_not_told_of_the_default(review):
    known = [TABLE.find("DEFAULT", name) for name in no_effect.SERVICE]
    lines = [f"{option.name} = {written(option.default)}" for option in known if option]

    assert review("\n".join(lines)).of_kind(AssignmentKind.OTHERWISE) == []


def test_the_same_for_backends(review):
    texts = no_effect.BACKEND
    found = review("", section="\n".join(f"{name} = 99" for name in texts))
    told = {f.entry.option: f.text for f in found.of_kind(AssignmentKind.OTHERWISE)}

    assert told == texts


def test_a_section_that_means_nothing_here_is_told_once(review):
    lines = [f"[{section}]\nenabled = true\nurl = x\nother = y" for section in no_effect.SECTIONS]
    found = review("", section="\n".join(lines))
    told = [(f.entry.section, f.text) for f in found.findings if f.text]

    assert told == list(no_effect.SECTIONS.items())


def test_a_profiler_that_is_off_is_not_told(review):
    found = review("", section="[profiler]\nenabled = false\nhmac_keys = x")

    assert [f for f in found.findings if f.text] == []


@pytest.mark.parametrize(
    ("section", "driver", "kind"),
    [
        (
            "volume_group = vg",
            "cinder.volume.drivers.lvm.LVMVolumeDriver",
            AssignmentKind.ELSEWHERE,
        ),
        ("volume_group = vg", "local", AssignmentKind.OTHERWISE),
        ("hitachi_mirror_pool = p", "cinder.volume.drivers.hitachi.X", AssignmentKind.ELSEWHERE),
        ("target_helper = lioadm", "local", AssignmentKind.OTHERWISE),
        ("local_path = /srv", "local", AssignmentKind.TAKEN),
        (
            "iscsi_secondary_ip_addresses = a",
            "cinder.volume.drivers.lvm.LVM",
            AssignmentKind.ELSEWHERE,
        ),
        ("my_ip = 192.0.2.1", "local", AssignmentKind.OTHERWISE),
        ("volume_groop = vg", "local", AssignmentKind.UNKNOWN),
    ],
)
def test_options_of_drivers_belong_to_their_driver(review, section, driver, kind):
    finding = only(review("", driver, section), section.partition(" ")[0])

    assert finding.kind is kind


def test_shared_options_are_of_cinders_drivers_if_there_is_one(review):
    text = f"[{BACKEND}]\nvolume_group = vg"

    ours, theirs = review("", "local", text), review("", "cinder.volume.drivers.lvm.LVM", text)

    assert only(ours, "volume_group").kind is AssignmentKind.OTHERWISE
    assert only(theirs, "volume_group").kind is AssignmentKind.ELSEWHERE


@pytest.mark.parametrize("name", ["volume_group", "target_helper", "reserved_percentage"])
def test_options_of_backends_have_no_effect_elsewhere(review, name):
    finding = only(review(f"{name} = x"), name)

    assert finding.kind is AssignmentKind.OTHERWISE
    assert "[backend_defaults]" in finding.text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("frobnicate", "unknown, so it has no effect"),
        ("osapi_volume_worker", "did you mean osapi_volume_workers?"),
        ("report_intervall", "did you mean report_interval?"),
        ("iscsi_helper", "Cinder 29.0.0 calls it [backend_defaults] target_helper"),
        ("sql_connection", "Cinder 29.0.0 calls it [database] connection"),
        ("volume_topic", "Cinder 29.0.0 has it no more"),
    ],
)
def test_what_nobody_knows_is_told(review, name, told):
    finding = only(review(f"{name} = x"), name)

    assert finding.kind is AssignmentKind.UNKNOWN
    assert told in finding.text


@pytest.mark.parametrize(
    "section",
    [
        "[fc-zone-manager]\nfc_fabric_names = FAB_A\n[FAB_A]\nx = y",
        "[nova]\nauth_section = accounts\n[accounts]\nusername = nova",
        "[service_user]\nusername = cinder\nno_option_of_ours = x",
    ],
)
def test_sections_that_others_name_are_known(review, section):
    assert review("", section=section).of_kind(AssignmentKind.UNKNOWN) == []


def test_a_section_that_nobody_reads_is_told_once(review):
    found = review("", section="[oslo_messaging_rabit]\nssl = true\nx = y")

    [finding] = found.of_kind(AssignmentKind.UNKNOWN)
    assert finding.problem.option is None
    assert "did you mean oslo_messaging_rabbit?" in finding.text


def test_backends_that_are_not_served_are_passed_over(review):
    text = "[backend_defaults]\nlocal_path = /srv\n[b2]\nvolume_driver = local\nlocal_path = /x"
    found = review("", section=f"image_volume_cache_enabled = 1\n{text}", served=[])

    assert found.refused() == []
    assert found.of_kind(AssignmentKind.UNKNOWN) == []


@pytest.mark.parametrize(
    ("text", "is_noted"),
    [
        ("backup_driver = swift", True),
        ("backup_driver = swift\nbackup_swift_auth = single_user", False),
        ("backup_driver = posix", False),
    ],
)
def test_the_limits_of_backups_in_the_accounts_of_users_are_noted(write, text, is_noted):
    problems = checker.check([write(f"[DEFAULT]\n{text}\n")])
    found = [problem for problem in problems if "per_user" in problem.text]

    assert [problem.fatal for problem in found] == [False] * is_noted
    assert all("a restart ends running operations" in problem.text for problem in found)


@pytest.mark.parametrize("service", ["backup", "volume"])
def test_cinders_defaults_start_both_services(write, service):
    loaded = config.load(
        ["--config-file", write("[DEFAULT]\n", "cinder.conf")], prog=f"holdfast-{service}"
    )

    assert config.reviewed(loaded, service) == []
    cfg.CONF.reset()


GCS = "cinder.backup.drivers.gcs.GoogleBackupDriver"


@pytest.mark.parametrize("path", [GCS, "cinder.backup.drivers.google.GoogleBackupDriver"])
def test_a_store_of_cinders_says_what_it_needs_where_cinder_is_missing(load, monkeypatch, path):
    from worker.conf.option_groups import backup

    monkeypatch.setattr(loading, "installed", lambda: False)
    with pytest.raises(ConfigError) as caught:
        backup.driver_class(load(f"[DEFAULT]\nbackup_driver = {path}\n"))

    assert ":2: [DEFAULT] backup_driver: Cinder is not installed" in str(caught.value)
    assert "pip install 'holdfast[cinder]'" in str(caught.value)


def test_a_former_path_of_cinders_is_the_present_one():
    from worker.conf.option_groups import backup

    assert backup.ours("cinder.backup.drivers.google.GoogleBackupDriver") == GCS
    assert backup.is_adapted(GCS)
    assert not backup.is_adapted("cinder.backup.drivers.posix")


@pytest.mark.parametrize(
    ("driver", "reader"), [(GCS, unrelated.DRIVERS), ("posix", unrelated.STORES)]
)
def test_options_of_a_store_of_cinders_are_its_own(review, driver, reader):
    found = only(review(f"backup_driver = {driver}\nbackup_gcs_bucket = b"), "backup_gcs_bucket")

    assert (found.kind, found.reader) == (AssignmentKind.ELSEWHERE, reader)


def test_options_that_a_foreign_store_has_registered_are_its_own(write):
    path = write("[DEFAULT]\nbackup_driver = maker.Store\nmaker_bucket = b\nmakr = b\n")
    option = cfg.StrOpt("maker_bucket")
    cfg.CONF.reset()
    cfg.CONF.register_opt(option)
    try:
        judged = checker.examine([path]).review
        found, other = only(judged, "maker_bucket"), only(judged, "makr")
    finally:
        cfg.CONF.unregister_opt(option)

    assert (found.kind, found.reader) == (AssignmentKind.ELSEWHERE, unrelated.FOREIGN)
    assert other.kind == AssignmentKind.UNKNOWN


@pytest.mark.parametrize("store", sorted(refused.STORES))
def test_stores_that_are_not_there_are_refused(load, store):
    from worker.conf.option_groups import backup

    for path in (store, f"{store}.SomeDriver"):
        with pytest.raises(ConfigError) as caught:
            backup.driver_class(load(f"[DEFAULT]\nbackup_driver = {path}\n"))
        assert ":2: [DEFAULT] backup_driver: keeps backups in" in str(caught.value)
        assert "accept_unsupported = backup_driver" in str(caught.value)


def test_the_start_warns_of_few_by_name_and_counts_many(load):
    few = load("[DEFAULT]\n" + "".join(f"wrong{n} = x\n" for n in range(12)))
    told = config.reviewed(few, "backup")
    many = load("[DEFAULT]\n" + "".join(f"wrong{n} = x\n" for n in range(13)))

    assert len(told) == 12
    assert told[0].endswith(":2: [DEFAULT] wrong0: unknown, so it has no effect")
    assert config.reviewed(many, "backup") == [
        "13 options are unknown: holdfast config check lists them"
    ]


def test_the_start_is_refused_with_one_line(load, tmp_path):
    loaded = load("[DEFAULT]\nvolume_copy_bps_limit = 1\nvolume_manager = ours.Manager\n")

    with pytest.raises(ConfigError) as caught:
        config.reviewed(loaded, "volume")

    assert str(caught.value).startswith(
        f"{tmp_path}/holdfast.conf:2: [DEFAULT] volume_copy_bps_limit: "
    )
    assert str(caught.value).endswith("(and 1 more: holdfast config check)")
    assert config.reviewed(loaded, "backup") == []


def test_cinders_defaults_hold_in_its_own_file(write):
    theirs = config.load(["--config-file", write("[DEFAULT]\n", "cinder.conf")], prog="p")
    found = (theirs.state_path, theirs.image_service, theirs.backup_driver)
    locks, database = theirs.coordination.backend_url, theirs.database.connection
    driver = backends.driver_name(theirs, "lvm")
    ours = config.load(["--config-file", write("[DEFAULT]\n")], prog="p")

    assert found == (
        "/var/lib/cinder",
        "glance",
        "cinder.backup.drivers.swift.SwiftBackupDriver",
    )
    assert locks == "file:///var/lib/cinder"
    assert database == "sqlite:////var/lib/cinder/cinder.sqlite"
    assert driver == "cinder.volume.drivers.lvm.LVMVolumeDriver"
    assert (ours.state_path, ours.image_service) == ("/var/lib/holdfast", "directory")
    assert (ours.backup_driver, backends.driver_name(ours, "lvm")) == ("posix", "local")
    assert ours.database.connection == "sqlite:////var/lib/holdfast/holdfast.sqlite"
    cfg.CONF.reset()


@pytest.mark.parametrize(
    ("files", "theirs"),
    [
        (["/etc/cinder/cinder.conf"], True),
        (["/etc/holdfast/holdfast.conf", "/srv/cinder-volume.conf"], True),
        (["/etc/cinder/holdfast.conf"], False),
        ([], False),
    ],
)
def test_a_file_is_cinders_by_its_name(files, theirs):
    assert defaults.are_cinders(files) is theirs


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("operation_timeout", "has no effect: backends read it from [backend_defaults]"),
        ("volume_group", "has no effect, nor has it in Cinder: backends read it from"),
    ],
)
def test_the_text_does_not_say_of_our_own_options_that_cinder_has_them(review, name, text):
    assert only(review(f"{name} = x"), name).text.startswith(text)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (("iscsi_helper = x", ""), "calls it [backend_defaults] target_helper"),
        (("", "iscsi_helper = x"), "calls it target_helper"),
    ],
)
def test_the_new_name_has_the_section_that_is_read(review, place, told):
    head, section = place

    assert only(
        review(head, "cinder.volume.drivers.lvm.LVM", section), "iscsi_helper"
    ).text.endswith(told)


def test_a_shared_host_needs_no_advice_where_backends_have_their_own(review):
    shared = f"\n[{BACKEND}]\nbackend_host = h2"
    [found] = [
        one
        for one in review("", section="backend_host = h1" + shared).findings
        if one.entry.section == BACKEND
    ]

    assert found.text == "has no effect, nor has it in Cinder"


@pytest.mark.parametrize("name", ["netapp_login", "storpool_templat"])
def test_a_driver_of_another_project_may_have_options_like_those_of_cinders(review, name):
    finding = only(review("", "maker.cinder.Driver", f"{name} = x"), name)

    assert finding.kind is AssignmentKind.ELSEWHERE


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ("", AssignmentKind.TAKEN),
        ("[service_user]\nauth_type = password\n", AssignmentKind.ELSEWHERE),
    ],
)
def test_the_account_of_the_api_is_ours_where_there_is_no_other(review, more, kind):
    api = "[keystone_authtoken]\nauth_type = password\nmemcached_servers = m:1"
    found = review("image_service = glance", section=more + api)
    read = {e.entry.option: e.kind for e in found.findings if e.entry.section[:8] == "keystone"}

    assert read["auth_type"] is kind
    assert read["memcached_servers"] is AssignmentKind.ELSEWHERE
