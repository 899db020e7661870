"""libnftables through its C API: one script in nftables' language is one transaction, applied as a whole or not at all.

For the agent process alone: the library keeps state in its context and is not safe to share between threads.
"""

from __future__ import annotations

import ctypes

LIBRARY = "libnftables.so.1"
_JSON_OUTPUT = 1 << 4


class NftError(OSError):
    """Raised for a script that was refused; the message is the library's first complaint."""


class Nft:
    """A context of the library. Raises OSError when it is not installed."""

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise OSError(2, f"{LIBRARY} cannot be loaded ({error}); install Debian's libnftables1") from error
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        library.nft_ctx_new.restype, library.nft_ctx_new.argtypes = pointer, [ctypes.c_uint32]
        library.nft_ctx_free.argtypes = [pointer]
        library.nft_ctx_output_set_flags.argtypes = [pointer, ctypes.c_uint]
        library.nft_run_cmd_from_buffer.argtypes = [pointer, text]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = [pointer]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            function = getattr(library, name)
            function.argtypes, function.restype = [pointer], text
        self._library = library
        self._context = library.nft_ctx_new(0)
        if not self._context:
            raise OSError(12, "libnftables gives no context")
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def close(self) -> None:
        """Free the context with its socket, which keeps the network namespace alive that it was made in."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def run(self, script: str, *, json: bool = False) -> str:
        """Apply a script; return what it printed, as JSON if asked. Raises NftError, and then nothing has changed."""
        self._library.nft_ctx_output_set_flags(self._context, _JSON_OUTPUT if json else 0)
        failed = self._library.nft_run_cmd_from_buffer(self._context, script.encode())
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        complaint: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            lines = complaint.decode("utf-8", "replace").strip().splitlines()
            raise NftError(22, lines[0] if lines else "nftables refused the script without a word")
        return output.decode("utf-8", "replace")
