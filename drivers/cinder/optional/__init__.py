# SPDX-License-Identifier: Apache-2.0
"""Optional methods of a driver of Cinder, one module per part of our interface."""
