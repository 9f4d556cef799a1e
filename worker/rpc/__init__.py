# SPDX-License-Identifier: Apache-2.0
"""The bus: names, messages, the server that takes them and the clients that send them."""
