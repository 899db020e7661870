"""The names that a container's life uses in its shim, made before anything else is imported.

Every access to an attribute counts as a user of its name for a moment. Names are shared by all code that has them, and
lie where the first module with them was loaded; made all at once, first, they lie together.
"""

from __future__ import annotations

import sys

from shim.hotcode import WORDS

KEPT = [sys.intern(word) for word in WORDS.split()]
