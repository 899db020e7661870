"""Where pyctr differs from Docker on purpose: the key a test asks by, and why. Everything else must be the same."""

from __future__ import annotations

DIFFERENCES = {
    "prefix": "Messages begin with 'pyctr:' and never with 'Error response from daemon:', for who failed is no riddle.",
    "image-id": "An image's id is the digest of its manifest, as in Docker's newer image store, not of its config.",
    "not-started-code": "A container that could not be started keeps 128 as its exit code; the start itself exits with "
    "127 or 126 as Docker's does.",
    "rm-f-missing": "`rm -f` of a container that is not there says nothing and succeeds, as Docker does from 23 on.",
    "log-bounds": "Logs are bounded by default (10 MiB x 5, compressed); Docker lets them fill the disk.",
    "cp-owner": "`cp` without -a gives files to root in the container and to the caller on the host, as "
    "Docker's manual "
    "says; its daemon keeps foreign ids.",
    "filter-typos": "A filter that does not exist is refused before the daemon is asked, with the list of those "
    "that do.",
    "rmi-digest": "Deleting an image prints its one id, not each of its layers: layers are the collector's business.",
    "ipc-default": "The inspect field CgroupnsMode is empty where nothing was asked for.",
}
