# SPDX-License-Identifier: Apache-2.0
"""The effect of Cinder's modules on the process that loads them: its options, its database."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.interface import errors  # noqa: E402
from tests.conformance import cinders  # noqa: E402
from worker.conf.check import checker  # noqa: E402
from worker.db.database import Database  # noqa: E402
from worker.db.schema_check import JOINED  # noqa: E402
from worker.db.sync import sync  # noqa: E402

NFS = "cinder.volume.drivers.nfs.NfsDriver"
RBD = "cinder.volume.drivers.rbd.RBDDriver"


class TestProcess:
    """The effect of Cinder's modules on the process that imports them."""

    def test_eventlet_is_not_there(self) -> None:
        cinders.load(RBD)
        from cinder import utils

        assert not hasattr(sys.modules["eventlet"], "__version__")
        assert utils.concurrency_mode_threading()
        assert type(utils.tpool_wrap(self)) is type(self)

    def test_no_default_of_ours_is_changed(self) -> None:
        script = """
            import sys
            from worker import conf as config
            conf = config.load(["--config-file", sys.argv[1]], prog="p")
            def values():
                infos = list(conf._all_opt_infos())
                place = [(g.name if g else None, i["opt"].dest) for i, g in infos]
                return {p: conf[p[0]][p[1]] if p[0] else conf[p[1]] for p in place}
            before = values()
            from drivers.cinder import loading
            loading.load("cinder.volume.drivers.rbd.RBDDriver")
            after = values()
            print({k: (v, after[k]) for k, v in before.items() if after[k] != v})
            assert len(after) > len(before) + 100
        """
        assert run(script) == "{}"


class TestSeveralBackends:
    """Each backend has a process of its own, forked from one that has loaded Cinder."""

    def test_cinders_classes_are_complete_before_the_fork(self) -> None:
        script = f"""
            import os, threading
            from tests.conformance import cinders
            cinders.load("{NFS}")
            from drivers.cinder import loading
            def opened():
                places = [f"/proc/self/fd/{{n}}" for n in os.listdir("/proc/self/fd")]
                return {{os.readlink(place) for place in places if os.path.exists(place)}}
            before = opened()
            loading.before_fork()
            from cinder.db import models
            assert all(one.configured for one in models.BASE.registry.mappers)
            assert threading.enumerate() == [threading.main_thread()]
            assert opened() <= before, opened() - before
        """
        assert run(script) == ""

    def test_a_process_imports_nothing_of_cinder_after_the_fork(self, tmp_path: Path) -> None:
        script = """
            import os, sys
            from worker.cmd import volume
            from worker.service import process
            def serve(conf, services, *_):
                before = set(sys.modules)
                for make, _processes in services[:1]:
                    service = make(0, lambda waits: None)
                    service.start()
                late = {name.partition(".")[0] for name in sys.modules.keys() - before}
                print(service.parts.backend.initialized, sorted(late))
                sys.stdout.flush()
                os._exit(0)
            process.serve = serve
            volume.main(["--config-file", sys.argv[1]])
        """
        driver = "reference_driver.ReferenceDriver"
        extra = (
            "transport_url = kombu+memory://localhost\n"
            f"[database]\nconnection = sqlite:///{tmp_path}/rows\n"
            f"[b1]\nvolume_driver = {driver}\nlocal_path = {tmp_path}/v\n"
            f"[b2]\nvolume_driver = {driver}\nlocal_path = {tmp_path}/w\n"
        )
        sync(Database(f"sqlite:///{tmp_path}/rows"))
        plugins = Path(__file__).parents[1] / "plugins"
        last = run(script, extra, enabled="b1,b2", path=plugins).splitlines()[-1]

        assert last == "True ['kombu']"

    def test_a_new_installation_is_one_without_volumes(self) -> None:
        script = f"""
            from tests.conformance import cinders
            driver = cinders.load("{NFS}")
            cinders.configuration(driver, {{}})
            from drivers.cinder import runtime
            runtime.begin()
            volumes = cinders.Rows()._records.volumes
            found = [runtime.facts("h@b").is_new]
            volumes.create(id="v1", size=1, host="h@b", status="deleting")
            found.append(runtime.facts("h@b").is_new)
            volumes.destroy("v1")
            print(*found, runtime.facts("h@b").is_new)
        """
        assert run(script) == "True False True"


class TestDatabase:
    """Cinder's code and ours write to the same tables."""

    def test_writers_to_a_file_wait_for_each_other(self) -> None:
        script = f"""
            import threading
            from tests.conformance import cinders
            driver = cinders.load("{NFS}")
            cinders.configuration(driver, {{}})
            from drivers.cinder import runtime
            runtime.begin()
            from cinder import context, objects
            from cinder.db import api
            ours, admin = cinders.Rows()._records.volumes, context.get_admin_context()
            volume = ours.create(size=1, host="h@b", user_id="u", project_id="p")

            def theirs():
                for number in range(20):
                    pairs = {{"number": str(number)}}
                    api.volume_admin_metadata_update(admin, volume.id, pairs, True)
                    objects.Volume.get_by_id(admin, volume.id)

            def mine():
                for number in range(40):
                    ours.update(volume.id, display_name=str(number))

            threading.excepthook = lambda told: print(told.exc_value)
            threads = [threading.Thread(target=work) for work in (theirs, theirs, mine, mine)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            found = ours.get(volume.id)
            print(found.display_name, found.admin_metadata)
        """

        assert run(script) == "39 {'number': '19'}"

    def test_a_standalone_database_has_all_tables_of_cinders_models(self, tmp_path: Path) -> None:
        cinders.load(NFS)
        from cinder.db import models as theirs

        database = Database(f"sqlite:///{tmp_path / 'rows'}")
        sync(database)
        with database.reader() as connection:
            inspector = sa.inspect(connection)
            made = {
                name: {column["name"] for column in inspector.get_columns(name)}
                for name in inspector.get_table_names()
            }
        wanted = {
            name: {column.name for column in table.columns}
            for name, table in theirs.BASE.metadata.tables.items()
        }
        missing = {name: wanted[name] - made.get(name, set()) for name in wanted}

        assert JOINED <= wanted.keys() <= made.keys()
        assert not any(missing.values()), missing

    def test_every_relation_of_cinders_objects_can_be_read_from_it(self) -> None:
        script = f"""
            from tests.conformance import cinders
            driver = cinders.load("{NFS}")
            cinders.configuration(driver, {{}})
            from drivers.cinder import runtime
            runtime.begin()
            from cinder import context
            from cinder.db import api
            from cinder.db import models
            from sqlalchemy import orm
            with orm.Session(api.get_engine()) as session:
                for mapper in models.BASE.registry.mappers:
                    kind = mapper.class_
                    wide = [orm.joinedload(getattr(kind, one.key)) for one in mapper.relationships]
                    session.query(kind).options(*wide).all()
                    print(kind.__tablename__)
        """

        assert set(run(script).splitlines()) >= JOINED


class TestConfiguration:
    """One file, two programs' options."""

    def test_a_driver_reads_its_section_then_the_shared_one(self, tmp_path: Path) -> None:
        script = """
            import sys
            from worker import conf as config
            from worker.conf import backends
            conf = config.load(["--config-file", sys.argv[1]], prog="p")
            driver, ours = backends.configure(conf, "b1")
            from cinder.volume import configuration
            theirs = configuration.Configuration(driver.OPTS, config_group="b1")
            names = ("volume_backend_name", "reserved_percentage", "nfs_mount_attempts",
                     "max_over_subscription_ratio", "nfs_sparsed_volumes", "nas_host")
            for where in (ours, theirs):
                print([where.safe_get(name) for name in names])
            print(ours.processes, driver.__name__, theirs.nfs_mount_point_base)
        """
        extra = (
            "[backend_defaults]\nreserved_percentage = 7\nnfs_mount_attempts = 5\n"
            f"[b1]\nvolume_driver = {NFS}\nvolume_backend_name = one\n"
        )
        lines = run(script, extra, enabled="b1").splitlines()

        assert lines[0] == lines[1] == "['one', 7, 5, '20.0', True, '']"
        assert lines[2].startswith("1 NfsDriver ")

    def test_a_wrong_value_is_named_with_its_place(self, tmp_path: Path) -> None:
        file = tmp_path / "wrong.conf"
        file.write_text(
            f"[DEFAULT]\nenabled_backends = b1\n[b1]\nvolume_driver = {NFS}\n"
            "nfs_mount_attempts = many\n"
        )
        problems = [one for one in checker.check([str(file)]) if one.section == "b1"]

        wanted = f"{file}:5: [b1] nfs_mount_attempts: 'many' is not a number"
        assert [str(one) for one in problems] == [wanted]

    def test_somebody_elses_driver_for_cinder_is_adapted_as_well(self, tmp_path: Path) -> None:
        (tmp_path / "theirs.py").write_text(
            "from cinder.volume import driver\n\n\nclass Theirs(driver.VolumeDriver):\n    pass\n"
        )
        script = """
            import sys
            from worker import conf as config
            from worker.conf import backends
            conf = config.load(["--config-file", sys.argv[1]], prog="p")
            driver = backends.driver_class(conf, "b1")
            print(driver.__name__, driver.cinders.__module__)
        """
        text = run(script, "[b1]\nvolume_driver = theirs.Theirs\n", enabled="b1", path=tmp_path)

        assert text == "Theirs theirs"

    @pytest.mark.parametrize(
        "name", ["FakeLoggingVolumeDriver", "FakeHAReplicatedLoggingVolumeDriver"]
    )
    def test_the_driver_of_cinders_own_tests_runs(self, name: str) -> None:
        script = f"""
            import os
            from tests.conformance import cinders
            path = "cinder.tests.fake_driver.{name}"
            before = dict(os.environ)
            driver = cinders.load(path)
            assert dict(os.environ) == before
            made = driver(cinders.configuration(driver, {{}}), host="h@b")
            made.do_setup(None)
            made.check_for_setup_error()
            made.init_capabilities()
            rows = cinders.Rows()._records.volumes
            volume = rows.create(size=1, host="h@b", user_id="u", project_id="p")
            made.create_volume(volume)
            print(made.initialize_connection(volume, {{"host": "h"}})["driver_volume_type"])
            made.delete_volume(volume)
            print(sorted(made.capabilities["properties"]))
        """
        lines = run(script).splitlines()

        assert lines[-2:] == [
            "iscsi",
            "['compression', 'qos', 'replication_enabled', 'thin_provisioning']",
        ]

    def test_a_gate_driver_of_cinders_tests_can_be_loaded(self) -> None:
        assert run(
            "from tests.conformance import cinders\n"
            "print(cinders.load('cinder.tests.fake_driver.FakeGateDriver').__name__)"
        ).endswith("FakeGateDriver")

    def test_what_is_no_driver_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"cinder.context.RequestContext is no volume driver"):
            cinders.load("cinder.context.RequestContext")


class TestRefused:
    """A set-up that would fail later is refused when the backend comes up."""

    @pytest.mark.parametrize(
        ("cluster", "processes", "text"),
        [("c@b", 1, "cannot serve a cluster"), (None, 2, "cannot have 2 processes")],
    )
    def test_a_driver_that_is_alone_on_its_backend(
        self, cluster: str | None, processes: int, text: str
    ) -> None:
        from drivers.cinder.runtime import Facts

        options = SimpleNamespace(safe_get={"processes": processes}.get)
        driver = cinders.load("cinder.volume.drivers.lvm.LVMVolumeDriver")(options, host="h@b")

        with pytest.raises(errors.VolumeDriverException, match=text):
            driver._check(Facts(cluster, True))  # type: ignore[attr-defined]


def run(script: str, extra: str = "", *, enabled: str = "", path: Path | None = None) -> str:
    """Run a program in a process of its own, and return its output."""
    root = Path(__file__).parents[3]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "holdfast.conf")
        file.write_text(f"[DEFAULT]\nstate_path = {scratch}\nenabled_backends = {enabled}\n{extra}")
        program = textwrap.dedent(script)
        places = os.pathsep.join(str(one) for one in (root, path) if one is not None)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, str(file)],
            env={**os.environ, "PYTHONPATH": places},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
