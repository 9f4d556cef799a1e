# SPDX-License-Identifier: Apache-2.0
"""Requests made as cinder-api and cinder-scheduler make them."""
