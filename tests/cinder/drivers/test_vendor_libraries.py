# SPDX-License-Identifier: Apache-2.0
"""Drivers with vendors' libraries of the package index: as far as without an array.

Each is made and set up twice, by Cinder's own means and behind our contract. The array refuses
every request, and both end with the same error at the same place. py-pure-client is installed by
tox where the package index has it; NetApp's driver needs no library beside Cinder's own.
"""

from __future__ import annotations

import importlib.util
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from oslo_utils import importutils  # noqa: E402

from tests.conformance import cinders  # noqa: E402

HOST = f"node@{cinders.SECTION}"
NETAPP = "cinder.volume.drivers.netapp.common.NetAppDriver"
PURE = "cinder.volume.drivers.pure.{}Driver"


@pytest.fixture(scope="module")
def array() -> Iterator[int]:
    """A server that refuses every request; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class Refusing(BaseHTTPRequestHandler):
    """Answers that the user may not do it."""

    def do_POST(self) -> None:
        """Refuse."""
        self.send_error(HTTPStatus.FORBIDDEN)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


def netapp(protocol: str) -> dict[str, str]:
    """Return the options of a cluster with ONTAP; its port is that of the server."""
    return {
        "netapp_storage_family": "ontap_cluster",
        "netapp_storage_protocol": protocol,
        "netapp_server_hostname": "127.0.0.1",
        "netapp_transport_type": "http",
        "netapp_login": "admin",
        "netapp_password": "secret",
        "netapp_vserver": "svm",
    }


def pure() -> dict[str, str]:
    """Return the options of a FlashArray whose address has no server for TLS."""
    return {"san_ip": "127.0.0.1", "pure_api_token": "token"}


CASES = [
    pytest.param("", NETAPP, netapp("iscsi"), id="netapp-iscsi"),
    *(
        pytest.param("pypureclient", PURE.format(kind), pure(), id=f"pure-{kind.lower()}")
        for kind in ("PureISCSI", "PureFC", "PureNVME")
    ),
]


@pytest.mark.parametrize(("library", "path", "options"), CASES)
def test_it_comes_as_far_as_in_cinders_own_service(
    library: str, path: str, options: Mapping[str, str], array: int
) -> None:
    if library and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: the package index has no py-pure-client")
    driver = cinders.load(path)
    port = {"netapp_server_port": str(array)} if path == NETAPP else {}
    configured = cinders.configuration(driver, {**options, **port})
    from cinder import context
    from cinder.volume import configuration
    from cinder.volume import driver as bases

    from drivers.cinder import runtime

    runtime.begin()
    made: Any = driver(configured, host=HOST)

    def by_cinder() -> None:
        theirs = importutils.import_object(
            path,
            configuration=configuration.Configuration(
                bases.volume_opts, config_group=cinders.SECTION
            ),
            host=HOST,
            cluster_name=None,
            active_backend_id=None,
            is_vol_db_empty=True,
        )
        theirs.do_setup(context.get_admin_context())
        theirs.check_for_setup_error()
        theirs.init_capabilities()

    def by_us() -> None:
        made.do_setup(None)
        made.check_for_setup_error()
        made.init_capabilities()

    (theirs, place), (ours, our_place) = failure(by_cinder), failure(by_us)
    assert our_place == place
    assert ours.endswith(theirs)
    assert "python module" not in theirs, "its library was not found"


def failure(attempt: Callable[[], None]) -> tuple[str, str]:
    """Return the text of an error of the driver, and the place in its code that raised it."""
    try:
        attempt()
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is compared
        first: BaseException = error
        while first.__cause__ is not None and first.__cause__ is not first:
            first = first.__cause__
        frames = traceback.extract_tb(first.__traceback__)
        (*_, last) = [one for one in frames if "cinder/volume/drivers" in one.filename]
        text = re.sub(r"0x[0-9a-f]+|req-[\w-]+", "…", str(error))
        return text, f"{last.filename}:{last.lineno}"
    return "", "up"
