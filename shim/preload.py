"""What a shim seldom or never uses, imported before everything else.

Objects lie in memory in the order of their making. Kept apart from the code that every container's life runs through,
the rest stays on pages that no shim ever writes to, and so never copies.
"""

from __future__ import annotations

import pycontainerd.linux.idmap
import pycontainerd.linux.inotify
import pycontainerd.linux.loop
import pycontainerd.linux.mountinfo
import pycontainerd.linux.openat2
import pycontainerd.wire.messages.attach
import pycontainerd.wire.messages.cgroups_v1
import pycontainerd.wire.messages.cgroups_v2
import pycontainerd.wire.messages.traces
import shim.memory
import shim.stdio.attach
import shim.stdio.jsonfile
import shim.stdio.jsonlines
import shim.stdio.logger
import shim.task.checkpoint
import shim.task.stats
import shim.task.update
import shim.users  # noqa: F401
