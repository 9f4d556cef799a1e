# SPDX-License-Identifier: Apache-2.0
"""The kinds of drift, by subject; :mod:`worker.audit.every_kind` lists them."""
