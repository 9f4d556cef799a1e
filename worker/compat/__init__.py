# SPDX-License-Identifier: Apache-2.0
"""Private parts of libraries that the worker depends on, one module for each library.

A part is private if its name, or that of its module, begins with an underscore. Each
library so used has an upper bound in ``pyproject.toml`` and a contract test in the folders
``compat`` of ``tests/unit``. Parts that flows or drivers use as well are in
``flows.compat`` and ``drivers.compat``, because imports run down only.
"""
