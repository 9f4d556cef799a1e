# SPDX-License-Identifier: Apache-2.0
"""Defer prettytable, with which automaton draws its machines: import this before taskflow.

A service never draws one; the package takes 0.5 MiB of each process.
"""

from worker.compat.deferred.deferral import defer

defer("prettytable")
