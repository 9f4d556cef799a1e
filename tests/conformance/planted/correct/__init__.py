# SPDX-License-Identifier: Apache-2.0
"""One correct small driver of each kind, in which bugs are planted."""
