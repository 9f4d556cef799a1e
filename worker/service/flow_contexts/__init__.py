# SPDX-License-Identifier: Apache-2.0
"""The contexts of the flows that the services run."""
