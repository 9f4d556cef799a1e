# SPDX-License-Identifier: Apache-2.0
"""holdfast audit: find drift, and repair it."""
