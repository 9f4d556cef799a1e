# SPDX-License-Identifier: Apache-2.0
"""The backup service beside the volume service, over real servers."""
