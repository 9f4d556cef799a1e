# SPDX-License-Identifier: Apache-2.0
"""What monitors ask of a service: is it alive, is it ready, and how is it."""
