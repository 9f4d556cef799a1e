# SPDX-License-Identifier: Apache-2.0
"""Errors of a volume's file, in words for an operator."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from oslo_utils import units

from drivers.interface.errors import (
    VolumeBackendAPIException,
    VolumeDriverException,
    VolumeIsBusy,
)
from drivers.volume.files import Directory, UnsafeName
from drivers.volume.sparse_copy import ChangedMeanwhile

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def explained(files: Directory, label: str, need: int | None = None) -> Iterator[None]:
    """Describe a failure: the resource, its state, and the next step.

    :param label: the call, as ``create volume <id>``.
    :param need: GiB that were to be held, for the case that they are not there.
    """
    try:
        yield
    except UnsafeName as error:
        raise VolumeDriverException(f"cannot {label}: {error}") from error
    except ChangedMeanwhile as error:
        text = f"cannot {label}: its source is in use and was written to while it was copied"
        hint = f"{files.path} does not share data as XFS does, so detach it first"
        raise VolumeIsBusy(f"{text}; {hint}") from error
    except FileExistsError as error:
        text = f"{error.filename} is in {files.path} already"
        raise VolumeBackendAPIException(f"cannot {label}: {text}") from error
    except FileNotFoundError as error:
        missing = f"{error.filename} is not in {files.path}"
        raise VolumeBackendAPIException(f"cannot {label}: {missing}") from error
    except OSError as error:
        text = f"cannot {label} in {files.path}: {os.strerror(error.errno or 0)}"
        if error.errno in _NO_ROOM:
            text += f" ({_room(files, need)}): free or add space"
        raise VolumeBackendAPIException(text) from error


def _room(files: Directory, need: int | None) -> str:
    free = f"{files.space()[2] / units.Gi:.2f} GiB free"
    return free if need is None else f"at most {need} GiB needed, {free}"
