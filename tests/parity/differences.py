"""Where pyctr differs from Docker on purpose: the key a test asks by, and why. Everything else must be the same.

The model is Debian's Docker, 20.10; where newer ones answer otherwise, pyctr follows those.
"""

from __future__ import annotations

DIFFERENCES = {
    "prefix": "Messages begin with 'pyctr:', never with 'Error response from daemon:': who failed is no riddle.",
    "network-modes": "The modes none and host are no networks here, so nobody is told that a container joins them.",
    "image-id": "An image's id is the digest of its manifest, as in Docker's newer image store, not of its config.",
    "start-failed-code": "A container that could not be started keeps 128 as its exit code; the command itself ends "
    "with 127 or 126 as Docker's does.",
    "rm-f-missing": "`rm -f` of a container that is not there succeeds, as with Docker from 23 on.",
    "log-bounds": "Logs are bounded by default (10 MiB x 5, compressed); Docker lets them fill the disk.",
    "cp-owner": "`cp` without -a gives files to root in the container and to the caller on the host, as Docker's "
    "manual says; its daemon keeps foreign ids.",
    "filters": "A filter there is not is refused with the list of those there are.",
    "rmi-layers": "Deleting an image prints its one id, not each layer's: layers are the collector's business.",
    "exec-missing": "`exec` of a program that is not there ends with 127, as with Docker from 27 on; 20.10 says 126.",
    "label-file": "A label without a value is a label in --label-file, too; Docker drops it there without a word.",
    "usage-codes": "`run` ends with 125 for every wrong use but a wrong number of arguments; 20.10 has 1 for some.",
    "pull-policy": "--pull takes always, missing and never alone, as newer Docker does; 20.10 takes any word.",
    "capability-names": "inspect shows capabilities as CAP_NET_ADMIN, as newer clients send them, not as typed.",
}


def differs(key: str) -> bool:
    """Whether a difference is on purpose; a key that is not listed is a KeyError. For use in a test's condition."""
    return bool(DIFFERENCES[key])
