# SPDX-License-Identifier: Apache-2.0
"""Shares of projects in the threads and the bandwidth of one process."""
