# SPDX-License-Identifier: Apache-2.0
"""Parts of libraries that a service seldom needs, loaded when they are: import this first."""

from worker.compat.deferred import jsonschema, networkx, postgresql, prettytable

__all__ = ["jsonschema", "networkx", "postgresql", "prettytable"]
