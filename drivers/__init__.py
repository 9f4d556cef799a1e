# SPDX-License-Identifier: Apache-2.0
"""What a backend is: volume, backup, image and export drivers behind their interfaces."""
