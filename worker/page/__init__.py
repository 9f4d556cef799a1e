# SPDX-License-Identifier: Apache-2.0
"""Pages for people: a program that the listener of a service starts when they are looked at."""
