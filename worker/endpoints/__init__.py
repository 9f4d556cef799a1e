# SPDX-License-Identifier: Apache-2.0
"""RPC methods: each names a flow and its arguments, without logic of its own."""
