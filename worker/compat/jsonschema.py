# SPDX-License-Identifier: Apache-2.0
"""Defer jsonschema, which taskflow imports for its workers: import this before taskflow.

Only failures that come from another process are validated with it. It and its packages take 5 %
of the processor time of a start.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

VALIDATION = "taskflow.utils.schema_utils"


def _defer(name: str) -> None:
    """Have a module run when one of its names is first needed."""
    package, _, last = name.rpartition(".")
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = LazyLoader(spec.loader)
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    # "from package import module" would look at the module, and so run it.
    setattr(importlib.import_module(package), last, module)


if VALIDATION not in sys.modules:
    _defer(VALIDATION)
