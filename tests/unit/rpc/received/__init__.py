# SPDX-License-Identifier: Apache-2.0
"""Messages between their arrival and their dispatch."""
