# SPDX-License-Identifier: Apache-2.0
"""The contracts: what a driver author sees, and nothing else."""
