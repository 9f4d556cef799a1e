# SPDX-License-Identifier: Apache-2.0
"""Several hosts on one machine, faults that strike them, and a checker of the history."""
