# SPDX-License-Identifier: Apache-2.0
"""Gather all that is known about one id into a document, for a terminal or a page."""
