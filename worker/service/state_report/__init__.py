# SPDX-License-Identifier: Apache-2.0
"""Report of the state of a process for an operator, on SIGUSR2.

oslo.reports has such a report, and makes it inside the handler of the signal, where a lock that the
interrupted code holds blocks it for ever; here the handler only wakes a thread.
"""
