# SPDX-License-Identifier: Apache-2.0
"""Texts that a terminal obeys, that forge log lines, or that hide."""
