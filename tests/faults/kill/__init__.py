# SPDX-License-Identifier: Apache-2.0
"""Kill the service at every point of every operation, and check the end of each."""
