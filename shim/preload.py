"""What a shim seldom or never uses, imported before everything else.

Objects lie in memory in the order of their making. Kept apart from the code that every container's life runs through,
the rest stays on pages that no shim ever writes to, and so never copies.
"""

from __future__ import annotations

import shim.users  # noqa: F401
