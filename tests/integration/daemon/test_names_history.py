"""Names and the event history over a real daemon, its restarts and its crashes."""

from __future__ import annotations

import threading
import time

import pytest

from pycontainerd.core.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.wire.messages.supervisor import Renamed
from pycontainerd.wire.registry import unpack_any
from tests.support.supervision import Place

pytestmark = pytest.mark.root


def test_names_live_and_die_with_containers(place: Place) -> None:
    box = place.pyctr.ok("create", "--name", "one", "busybox")
    assert place.calls.names()["one"] == box
    found = place.calls.resolve("/one", record=True)
    assert (found.container_id, found.name) == (box, "one")
    assert found.container is not None
    assert found.container.id == box
    assert place.calls.resolve(box[:6]).container_id == box
    with pytest.raises(AlreadyExists, match=f'already in use by container "{box}"'):
        place.calls.reserve("other", "one")
    assert place.calls.rename(box, "two") == "one"
    assert place.pyctr.ok("ps", "-a", "--format", "{{.Names}}") == "two"
    place.daemon.ctr("containers", "rm", box, namespace="default")
    assert place.calls.names() == {}
    with pytest.raises(NotFound, match="No such container: two"):
        place.calls.resolve("two")


def test_a_reservation_does_not_outlive_the_daemon(own: Place) -> None:
    own.calls.reserve("gone", "web")
    said = own.pyctr.fails(125, "run", "--rm", "--name", "web", "busybox", "true")
    assert 'already in use by container "gone"' in said
    assert "being created" in said
    own.daemon.kill()
    own.daemon.start()
    own.pyctr.ok("run", "--rm", "--name", "web", "busybox", "true")


def test_several_that_begin_alike_are_named(place: Place) -> None:
    boxes = [place.pyctr.ok("create", "busybox") for _ in range(18)]  # two of them share their first digit
    shared = next(digit for digit in "0123456789abcdef" if sum(box.startswith(digit) for box in boxes) > 1)
    with pytest.raises(InvalidArgument, match="beginning of several ids: "):
        place.calls.resolve(shared)


def test_a_crash_in_a_rename_leaves_one_name(own: Place) -> None:
    box = own.pyctr.ok("create", "--name", "one", "busybox")
    own.crash("names.rename.row=crash")
    own.daemon.wait_ready()
    own.pyctr.run("rename", "one", "two")
    own.wait_for_death()
    own.daemon.process = None
    own.daemon.start()
    assert own.calls.names() == {"one": box}
    assert own.pyctr.ok("ps", "-a", "--format", "{{.Names}}") == "one"


def test_history_has_a_beginning_an_end_and_filters(place: Place) -> None:
    before = time.time()
    box = place.run("--name", "told", "busybox", "true")
    place.calls.until(box, lambda it: it.status == "exited")
    place.calls.rename(box, "told-again")
    after = time.time()
    topics = [envelope.topic for envelope in place.calls.history(before, after)]
    for topic in ("/containers/create", "/tasks/create", "/tasks/start", "/tasks/exit", "/names/rename"):
        assert topics.count(topic) == 1, topics
    assert topics.index("/containers/create") < topics.index("/tasks/start") < topics.index("/names/rename")
    (renamed,) = place.calls.history(before, filters=('topic=="/names/rename"',))
    assert renamed.event is not None
    message = unpack_any(renamed.event)
    assert isinstance(message, Renamed)
    assert (message.container_id, message.old, message.new) == (box, "told", "told-again")
    assert place.calls.history(after + 3600) == []
    assert place.calls.history(until=before - 86400) == []


def test_history_goes_on_with_what_comes_until_its_end(place: Place) -> None:
    since = time.time()
    first = place.pyctr.ok("create", "busybox")
    reader_until = time.time() + 2.0
    found: list[str] = []

    def read() -> None:
        events = place.calls.history(since, reader_until, ('topic=="/containers/create"',), follow=True)
        found.extend(envelope.topic for envelope in events)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.3)
    second = place.pyctr.ok("create", "busybox")
    reader.join(10)
    assert not reader.is_alive()
    assert found == ["/containers/create"] * 2
    assert first != second


def test_history_outlives_the_daemon_however_it_ends(own: Place) -> None:
    box = own.pyctr.ok("create", "busybox")
    own.crash()
    own.pyctr.ok("rm", box)
    own.daemon.restart()
    topics = [envelope.topic for envelope in own.calls.history(filters=("namespace==default",))]
    assert topics.index("/containers/create") < topics.index("/containers/delete")
