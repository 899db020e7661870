"""The verbs: every way to say them, the module that does them, and a line about each.

A module ``ctr.<name>`` has ``COMMAND`` (a ``flags.Command``) and ``run(context, values, arguments) -> exit code``.
Modules are imported when their verb is called and not before.
"""

from __future__ import annotations

_TABLE = """
run       Create and run a new container from an image                   run, container run
exec      Execute a command in a running container                       exec, container exec
ps        List containers                                                ps, container ls, container list, container ps
pull      Download an image from a registry                              pull, image pull
images    List images                                                    images, image ls, image list
version   Show the version of client and server                          version
info      Display system-wide information                                info, system info

attach    Attach local standard streams to a running container           attach, container attach
commit    Create a new image from a container's changes                  commit, container commit
completion  Print the completion script of a shell                       completion
container_prune  Remove all stopped containers                           container prune
cp        Copy files between a container and the host                    cp, container cp
create    Create a new container                                         create, container create
diff      Inspect changes to a container's filesystem                    diff, container diff
events    Get real time events, and those of the last day                events, system events
export    Export a container's filesystem as a tar archive               export, container export
history   Show the history of an image                                   history, image history
image_prune  Remove unused images                                        image prune
import_   Import the contents from a tarball to make an image            import, image import
inspect   Show everything about containers, images or volumes            inspect, container inspect, image inspect
kill      Kill one or more running containers                            kill, container kill
load      Load images from a tar archive or standard input               load, image load
logs      Fetch the logs of a container                                  logs, container logs
pause     Pause all processes of containers                              pause, container pause
port      List port mappings of a container                              port, container port
rename    Rename a container                                             rename, container rename
restart   Restart one or more containers                                 restart, container restart
rm        Remove one or more containers                                  rm, container rm, container remove
rmi       Remove one or more images                                      rmi, image rm, image remove
save      Save images to a tar archive or standard output                save, image save
search    Search a registry for images                                   search
start     Start one or more stopped containers                           start, container start
stats     Show a live stream of the resources containers use             stats, container stats
stop      Stop one or more running containers                            stop, container stop
system_df  Show disk usage                                               system df
system_prune  Remove unused data                                         system prune
tag       Give an image another name                                     tag, image tag
top       Show the processes of a container                              top, container top
unpause   Let paused containers run on                                   unpause, container unpause
update    Update the limits and the restart policy of containers         update, container update
wait      Wait until containers stop, then print their exit codes        wait, container wait
network_connect     Connect a container to a network                 network connect
network_create      Create a network                                 network create
network_disconnect  Disconnect a container from a network            network disconnect
network_inspect     Show everything about networks                   network inspect
network_ls          List networks                                    network ls, network list
network_prune       Remove networks that no container is on          network prune
network_rm          Remove one or more networks                      network rm, network remove
volume_clone    Make a volume with the content of another                volume clone
volume_create   Create a volume                                          volume create
volume_export   Write the content of a volume as a tar archive           volume export
volume_import   Unpack a tar archive into a volume                       volume import
volume_inspect  Show everything about volumes                            volume inspect
volume_ls       List volumes                                             volume ls, volume list
volume_prune    Remove volumes that no container uses                    volume prune
volume_rename   Rename a volume                                          volume rename
volume_rm       Remove one or more volumes                               volume rm, volume remove
"""
COMMON = 7
"""How many verbs, from the top of the table, the help shows as the common ones."""

GROUPS = {
    "container": "Manage containers",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage pyctr",
    "volume": "Manage volumes",
}


class Verb:
    """One row: the module's name, what it does in a line, and the spellings, the shortest first."""

    __slots__ = ("module", "spellings", "summary")

    def __init__(self, line: str) -> None:
        self.module, rest = line.split(None, 1)
        self.summary, spellings = rest.split("  ", 1)
        self.spellings = tuple(spelling.strip() for spelling in spellings.split(","))


def table() -> list[Verb]:
    """All verbs, the common ones first."""
    return [Verb(line) for line in _TABLE.splitlines() if line]


def find(words: list[str]) -> tuple[Verb | None, str, list[str]]:
    """The verb that ``words`` begin with, how it was spelled, and the words behind it."""
    verbs = table()
    for count in (2, 1):
        spelling = " ".join(words[:count])
        for verb in verbs:
            if len(words) >= count and spelling in verb.spellings:
                return verb, spelling, words[count:]
    return None, "", words
