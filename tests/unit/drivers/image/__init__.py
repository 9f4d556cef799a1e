# SPDX-License-Identifier: Apache-2.0
"""Image services, and transfers of images."""
