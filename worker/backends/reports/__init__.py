# SPDX-License-Identifier: Apache-2.0
"""Values and fields that a capability report can carry without a failure in the scheduler."""
