"""The template: one warm, single-threaded process that forks a shim for each request.

The daemon starts it once, as

    python -I -S -E -c "import sys; sys.path.insert(0, DIR); from shim.template import main; main()"

with one end of an AF_UNIX, SOCK_SEQPACKET socket pair as descriptor 3, and keeps the other end. Everything else the
template inherits it closes; standard input and output become /dev/null, standard error stays the daemon's.

One request is one datagram of at most 64 KiB holding a JSON object:

    seq            int            echoed in the reply
    namespace      str            containerd namespace of the shim's containers
    id             str            the shim's id: the container's id, or the group's
    bundle         str            absolute path; `<bundle>/log` (a FIFO made by the daemon) becomes the shim's stderr
    socket         str            absolute path to listen on (a dead leftover is replaced), mode 0600
    events         str            ttrpc address of the daemon, "" for no events
    grpc_address   str            gRPC address of the daemon (handed to logger programs and hooks by name only)
    log_level      str            debug, info, warn or error; default info
    oom_score_adj  int or null    the shim's own score; null leaves the template's
    cgroup         str            cgroup directory the shim joins (absolute path below /sys/fs/cgroup), "" for none
    runtime        str            optional: OCI runtime for create options that name none ("" probes crun, then runc)
    runtime_root   str            optional: runtime state root used when the create options name none

A request may carry one descriptor (SCM_RIGHTS): a socket that already listens; `socket` then only names it.
The reply is one datagram: {"seq": n, "pid": p} once the socket accepts connections, or {"seq": n, "error": "…"}.
Requests are answered in order; several may be in flight. End of file on descriptor 3 ends the template, not the shims.

What a shim leaves in a container's bundle, for a daemon that was away:

    init.pid                  pid of the init process, decimal
    runtime                   path of the OCI runtime; options.json: the runc options it was created with
    exits/init                how init ended; exits/exec.<exec id> the same for an exec. Each holds one JSON object
                              {"pid": int, "status": int, "seconds": int, "nanos": int}, written and renamed before
                              the exit event is published; removed together with its exec or bundle

The rules of the fork: the new process keeps the listening socket and nothing else, reads no file of the package and
imports nothing any more, has null stdio plus the log FIFO, a session of its own, default signals, its own OOM score,
and is the reaper of everything below it. It must not notice when the template or the daemon dies.
"""

from __future__ import annotations


def main() -> None:
    """Serve requests on descriptor 3 until its other end is closed."""
    raise SystemExit("the template is not written yet")
