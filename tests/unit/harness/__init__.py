# SPDX-License-Identifier: Apache-2.0
"""Tools of the tests and benchmarks: servers, installations, messages."""
