# SPDX-License-Identifier: Apache-2.0
"""Translate the exceptions of Cinder's drivers into those of our contract."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from drivers.interface import errors

_OURS = {
    name: found
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, errors.DriverError)
}


@contextlib.contextmanager
def translated(
    absence: type[Exception] | tuple[type[Exception], ...] = (),
    otherwise: type[errors.DriverError] = errors.VolumeBackendAPIException,
) -> Iterator[None]:
    """Raise the contract's exception; the text stays.

    :param absence: the exceptions that mean that there was nothing to do.
    :param otherwise: raised for exceptions that the contract does not know.
    :raises NotImplementedError: as it came: the driver cannot do it.
    :raises DriverError: of the same name, or of the nearest one that is known.
    """
    try:
        yield
    except (NotImplementedError, errors.DriverError):
        raise
    except absence:
        return
    except Exception as error:
        raise _ours(error, otherwise) from error


def _ours(error: Exception, otherwise: type[errors.DriverError]) -> errors.DriverError:
    name, text = type(error).__name__, _text(error)
    for kind in type(error).__mro__:
        # Others name their errors alike: Ceph's ImageNotFound is about a volume.
        found = _OURS.get(kind.__name__) if kind.__module__.startswith("cinder.") else None
        if found is not None:
            return found(text if kind is type(error) else f"{name}: {text}")
    return otherwise(f"{name}: {text}" if text else name)


def _text(error: Exception) -> str:
    """Return an exception's text; a class of a driver's may be unable to show it."""
    try:
        return str(error)
    except Exception as other:  # noqa: BLE001 - the first error is the one to report
        return f"its text cannot be shown ({type(other).__name__})"
