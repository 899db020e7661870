"""Names of containers: taken, looked up and changed by the Names service; for those that nobody named, a quality and a
person of computing, as Docker does it with lists of its own.
"""

from __future__ import annotations

import os

from pycontainerd.core.errors import AlreadyExists, Conflict
from pycontainerd.wire.messages import names as messages
from pycontainerd.wire.messages.google import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainerd.client.daemon import Daemon

SERVICE = "pycontainerd.names.v1.Names"
_ATTEMPTS = 6
"""Made-up names that are offered at once."""


def reserve(daemon: Daemon, id: str, name: str = "") -> str:
    """Take ``name``, or a free one when it is empty, for a container that is about to be made; return it.

    Raises Conflict, naming who has it; InvalidArgument for what is no name.
    """
    offered = [name] if name else [random_name(attempt) for attempt in range(_ATTEMPTS)]
    request = messages.ReserveRequest(container_id=id, names=offered)
    try:
        return daemon.call(SERVICE, "Reserve", request, messages.ReserveResponse).name
    except AlreadyExists as error:
        if not name:
            return reserve(daemon, id)
        raise _taken(error) from error


def _taken(error: AlreadyExists) -> Conflict:
    cause = f'{error.what} "{error.which}"' if error.which != "" else error.what
    plain, _, hint = cause.rpartition(" (") if cause.endswith(")") else (cause, "", "")  # so it is on the wire
    return Conflict(plain, hint=hint.removesuffix(")") or "remove or rename that container, or choose another name")


def release(daemon: Daemon, id: str, name: str) -> None:
    """Give a reservation back."""
    daemon.call(SERVICE, "Release", messages.ReleaseRequest(container_id=id, name=name), Empty)


def resolve(daemon: Daemon, reference: str) -> messages.ResolveResponse:
    """The container a user means, with its record. Raises NotFound; InvalidArgument naming the candidates."""
    request = messages.ResolveRequest(reference=reference, record=True)
    return daemon.call(SERVICE, "Resolve", request, messages.ResolveResponse)


def rename(daemon: Daemon, id: str, name: str) -> None:
    """Give a container another name. Raises Conflict, InvalidArgument."""
    try:
        daemon.call(SERVICE, "Rename", messages.RenameRequest(container_id=id, name=name), messages.RenameResponse)
    except AlreadyExists as error:
        raise _taken(error) from error


def of(daemon: Daemon, ids: Sequence[str] = ()) -> dict[str, str]:
    """Names by container id, of all containers without ids."""
    request = messages.ListNamesRequest(container_ids=ids)
    answer = daemon.call(SERVICE, "List", request, messages.ListNamesResponse)
    return {name.container_id: name.name for name in answer.names}


_QUALITIES = """
able agile amber apt balmy bold brave bright brisk calm candid careful civil clear clever cordial crisp daring deft
eager early earnest elated exact fair fearless fine firm fleet fond frank fresh gallant generous gentle glad golden
grand happy hardy honest humble jolly jovial keen kind lively loyal lucid lucky mellow merry mild modest neat nimble
noble patient plucky polite prompt proud quick quiet ready robust sage serene sharp silent simple sincere smart
smooth sober solid sound spry stable steady stoic sunny swift tidy trusty upbeat valiant vivid warm wise witty zesty
""".split()
_PEOPLE = """
adleman aho allen babbage backus bartik boole booth brooks cerf church codd cohen conway cook curry diffie dijkstra
eckert engelbart feinler floyd goldberg goldwasser granville gray hamilton hamming hejlsberg hellman hennessy hoare
holberton hopper huffman hypatia ichbiah iverson kahan kahn karp kay kernighan kilby kleene knuth kowalski lamarr
lamport lampson leibniz liskov lovelace mauchly mccarthy meltzer metcalfe micali milner minsky moore naur newell
noether noyce pascal patterson perlis perlman postel rabin ritchie rivest saltzer scott shamir shannon shaw simon
spence stallman steele stroustrup sussman sutherland tarjan thompson torvalds turing ulam valiant wilkes wilkinson
yao zadeh zuse
""".split()


def random_name(attempt: int = 0) -> str:
    """A name such as ``brisk_hopper``; after a few taken ones, with a digit behind it."""
    pick = int.from_bytes(os.urandom(6), "big")
    pick, quality = divmod(pick, len(_QUALITIES))
    pick, person = divmod(pick, len(_PEOPLE))
    name = f"{_QUALITIES[quality]}_{_PEOPLE[person]}"
    return name + str(pick % 10) if attempt > 2 else name
