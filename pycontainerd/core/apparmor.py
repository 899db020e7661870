"""The AppArmor profile of containers that ask for none, in the language of apparmor.d(5).

It stands behind the masked and read-only paths of the default spec, for processes that find a way around those: what
belongs to the whole host stays as it is, mounts stay as the runtime made them, and signals and ptrace end at the
container's own kind. The host may signal everything inside.
"""

from __future__ import annotations

NAME = "pycontainerd-default"

_PROFILE = """\
# Loaded by pycontainerd, which replaces it at each start of the daemon.
#include <tunables/global>

profile %(name)s flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/base>

  network,
  capability,
  file,
  umount,

  # A program of the host (the runtime, the shim, an administrator) may signal the container; the container only itself.
  signal (receive) peer=unconfined,
  signal (receive) peer=crun,
  signal (receive) peer=runc,
  signal (send, receive) peer=%(name)s,
  ptrace (trace, read, tracedby, readby) peer=%(name)s,

  # The runtime has mounted what is to be mounted.
  deny mount,

  # /proc: a process writes to entries of processes, not to those of the kernel. Of the settings below /proc/sys it may
  # change those of its own namespaces, where the runtime has left them writable.
  deny @{PROC}/* w,
  deny @{PROC}/{acpi,bus,driver,fs,irq,scsi,tty}/** w,
  deny @{PROC}/sys/{abi,crypto,debug,dev,fs,sunrpc,user,vm}/** w,
  deny @{PROC}/sys/kernel/{[^ms],s[^eh],m[^s]}** w,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/{kcore,kmem,mem} rwklx,

  # /sys: control groups are writable where the container has its own.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
"""


def profile(name: str = NAME) -> str:
    """The text of the profile under a name."""
    return _PROFILE % {"name": name}
