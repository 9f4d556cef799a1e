# SPDX-License-Identifier: Apache-2.0
"""Images in Glance, by its API of version 2.

The service asks in its own name (``glance_client.glance_server``): a token of the caller's would
not outlive a restart, and is never written down.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar, TypeVar

import tenacity
from oslo_config import cfg
from oslo_utils import units

from drivers import tls_errors
from drivers.image.glance_client import store_files
from drivers.image.glance_client.answer import CHUNK, GlanceAnswer, GlanceRefused
from drivers.image.glance_client.continued_download import ContinuedDownload
from drivers.image.glance_client.glance_server import ACCOUNTS, LOCATION_ACCOUNTS, GlanceServer
from drivers.image.glance_client.locations import GlanceLocations
from drivers.image.glance_client.time_limits import MinimumRate
from drivers.image.pieces import handed_over
from drivers.interface.errors import (
    ImageCopyFailure,
    ImageError,
    ImageLimitExceeded,
    ImageNotFound,
)
from drivers.interface.image import Image, ImageService, Locations, first_bytes

LOG = logging.getLogger(__name__)

_MISSING = "image_service = glance needs keystoneauth1: pip install 'holdfast[glance]'"

_KNOWN = {
    *("id", "name", "status", "size", "visibility", "container_format", "disk_format"),
    *("min_disk", "min_ram", "owner", "protected", "tags", "checksum", "os_hash_algo"),
    *("os_hash_value", "virtual_size", "created_at", "updated_at", "os_hidden", "file"),
    *("locations", "direct_url", "self", "schema", "stores"),
}
"""Glance's fields of each image; everything else is a property of it."""

_STORE, _BASE_IMAGE = "x-image-meta-store", "x-openstack-base-image-ref"
"""Headers of an upload."""

_PAUSE = 0.5
"""Seconds by which each pause between two attempts is longer than the one before it."""

_BROKEN_PAUSE = 5.0
"""The same for a download that broke: there is more to lose, and a server may be at its start."""

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
            "used. http:// and a version, as /v2, may be left out. Empty: the one in the catalogue "
            "of Keystone.",
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
        cfg.IntOpt(
            "glance_download_min_rate",
            default=64,
            min=0,
            help="KiB per second that a download has to bring, on the average of "
            "glance_request_timeout, or it has failed; 0: no limit.",
        ),
        *store_files.OPTS,
    ]

    def check(self) -> None:
        """Check that the library is installed, without loading it: that takes memory."""
        if importlib.util.find_spec("keystoneauth1") is None:
            raise ImageCopyFailure(_MISSING)

    def show(self, context: Any, image_id: str) -> Image:
        """Ask Glance for the metadata."""
        known = self._record(image_id)
        base = {name: value for name, value in known.items() if name in _KNOWN}
        return {**base, "properties": {n: v for n, v in known.items() if n not in _KNOWN}}

    def download(
        self, context: Any, image_id: str, data: BinaryIO | None = None
    ) -> Iterator[bytes] | None:
        """Ask for the data."""
        return handed_over(self._chunks(image_id), data)

    def begin(self, context: Any, image_id: str, length: int) -> bytes:
        """Ask for a part of the data, or for all where a store reads no parts."""
        label = f"image {image_id}"
        try:
            with _explained(f"the begin of {label} cannot be read"):
                answer = self._data(image_id, {"Range": f"bytes=0-{length - 1}"})
                with answer:
                    return first_bytes(answer.data(self._rate()), length)
        except GlanceRefused as error:
            LOG.debug("the begin of %s is not sent as a part: %s", label, error)
        return super().begin(context, image_id, length)

    def update(
        self,
        context: Any,
        image_id: str,
        image_meta: Image,
        data: BinaryIO | Iterator[bytes] | None = None,
        *,
        store_id: str | None = None,
        base_image_ref: str | None = None,
        **_: Any,
    ) -> Image:
        """Send the data."""
        if data is not None:
            placement = {_STORE: store_id, _BASE_IMAGE: base_image_ref}
            self._send(image_id, data, {n: v for n, v in placement.items() if v is not None})
        return self.show(context, image_id)

    def delete(self, context: Any, image_id: str) -> None:
        """Delete it."""
        label = f"image {image_id}"

        def delete(server: GlanceServer) -> None:
            with server.request("DELETE", f"/images/{image_id}", label) as answer:
                if not answer.is_absence:
                    answer.check()

        self._retried(label, delete)

    def create(
        self, context: Any, image_meta: Image, data: BinaryIO | Iterator[bytes] | None = None
    ) -> Image:
        """Make it, and send the data."""
        properties = dict(image_meta.get("properties") or {})
        base = {name: value for name, value in image_meta.items() if name != "properties"}
        label, body = "a new image", {**properties, **base}

        def make(server: GlanceServer) -> str:
            with server.request("POST", "/images", label, json=body) as answer:
                answer.check()
                return str(answer.record()["id"])

        return self.update(context, self._retried(label, make), {}, data)

    def get_location(self, context: Any, image_id: str) -> Locations:
        """Return Glance's locations of the data."""
        return self._locations.of(image_id, lambda: self._record(image_id))

    def add_location(
        self, context: Any, image_id: str, url: str, metadata: Mapping[str, Any]
    ) -> None:
        """Give Glance a location of the data; it may look at the data after that."""
        self._locations.add(image_id, url, metadata)

    def _record(self, image_id: str, pause: float | None = None) -> dict[str, Any]:
        label = f"image {image_id}"

        def ask(server: GlanceServer) -> dict[str, Any]:
            with server.request("GET", f"/images/{image_id}", label) as answer:
                answer.check()
                return answer.record()

        return self._retried(label, ask, pause=pause)

    def _has_hash(self, image_id: str) -> bool:
        known = self._record(image_id, _BROKEN_PAUSE)
        return bool(known.get("os_hash_value") or known.get("checksum"))

    def _chunks(self, image_id: str) -> Iterator[bytes]:
        label, conf = f"image {image_id}", self.conf
        file = store_files.opened(conf, image_id, self.show, self.get_location)
        if file is not None:
            with file, _explained(f"{label} cannot be read from {file.name}"):
                yield from iter(functools.partial(file.read, CHUNK), b"")
            return

        def asked(more: Mapping[str, str]) -> GlanceAnswer:
            return self._data(image_id, more, _BROKEN_PAUSE if more else None)

        has_hash = functools.partial(self._has_hash, image_id)
        attempts = conf.glance_num_retries
        download = ContinuedDownload(label, asked, self._rate(), attempts, has_hash)
        with _explained(f"{label} cannot be read to its end"):
            yield from download.chunks()

    def _rate(self) -> MinimumRate:
        conf = self.conf
        return MinimumRate(conf.glance_download_min_rate * units.Ki, conf.glance_request_timeout)

    def _data(
        self, image_id: str, more: Mapping[str, str], pause: float | None = None
    ) -> GlanceAnswer:
        """Ask for the data of an image, with further headers."""
        label = f"image {image_id}"
        # A compressed transfer would take the processor's time for nothing.
        headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity", **more}

        def ask(server: GlanceServer) -> GlanceAnswer:
            answer = server.request("GET", f"/images/{image_id}/file", label, headers=headers)
            with contextlib.ExitStack() as refused:
                refused.enter_context(answer)
                answer.check()
                answer.require_data()
                refused.pop_all()
            return answer

        return self._retried(label, ask, pause=pause)

    def _send(
        self, image_id: str, data: BinaryIO | Iterator[bytes], placement: dict[str, str]
    ) -> None:
        """Send data once, as it cannot be read again."""
        label, path = f"image {image_id}", f"/images/{image_id}/file"
        headers = {"Content-Type": "application/octet-stream", **placement}
        once = {"allow_reauth": False, "redirect": False}
        with _explained(f"{label} cannot be written"):
            sent = self._servers[0].request(
                "PUT", path, label, headers=headers, data=_body(data), **once
            )
            with sent as answer:
                answer.check()

    @functools.cached_property
    def _servers(self) -> list[GlanceServer]:
        return self._servers_for(ACCOUNTS)

    @functools.cached_property
    def _locations(self) -> GlanceLocations:
        servers = self._servers_for(LOCATION_ACCOUNTS)
        return GlanceLocations(lambda label, ask: self._retried(label, ask, servers))

    def _servers_for(self, accounts: Sequence[str]) -> list[GlanceServer]:
        # A list with a comma too many has an empty address.
        addresses = [one for one in self.conf.glance_api_servers if one.strip()] or [None]
        return [GlanceServer(self.conf, address, accounts) for address in addresses]

    def _retried(
        self,
        label: str,
        ask: Callable[[GlanceServer], T],
        servers: Sequence[GlanceServer] | None = None,
        pause: float | None = None,
    ) -> T:
        """Repeat a request until a server answers, up to ``glance_num_retries`` times."""
        asked = self._servers if servers is None else servers
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_repeated),
            wait=tenacity.wait_incrementing(start=0, increment=_PAUSE if pause is None else pause),
            stop=tenacity.stop_after_attempt(self.conf.glance_num_retries + 1),
            after=_log_attempt,
            reraise=True,
        )
        return retrying(lambda: _ask_each(asked, label, ask))


def _ask_each(servers: Sequence[GlanceServer], label: str, ask: Callable[[GlanceServer], T]) -> T:
    """Return the answer of the first server that has one, or raise the last one's error."""
    failure = ImageError(f"no server of Glance is known for {label}")
    for server in servers:
        try:
            with _explained(f"Glance does not answer for {label}"):
                return ask(server)
        except (ImageNotFound, ImageLimitExceeded, GlanceRefused):
            raise
        except ImageError as error:
            failure = error
    raise failure


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
        error, ImageNotFound | ImageLimitExceeded | GlanceRefused | _CertificateRefused
    )


def _log_attempt(state: tenacity.RetryCallState) -> None:
    assert state.outcome is not None
    LOG.warning("%s; try %d", state.outcome.exception(), state.attempt_number)


def _body(data: BinaryIO | Iterator[bytes]) -> Iterator[bytes]:
    """Return chunks, so that the length need not be known."""
    read = getattr(data, "read", None)
    return iter(data) if read is None else iter(functools.partial(read, CHUNK), b"")
