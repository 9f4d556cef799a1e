# SPDX-License-Identifier: Apache-2.0
"""Tests: unit mirrors the packages, conformance meets every driver, functional the service."""
