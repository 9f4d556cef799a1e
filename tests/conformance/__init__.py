# SPDX-License-Identifier: Apache-2.0
"""The contract of volume drivers, sentence by sentence, for every driver."""
