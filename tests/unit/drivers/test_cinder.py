# SPDX-License-Identifier: Apache-2.0
"""The surroundings of Cinder's drivers, without Cinder (tests/cinder has the rest)."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from oslo_config import cfg

from drivers.cinder import eventlet_stub, loading, merged_options
from drivers.cinder.error_translation import translated
from drivers.interface import errors

ROOT = Path(__file__).parents[3]

WITHOUT = """
import sys
from worker import conf as config
from worker.conf import backends
from worker.service import process, volume
conf = config.load(["--config-file", sys.argv[1]], prog="holdfast-volume")
for name in conf.enabled_backends:
    backends.configure(conf, name)
found = [name for name in sys.modules if name.split(".")[0] in ("cinder", "os_brick")]
assert not found, found
assert sys.modules["eventlet"] is None
assert "drivers.cinder.adapter" not in sys.modules
assert "register_opt" not in vars(conf)
"""


def test_nothing_of_cinder_is_imported_without_such_a_driver(tmp_path: Path) -> None:
    file = tmp_path / "holdfast.conf"
    file.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\nenabled_backends = a,b\n"
        "[a]\nvolume_driver = local\n[b]\nvolume_driver = noop\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(loading.installed(), reason="Cinder is installed")
def test_who_has_no_cinder_is_told_what_to_install() -> None:
    with pytest.raises(loading.Unsuitable, match=r"pip install 'holdfast\[cinder\]'"):
        loading.load("cinder.volume.drivers.nfs.NfsDriver")


def test_a_class_is_none_of_cinders_while_nothing_of_it_is_loaded() -> None:
    assert not loading.is_cinders(dict)
    assert not loading.is_cinders("cinder.volume.drivers.nfs.NfsDriver")


class TestOptions:
    """Two programs register options under the same names."""

    OURS = cfg.IntOpt("size", default=1, min=0, help="Ours.")
    THEIRS = cfg.IntOpt("size", default=2, help="Theirs.")

    def conf(self, *argv: str) -> cfg.ConfigOpts:
        conf = cfg.ConfigOpts()
        conf.register_opt(self.OURS)
        conf(list(argv), project="test", default_config_files=[])
        return conf

    def test_what_was_there_first_stays(self) -> None:
        conf = self.conf()
        merged_options.be_lenient(conf)
        merged_options.be_lenient(conf)

        conf.register_opts([self.THEIRS, cfg.StrOpt("name", default="new")])

        assert (conf.size, conf.name) == (1, "new")

    def test_without_it_the_second_is_refused(self) -> None:
        with pytest.raises(cfg.DuplicateOptError):
            self.conf().register_opts([self.THEIRS])

    def test_an_option_of_the_command_line_that_comes_late_is_read_from_files(self) -> None:
        conf = self.conf()
        merged_options.be_lenient(conf)

        conf.register_cli_opts([cfg.StrOpt("late", default="here"), self.THEIRS])

        assert (conf.late, conf.size) == ("here", 1)

    def test_imports_do_not_change_defaults_of_others(self) -> None:
        conf = self.conf()
        with merged_options.kept_defaults(conf):
            conf.register_opt(cfg.IntOpt("new", default=1))
            conf.set_default("size", 7)
            conf.set_default("new", 7)

        assert (conf.size, conf.new) == (1, 7)
        conf.set_default("size", 8)
        assert conf.size == 8


THEIRS = {"__module__": "cinder.exception"}


class TestFailures:
    """Errors are known by name; the text stays."""

    @pytest.mark.parametrize(
        "name",
        [
            *("VolumeIsBusy", "SnapshotIsBusy", "TargetUpdateFailed"),
            *("ImageLimitExceeded", "SnapshotLimitExceeded", "ManageExistingAlreadyManaged"),
        ],
    )
    def test_an_error_that_the_contract_knows_keeps_its_name(self, name: str) -> None:
        theirs = type(name, (Exception,), THEIRS)
        with pytest.raises(getattr(errors, name), match=r"^why$"), translated():
            raise theirs("why")

    def test_a_special_case_of_it_counts_as_it(self) -> None:
        known = type("VolumeDriverException", (Exception,), THEIRS)
        special = type("LicenceMissing", (known,), {})
        wanted = pytest.raises(errors.VolumeDriverException, match=r"^LicenceMissing: why$")
        with wanted, translated():
            raise special("why")

    def test_the_same_name_elsewhere_means_something_else(self) -> None:
        other = type("ImageNotFound", (Exception,), {"__module__": "rbd"})
        wanted = pytest.raises(errors.VolumeBackendAPIException, match=r"^ImageNotFound: why$")
        with wanted, translated():
            raise other("why")

    def test_any_other_is_the_backends(self) -> None:
        wanted = pytest.raises(errors.VolumeBackendAPIException, match=r"^KeyError: 'x'$")
        with wanted, translated():
            raise KeyError("x")

    @pytest.mark.parametrize("kind", [NotImplementedError, errors.ImageNotFound, SystemExit])
    def test_what_has_a_meaning_here_passes(self, kind: type[BaseException]) -> None:
        with pytest.raises(kind), translated():
            raise kind("as it is")

    def test_absence_is_success(self) -> None:
        with translated(KeyError):
            raise KeyError("not there")


class TestThreads:
    """The replacement of eventlet."""

    def test_calls_on_native_threads_are_limited_but_never_wait_for_themselves(self) -> None:
        pool, entered, leave = eventlet_stub.NativeThreads(1), threading.Event(), threading.Event()

        def hold() -> str:
            entered.set()
            leave.wait(timeout=10)
            return str(pool.execute(lambda: "nested"))

        first = eventlet_stub.Spawned(pool.execute, hold)
        assert entered.wait(timeout=10)
        second = eventlet_stub.Spawned(pool.execute, lambda: "second")
        assert not second._done.done()
        pool.resize(2)
        assert second.wait() == "second"
        leave.set()

        assert first.wait() == "nested"
        with pytest.raises(KeyError):
            pool.execute({}.__getitem__, "x")
        assert pool.execute(lambda: pool._running) == 1

    def test_what_is_spawned_runs_and_is_waited_for(self) -> None:
        assert eventlet_stub.Spawned(lambda a, b: a + b, 1, b=2).wait() == 3
        with pytest.raises(KeyError):
            eventlet_stub.Spawned({}.__getitem__, "x").wait()

    def test_a_pool_of_work_has_an_upper_bound(self) -> None:
        pool, most, now, lock = eventlet_stub.GreenPool(2), [0], [0], threading.Lock()
        gate = threading.Barrier(2)

        def work() -> None:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            gate.wait(timeout=10)
            with lock:
                now[0] -= 1

        for _ in range(6):
            pool.spawn_n(work)
        pool.waitall()

        assert (most[0], now[0]) == (2, 0)

    def test_items_are_lent_made_when_needed_and_waited_for(self) -> None:
        made = iter(range(10))
        pool = eventlet_stub.Pool(max_size=1, create=lambda: next(made))
        with pool.item() as first:
            waiting = eventlet_stub.Spawned(pool.get)
        second = waiting.wait()

        assert (first, second, pool.current_size) == (0, 0, 1)
        pool.put(second)
        assert (list(pool.free_items), pool.free()) == ([0], 1)

    def test_an_item_that_cannot_be_made_leaves_room_for_another(self) -> None:
        answers = iter([KeyError("no"), "yes"])

        def create() -> object:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        pool = eventlet_stub.Pool(max_size=1, create=create)
        with pytest.raises(KeyError):
            pool.get()

        assert pool.get() == "yes"

    def test_nobody_patches_this_process(self) -> None:
        modules = eventlet_stub._modules()
        with pytest.raises(RuntimeError, match="native threads"):
            modules["eventlet"]["monkey_patch"]()
        assert modules["eventlet.patcher"]["is_monkey_patched"]("thread") is False
        assert modules["eventlet.tpool"]["execute"](lambda: 1) == 1
