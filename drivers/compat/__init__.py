# SPDX-License-Identifier: Apache-2.0
"""Private parts of libraries that drivers need, and the worker too; see ``worker.compat``."""
