# SPDX-License-Identifier: Apache-2.0
"""Image services, and what moves images into volumes and back."""
