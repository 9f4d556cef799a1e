# SPDX-License-Identifier: Apache-2.0
"""Images in Glance, through openstacksdk.

The service asks in its own name (``ACCOUNTS``): a token of the caller's would not outlive
a restart, and is never written down.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, ClassVar, TypeVar

import tenacity
from oslo_config import cfg
from oslo_utils import units

from drivers import keystone, tls_errors
from drivers.interface.errors import ImageCopyFailure, ImageError, ImageNotFound
from drivers.interface.image import Image, ImageService, Locations

LOG = logging.getLogger(__name__)

CHUNK = units.Mi
"""Bytes that are read at a time."""

_RECORD_MAX = 4 * units.Mi
"""Bytes that an answer may have which is no image's data."""

ACCOUNTS = ("service_user", "glance", "keystone_authtoken")
"""Sections that may have an account; the first one that has is used."""

_MISSING = "image_service = glance needs openstacksdk: pip install 'holdfast[glance]'"

_KNOWN = {
    *("id", "name", "status", "size", "visibility", "container_format", "disk_format"),
    *("min_disk", "min_ram", "owner", "protected", "tags", "checksum", "os_hash_algo"),
    *("os_hash_value", "virtual_size", "created_at", "updated_at", "os_hidden", "file"),
    *("locations", "direct_url", "self", "schema", "stores"),
}
"""Glance's fields of each image; everything else is a property of it."""

_GONE = (403, 404, 410)
_PAUSE = 0.5
"""Seconds by which each pause between two attempts is longer than the one before it."""

_AUTHORITIES = "glance_ca_certificates_file, or cafile in the section of the account"

T = TypeVar("T")


class _CertificateRefused(ImageCopyFailure):
    """A server shows a wrong certificate: a new attempt would see the same one."""


class GlanceImages(ImageService):
    """Images in Glance."""

    OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.ListOpt(
            "glance_api_servers",
            default=[],
            help="Addresses of Glance, as http://controller:9292; the first that answers is "
            "used. Empty: the one in the catalogue of Keystone.",
        ),
        cfg.StrOpt(
            "auth_strategy",
            default="keystone",
            choices=[
                (
                    "keystone",
                    "with the account in [service_user], [glance] or [keystone_authtoken]",
                ),
                ("noauth", "without any, for tests"),
                ("noauth_include_project_id", "the same"),
            ],
            help="How the service makes itself known to Glance.",
        ),
        cfg.IntOpt(
            "glance_num_retries", default=3, min=0, help="How often a request is tried again."
        ),
        cfg.BoolOpt(
            "glance_api_insecure",
            default=False,
            help="Whether the certificate of Glance is not verified.",
        ),
        cfg.StrOpt(
            "glance_ca_certificates_file",
            default="",
            help="File with the authority that signed the certificate of Glance.",
        ),
        cfg.StrOpt("glance_certfile", help="Certificate that is shown to Glance."),
        cfg.StrOpt("glance_keyfile", help="Key of that certificate."),
        cfg.StrOpt(
            "glance_catalog_info",
            default="image:glance:publicURL",
            help="How Glance is found in the catalogue, as type:name:address; the address is "
            "publicURL, internalURL or adminURL.",
        ),
        cfg.IntOpt(
            "glance_request_timeout",
            default=600,
            min=1,
            help="Seconds after which a request that is not answered has failed.",
        ),
    ]

    def __init__(self, conf: Any) -> None:
        super().__init__(conf)
        self._lock = threading.Lock()
        self._proxies: dict[str | None, Any] = {}

    def check(self) -> None:
        """Check that the library is installed, without loading it: that takes memory."""
        if importlib.util.find_spec("openstack") is None:
            raise ImageCopyFailure(_MISSING)

    def show(self, context: Any, image_id: str) -> Image:
        """Ask Glance for the metadata."""
        known = self._retried(f"image {image_id}", lambda proxy: self._get(proxy, image_id))
        base = {name: value for name, value in known.items() if name in _KNOWN}
        return {**base, "properties": {n: v for n, v in known.items() if n not in _KNOWN}}

    def download(
        self, context: Any, image_id: str, data: BinaryIO | None = None
    ) -> Iterator[bytes] | None:
        """Ask for the data."""
        chunks = self._chunks(image_id)
        if data is None:
            return chunks
        for chunk in chunks:
            data.write(chunk)
        return None

    def update(
        self,
        context: Any,
        image_id: str,
        image_meta: Image,
        data: BinaryIO | Iterator[bytes] | None = None,
        **_: Any,
    ) -> Image:
        """Send the data."""
        if data is not None:
            # Once: the data cannot be read again.
            headers = {"Content-Type": "application/octet-stream", "Accept": ""}
            with _explained(f"image {image_id} cannot be written"):
                proxy = self._proxy(self._servers()[0])
                place = f"/images/{image_id}/file"
                with proxy.put(place, headers=headers, data=_body(data), stream=True) as answer:
                    _check(answer, f"image {image_id}")
        return self.show(context, image_id)

    def delete(self, context: Any, image_id: str) -> None:
        """Delete it."""

        def delete(proxy: Any) -> None:
            with proxy.delete(f"/images/{image_id}", stream=True) as answer:
                if answer.status_code not in (404, 410):
                    _check(answer, f"image {image_id}")

        self._retried(f"image {image_id}", delete)

    def create(
        self, context: Any, image_meta: Image, data: BinaryIO | Iterator[bytes] | None = None
    ) -> Image:
        """Make it, and send the data."""
        properties = dict(image_meta.get("properties") or {})
        body = {name: value for name, value in image_meta.items() if name != "properties"}

        def make(proxy: Any) -> str:
            with proxy.post("/images", json={**properties, **body}, stream=True) as answer:
                _check(answer, "a new image")
                return str(_record(answer, "a new image")["id"])

        return self.update(context, self._retried("a new image", make), {}, data)

    def get_location(self, context: Any, image_id: str) -> Locations:
        """Return Glance's locations of the data."""
        known = self._retried(f"image {image_id}", lambda proxy: self._get(proxy, image_id))
        return known.get("direct_url"), known.get("locations")

    def _get(self, proxy: Any, image_id: str) -> dict[str, Any]:
        with proxy.get(f"/images/{image_id}", stream=True) as answer:
            _check(answer, f"image {image_id}")
            return _record(answer, f"image {image_id}")

    def _chunks(self, image_id: str) -> Iterator[bytes]:
        def ask(proxy: Any) -> Any:
            answer = proxy.get(f"/images/{image_id}/file", stream=True)
            _check(answer, f"image {image_id}")
            if answer.status_code == 204:
                raise ImageNotFound(f"image {image_id} has no data")
            return answer

        answer = self._retried(f"image {image_id}", ask)
        with answer, _explained(f"image {image_id} cannot be read to its end"):
            yield from answer.iter_content(CHUNK)

    def _retried(self, label: str, ask: Callable[[Any], T]) -> T:
        """Repeat a request until a server answers, up to ``glance_num_retries`` times."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_repeated),
            wait=tenacity.wait_incrementing(start=0, increment=_PAUSE),
            stop=tenacity.stop_after_attempt(self.conf.glance_num_retries + 1),
            after=_log_attempt,
            reraise=True,
        )
        return retrying(lambda: self._ask_each_server(label, ask))

    def _ask_each_server(self, label: str, ask: Callable[[Any], T]) -> T:
        """Return the answer of the first server that has one, or raise the last one's error."""
        failure = ImageError(f"no server of Glance is known for {label}")
        for server in self._servers():
            try:
                with _explained(f"Glance does not answer for {label}"):
                    return ask(self._proxy(server))
            except ImageNotFound:
                raise
            except ImageError as error:
                failure = error
        raise failure

    def _servers(self) -> list[str | None]:
        return list(self.conf.glance_api_servers) or [None]

    def _proxy(self, server: str | None) -> Any:
        """Return the client of a server; None is that of the catalogue."""
        with self._lock:
            if server not in self._proxies:
                self._proxies[server] = self._connected(server)
            return self._proxies[server]

    def _connected(self, server: str | None) -> Any:
        # Late: an optional library, which takes memory.
        from openstack.connection import Connection

        conf = self.conf
        verify = not conf.glance_api_insecure and (conf.glance_ca_certificates_file or True)
        timeout = conf.glance_request_timeout
        if conf.auth_strategy != "keystone":
            options = {"auth_type": "none", "endpoint": server, "image_endpoint_override": server}
            connection = Connection(**options, verify=verify, api_timeout=timeout)
            _require_certificate(connection.session, server)
            return connection.image
        account = keystone.account(conf, ACCOUNTS) or ACCOUNTS[0]
        with _explained(f"[{account}] is no account of Keystone"):
            session = keystone.session(conf, account, **_tls(conf))
            _require_certificate(session, server)
            return Connection(session=session, **_place(conf, server)).image


def _tls(conf: Any) -> dict[str, Any]:
    """Return Glance's own options of connections; the account's apply to the rest."""
    wanted = {
        "cacert": conf.glance_ca_certificates_file,
        "cert": conf.glance_certfile,
        "key": conf.glance_keyfile,
        "insecure": conf.glance_api_insecure,
        "timeout": conf.glance_request_timeout,
    }
    return {name: value for name, value in wanted.items() if value}


def _require_certificate(session: Any, server: str | None) -> None:
    """Connect once: the library's search for versions hides why a connection fails."""
    if server and server.startswith("https:"):
        session.get(server, authenticated=False, raise_exc=False)


def _place(conf: Any, server: str | None) -> dict[str, Any]:
    """Return where Glance is: at an address, or as the catalogue says."""
    conf.register_opts([cfg.StrOpt("region_name")], group=ACCOUNTS[1])
    kind, _, rest = conf.glance_catalog_info.partition(":")
    where: dict[str, Any] = {"image_endpoint_override": server} if server else {}
    if interface := rest.rpartition(":")[2].removesuffix("URL"):
        where["image_interface"] = interface
    if kind and kind != "image":
        where["image_service_type"] = kind
    if region := conf[ACCOUNTS[1]].region_name:
        where["region_name"] = region
    return where


@contextlib.contextmanager
def _explained(text: str) -> Iterator[None]:
    """Turn whatever a library raises into an error of images."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        reason = tls_errors.refusal(error, _AUTHORITIES)
        if reason:
            raise _CertificateRefused(f"{text}: {reason}") from error
        raise ImageCopyFailure(f"{text}: {type(error).__name__}: {error}") from error


def _is_repeated(error: BaseException) -> bool:
    return isinstance(error, ImageError) and not isinstance(
        error, ImageNotFound | _CertificateRefused
    )


def _log_attempt(state: tenacity.RetryCallState) -> None:
    assert state.outcome is not None
    LOG.warning("%s; try %d", state.outcome.exception(), state.attempt_number)


def _check(answer: Any, label: str) -> None:
    if answer.status_code in _GONE:
        raise ImageNotFound(f"Glance has no {label} for us: {answer.status_code}")
    if answer.status_code >= 400:
        text = " ".join(_content(answer).decode(errors="replace").split())
        raise ImageCopyFailure(f"Glance refused {label}: {answer.status_code} {text:.200}")


def _record(answer: Any, label: str) -> dict[str, Any]:
    known = json.loads(_content(answer))
    if not isinstance(known, dict):
        raise ImageCopyFailure(f"Glance has no record of {label}: {known!r:.80}")
    return known


def _content(answer: Any) -> bytes:
    """Return an answer's body. :raises ImageCopyFailure: it does not end."""
    body = bytearray()
    for chunk in answer.iter_content(64 * units.Ki):
        body += chunk
        if len(body) > _RECORD_MAX:
            raise ImageCopyFailure(f"the answer of Glance has more than {_RECORD_MAX} bytes")
    return bytes(body)


def _body(data: BinaryIO | Iterator[bytes]) -> Iterator[bytes]:
    """Return chunks, so that the length need not be known."""
    read = getattr(data, "read", None)
    return iter(data) if read is None else iter(functools.partial(read, CHUNK), b"")
