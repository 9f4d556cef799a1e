# SPDX-License-Identifier: Apache-2.0
"""All axes of the campaign."""

from tests.faults.kill.axes.broker_away import BrokerAway
from tests.faults.kill.axes.commit import Commit
from tests.faults.kill.axes.freeze import Freeze
from tests.faults.kill.axes.kill import Kill
from tests.faults.kill.axes.put_back import PutBack
from tests.faults.kill.axes.stop import Stop

AXES = {axis.name: axis for axis in (Kill, PutBack, Stop, Freeze, Commit, BrokerAway)}
"""Each axis by its name."""
