# SPDX-License-Identifier: Apache-2.0
"""Common parts of operations between volumes and images."""
