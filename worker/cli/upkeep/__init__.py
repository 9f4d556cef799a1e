# SPDX-License-Identifier: Apache-2.0
"""Commands that change rows on the request of an operator, with an outcome for each."""
