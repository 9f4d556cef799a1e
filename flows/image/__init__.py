# SPDX-License-Identifier: Apache-2.0
"""What operations between volumes and images share."""
