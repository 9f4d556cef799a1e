# SPDX-License-Identifier: Apache-2.0
"""Image services under test, ours and others."""
