# SPDX-License-Identifier: Apache-2.0
"""The effect of a ``cinder.conf`` here: each option of Cinder, and its meaning to this service.

``options.json`` has the facts, as Cinder lists them; ``elsewhere``, ``otherwise`` and
``refused`` have our judgement of each; ``review`` applies them to files.
"""
