# SPDX-License-Identifier: Apache-2.0
"""Headers of disk images: each module reads one format, and returns the size of the disk.

They refuse every image that needs another file, or that QEMU might read as another disk.
"""
