# SPDX-License-Identifier: Apache-2.0
"""Volumes that share their data with the file of an image, where the file system can."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from drivers.volume.files import Directory, UnsafeName
from drivers.volume.optional.manage_files import other_format

_SCHEME = "file"


def clone(
    files: Directory, images: Path, locations: Any, image: Mapping[str, Any], name: str, size: int
) -> bool:
    """Make a volume's file of an image's; say whether that could be done.

    :param images: the one directory of which an image may be; an address is untrusted
        input.
    :param locations: a direct address or None, and a list of further ones or None.
    :param size: of the volume, in bytes.
    """
    if image.get("disk_format") != "raw" or image.get("container_format") not in ("bare", None):
        return False
    # Another name is that of another image, which may belong to another project.
    wanted = images / str(image.get("id"))
    found = next((one for one in _files(locations) if one == wanted), None)
    if found is None or not images.is_dir():
        return False
    try:
        with Directory(images).opened(found.name) as fd:
            if other_format(fd) is not None:
                return False
            return files.share(fd, name, size)
    except (FileNotFoundError, UnsafeName):
        return False


def _files(locations: Any) -> list[Path]:
    direct, further = locations or (None, None)
    if not isinstance(further, list | tuple):
        further = ()
    addresses = [direct, *(one.get("url") for one in further if isinstance(one, Mapping))]
    return [path for path in map(_file, addresses) if path is not None]


def _file(address: Any) -> Path | None:
    """Return the path of an address; None where it has none."""
    if not isinstance(address, str):
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return Path(unquote(parts.path)) if parts.scheme == _SCHEME else None
