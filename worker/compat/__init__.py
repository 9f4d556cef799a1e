# SPDX-License-Identifier: Apache-2.0
"""Private parts of libraries that the worker depends on, one module for each library."""
