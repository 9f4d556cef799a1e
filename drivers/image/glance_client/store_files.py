# SPDX-License-Identifier: Apache-2.0
"""Images that are read from Glance's file store, where this host has its directory too.

The address of an image is untrusted input. A file is read only if its name is the id of the image
and its directory the one that an operator has named: another name is that of another image, which
may belong to another project.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from oslo_config import cfg

from drivers.interface.errors import ImageError
from drivers.interface.image import Image, Locations

LOG = logging.getLogger(__name__)

SCHEME = "file"

OPTS = [
    cfg.ListOpt(
        "allowed_direct_url_schemes",
        default=[],
        help="Schemes of locations from which images come without Glance: 'cinder' clones volumes "
        "of this backend in which Glance keeps images, 'file' reads files in "
        "glance_file_directory.",
    ),
    cfg.StrOpt(
        "glance_file_directory",
        help="Directory of Glance's file store on this host, as in filesystem_store_datadir. With "
        "'file' in allowed_direct_url_schemes images are read from it.",
    ),
]

NO_DIRECTORY = (
    "allowed_direct_url_schemes: file has no effect without glance_file_directory, and images are "
    "read from Glance"
)


def schemes(conf: Any) -> frozenset[str]:
    """Return the schemes of locations that may be used without Glance."""
    return frozenset(one.strip().lower() for one in conf.allowed_direct_url_schemes)


def lacks_directory(conf: Any) -> bool:
    """Return whether files may be read, and none is known to be Glance's."""
    return SCHEME in schemes(conf) and not conf.glance_file_directory


def opened(
    conf: Any,
    image_id: str,
    show: Callable[[Any, str], Image],
    locations: Callable[[Any, str], Locations],
) -> BinaryIO | None:
    """Open the file of an image; None where it has to be read from Glance."""
    if SCHEME not in schemes(conf) or not conf.glance_file_directory:
        return None
    wanted = Path(conf.glance_file_directory) / image_id
    try:
        if wanted.name != image_id or wanted not in _files(locations(None, image_id)):
            LOG.info("image %s is read from Glance: it has no location %s", image_id, wanted)
            return None
        return _open(wanted, show(None, image_id).get("size"))
    except ImageError as error:
        LOG.warning("image %s is read from Glance: its file is not known: %s", image_id, error)
        return None
    except OSError as error:
        LOG.warning("image %s is read from Glance: %s: %s", image_id, wanted, error.strerror)
        return None


def _open(path: Path, size: int | None) -> BinaryIO:
    """Open a regular file. :raises OSError: it is another one than the image's."""
    # O_NONBLOCK: a pipe of that name would otherwise wait for its other end.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if size is not None and found.st_size != size:
            raise OSError(errno.EINVAL, f"it has {found.st_size} bytes, the image {size}")
        return open(path, "rb", buffering=0, opener=lambda *_: fd)
    except BaseException:
        os.close(fd)
        raise


def _files(locations: Locations) -> list[Path]:
    direct, further = locations
    known = [one.get("url") for one in further or () if isinstance(one, Mapping)]
    return [path for path in map(_file, (direct, *known)) if path is not None]


def _file(url: Any) -> Path | None:
    """Return the path of an address; None where it has none."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return None
    return Path(unquote(parts.path)) if parts is not None and parts.scheme == SCHEME else None
