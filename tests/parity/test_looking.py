"""ps, inspect, images, history, top, stats, port, version, info: columns, templates, filters, shapes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.parity.differences import differs

if TYPE_CHECKING:
    from tests.parity.cli import Cli

pytestmark = pytest.mark.root

HEADINGS = {
    "ps": (["ps"], "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES"),
    "ps-size": (["ps", "-s"], "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES     SIZE"),
    "container-ls": (["container", "ls"], "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES"),
    "images": (["images", "no-such"], "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE"),
    "images-digests": (
        ["images", "--digests", "no-such"],
        "REPOSITORY   TAG       DIGEST    IMAGE ID   CREATED   SIZE",
    ),
    "image-ls": (["image", "ls", "no-such"], "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE"),
    "volume-ls": (["volume", "ls", "--filter", "name=no-such"], "DRIVER    VOLUME NAME"),
    "network-ls": (["network", "ls", "--filter", "name=no-such"], "NETWORK ID   NAME      DRIVER    SCOPE"),
    "ps-table": (["ps", "--format", "table {{.Names}}\\t{{.Status}}"], "NAMES     STATUS"),
    "ps-table-ports": (["ps", "--format", "table {{.ID}}: {{.Ports}}"], "CONTAINER ID: PORTS"),
}


@pytest.mark.parametrize("case", HEADINGS)
def test_headings(cli: Cli, case: str) -> None:
    words, heading = HEADINGS[case]
    words = [*words, "--filter", "name=par-nobody"] if words[0] in ("ps", "container") else words
    assert cli.ok(*words) == heading


ROWS = {
    "names": "{{.Names}}", "image": "{{.Image}}", "command": "{{.Command}}", "state": "{{.State}}",
    "labels": "{{.Labels}}", "networks": "{{.Networks}}", "ports": "{{.Ports}}", "upper": "{{upper .Image}}",
    "label": '{{.Label "a"}}', "json": "{{json .Names}}", "if": "{{if .Ports}}ports{{else}}none{{end}}",
    "printf": '{{printf "%s/%s" .Image .State}}', "volumes": "{{.LocalVolumes}}", "eq": '{{eq .State "running"}}',
    "split": '{{index (split .Image "s") 0}}', "truncate": "{{truncate .Image 3}}", "len": "{{len .Image}}",
    "text": "literal", "pad": "{{pad .Image 1 1}}|", "mounts": "{{.Mounts}}", "title": "{{title .Image}}",
}  # fmt: skip
EXPECTED = {
    "image": "busybox", "command": '"sleep 1000"', "state": "running", "labels": "a=1,b=2", "networks": "none",
    "ports": "", "upper": "BUSYBOX", "label": "1", "if": "none", "printf": "busybox/running", "volumes": "0",
    "eq": "true", "split": "bu", "truncate": "bus", "len": "7", "text": "literal", "pad": " busybox |", "mounts": "",
    "title": "Busybox",
}  # fmt: skip


def test_ps_templates(cli: Cli) -> None:
    name = cli.up("-l", "b=2", "-l", "a=1")
    expected = {**EXPECTED, "names": name, "json": f'"{name}"'}
    for case, template in ROWS.items():
        said = cli.ok("ps", "--filter", f"name={name}", "--format", template)
        if case == "labels":
            said = ",".join(sorted(said.split(",")))
        assert (case, said) == (case, expected[case])


def test_ps_json_has_dockers_fields(cli: Cli) -> None:
    name = cli.up()
    row = json.loads(cli.ok("ps", "--filter", f"name={name}", "--format", "{{json .}}"))
    fields = "Command CreatedAt ID Image Labels LocalVolumes Mounts Names Networks Ports RunningFor Size State Status"
    assert set(fields.split()) <= row.keys()
    assert all(isinstance(row[field], str) for field in fields.split())


def test_ps_quotes_arguments_with_blanks(cli: Cli) -> None:
    name = cli.ended("sh", "-c", "exit 3")
    assert cli.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.Command}}") == "\"sh -c 'exit 3'\""
    assert re.fullmatch(r"Exited \(3\) (\d+ seconds?|Less than a second|About a minute) ago",
                        cli.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.Status}}"))  # fmt: skip


def test_ps_cuts_long_commands(cli: Cli) -> None:
    name = cli.ended("echo", "0123456789012345678901234567890")
    words = ["ps", "-a", "--filter", f"name={name}", "--format", "{{.Command}}"]
    assert cli.ok(*words) == '"echo 01234567890123…"'
    assert cli.ok(*words, "--no-trunc") == '"echo 0123456789012345678901234567890"'


FILTERS = {
    "name": "name={up}", "id": "id={id}", "label": "label=kind", "label-value": "label=kind=up", "status":
    "status=running",
    "ancestor": "ancestor=busybox", "name-part": "name=^/{up}$",
}  # fmt: skip


@pytest.mark.parametrize("case", FILTERS)
def test_ps_filters(cli: Cli, case: str) -> None:
    up, ended = cli.up("-l", "kind=up"), cli.ended(flags=["-l", "kind=ended"])
    text = FILTERS[case].format(up=up, id=cli.show(up, "{{.Id}}")[:10])
    found = cli.ok("ps", "-a", "--filter", text, "--format", "{{.Names}}").split()
    assert up in found
    assert (ended in found) is (case in ("label", "ancestor"))


def test_ps_exited_before_since(cli: Cli) -> None:
    first, second = cli.ended("sh", "-c", "exit 3"), cli.ended()
    names = ("ps", "-a", "--format", "{{.Names}}")
    assert cli.ok(*names, "--filter", "exited=3") == first
    assert second in cli.ok(*names, "--filter", f"since={first}").split()
    assert first in cli.ok(*names, "--filter", f"before={second}").split()
    assert cli.ok(*names, "-l") == second
    assert cli.ok(*names, "-n", "2").split() == [second, first]
    assert cli.ok("ps", "-aq", "-n", "1") == cli.show(second, "{{.Id}}")[:12]
    assert cli.ok("ps", "-aq", "--no-trunc", "-n", "1") == cli.show(second, "{{.Id}}")


def test_ps_wrong_filter(cli: Cli) -> None:
    assert "nvalid filter" in cli.fails(1, "ps", "--filter", "nonsense=1")


INSPECTED = {
    "{{.State.Status}}": "exited", "{{.State.ExitCode}}": "4", "{{.State.Running}}": "false", "{{.State.Pid}}": "0",
    "{{.State.Error}}": "", "{{.State.OOMKilled}}": "false", "{{.Config.Image}}": "busybox", "{{.Path}}": "sh",
    "{{json .Args}}": '["-c","exit 4"]', "{{json .Config.Cmd}}": '["sh","-c","exit 4"]',
    "{{json .Config.Entrypoint}}": "null", "{{.Config.Hostname}}": "inside", "{{.Config.User}}": "daemon",
    "{{.Config.WorkingDir}}": "/tmp", "{{index .Config.Labels \"x\"}}": "y", "{{.Config.Tty}}": "false",
    "{{.HostConfig.Memory}}": "67108864", "{{.HostConfig.MemorySwap}}": "134217728",
    "{{.HostConfig.NanoCpus}}": "500000000",
    "{{.HostConfig.NetworkMode}}": "none", "{{.HostConfig.Privileged}}": "false", "{{.HostConfig.AutoRemove}}": "false",
    "{{json .HostConfig.CapAdd}}": '["CAP_NET_ADMIN"]', "{{json .HostConfig.CapDrop}}": '["CAP_KILL"]',
    "{{.HostConfig.ReadonlyRootfs}}": "true", "{{.HostConfig.PidsLimit}}": "50", "{{.HostConfig.ShmSize}}": "1048576",
    "{{.HostConfig.RestartPolicy.Name}}": "no", "{{.HostConfig.LogConfig.Type}}": "json-file",
    "{{json .HostConfig.Binds}}": '["/etc:/e:ro"]', "{{len .Mounts}}": "1", "{{(index .Mounts 0).Destination}}": "/e",
    "{{(index .Mounts 0).RW}}": "false", "{{(index .Mounts 0).Type}}": "bind", "{{.RestartCount}}": "0",
    "{{.Platform}}": "linux", "{{.Config.StopSignal}}": "SIGINT", "{{.HostConfig.OomScoreAdj}}": "100",
    "{{range .Config.Env}}{{println .}}{{end}}":
    "A=1\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    "{{with .State}}{{.Status}}{{end}}": "exited", "{{if .State.Running}}up{{else}}down{{end}}": "down",
    "{{json .NetworkSettings.Ports}}": "{}", "{{.Config.OpenStdin}}": "false", "{{.HostConfig.CgroupParent}}": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def rich(side: Cli) -> Any:
    """What ``inspect`` says of a container with many settings, by template."""
    name = side.ended("sh", "-c", "exit 4", flags=[
        "-h", "inside", "-u", "daemon", "-w", "/tmp", "-l", "x=y", "-m", "64m", "--cpus", "0.5", "-v", "/etc:/e:ro",
        "--cap-add", "NET_ADMIN", "--cap-drop", "kill", "--read-only", "--pids-limit", "50", "--shm-size", "1m",
        "-e", "A=1", "--stop-signal", "SIGINT", "--oom-score-adj", "100",
    ])  # fmt: skip
    said = {template: side.ok("inspect", "-f", template, name) for template in INSPECTED}
    whole = json.loads(side.ok("inspect", name))
    side.ok("rm", name)
    return said, whole


@pytest.mark.parametrize("template", INSPECTED)
def test_inspected(rich: Any, template: str) -> None:
    said = rich[0][template]
    if "HostConfig.Cap" in template and differs("capability-names"):
        said = json.dumps(["CAP_" + name.upper().removeprefix("CAP_") for name in json.loads(said)])
    assert said == INSPECTED[template]


def test_inspect_document(rich: Any) -> None:
    (document,) = rich[1]
    top = """Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver
        Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings"""
    assert set(top.split()) <= document.keys()
    state = "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt"
    assert set(state.split()) <= document["State"].keys()
    settings = "Hostname Domainname User AttachStdin Tty OpenStdin StdinOnce Env Cmd Image Volumes WorkingDir Labels"
    assert set(settings.split()) <= document["Config"].keys()
    host = """Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumesFrom
    CapAdd CapDrop
        Dns ExtraHosts IpcMode PidMode Privileged PublishAllPorts ReadonlyRootfs SecurityOpt UTSMode ShmSize Runtime
        CpuShares Memory NanoCpus CgroupParent Devices PidsLimit Ulimits"""
    assert set(host.split()) <= document["HostConfig"].keys()
    for moment in ("StartedAt", "FinishedAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", document["State"][moment])


def test_inspect_of_what_is_not_there(cli: Cli, standing: str) -> None:
    done = cli.run("inspect", "par-nobody")
    assert (done.returncode, done.stdout) == (1, "[]\n")
    assert "No such object: par-nobody" in done.stderr
    done = cli.run("inspect", "-f", "{{.Name}}", "par-nobody", standing)
    assert (done.returncode, done.stdout) == (1, f"/{standing}\n")


@pytest.mark.parametrize(("kind", "words"), [
    ("container", "No such container: par-nobody"), ("image", "No such image: par-nobody"),
    ("volume", "no such volume"), ("network", "par-nobody"),
])  # fmt: skip
def test_inspect_by_type(cli: Cli, kind: str, words: str) -> None:
    assert words.lower() in cli.fails(1, kind, "inspect", "par-nobody").lower()


def test_inspect_bad_template(cli: Cli, standing: str) -> None:
    assert "template" in cli.fails(64, "inspect", "-f", "{{.State", standing)


@pytest.mark.parametrize("words", [
    ["inspect", "-f", "{{.Nope}}"], ["inspect", "-f", "{{.State.Nope}}"], ["inspect", "-f", "{{.State.Health.Status}}"],
    ["ps", "--format", "{{.Nope}}", "--filter"], ["ps", "--format", "table {{.Nope}}", "--filter"],
])  # fmt: skip
def test_fields_there_are_not(cli: Cli, standing: str, words: list[str]) -> None:
    said = cli.fails(1, *words, standing if words[0] == "inspect" else f"name={standing}")
    assert "template" in said
    assert "Nope" in said or "Health" in said or "Status" in said


FIELDS = {
    "{{.Config.Labels.nope}}": "<no value>",
    "{{range .Mounts}}{{.Name}}{{end}}": "",
    "{{.HostConfig.CpuShares}}": "0",
}


@pytest.mark.parametrize("template", FIELDS)
def test_fields_that_may_be_missing(cli: Cli, standing: str, template: str) -> None:
    assert cli.show(standing, template) == FIELDS[template]


def test_ps_by_a_port_of_the_host(cli: Cli) -> None:
    said = cli.run("ps", "-a", "--filter", "publish=9", "--filter", "name=par-nobody", "-q")
    assert (said.returncode, said.stdout) == (0, "")
    assert cli.fails(1, "ps", "--filter", "publish=x")


def test_sizes(cli: Cli) -> None:
    name = cli.ended("sh", "-c", "head -c 500000 /dev/zero >/file")
    written, whole = (int(word) for word in cli.ok("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", name).split())
    assert 500_000 <= written < whole
    assert "(virtual " in cli.ok("ps", "-a", "--filter", f"name={name}", "--format", "{{.Size}}")


def test_by_id_prefix(cli: Cli, standing: str) -> None:
    identity = cli.show(standing, "{{.Id}}")
    assert cli.show(identity, "{{.Name}}") == cli.show(identity[:8], "{{.Name}}") == f"/{standing}"


def test_images_lists_busybox(cli: Cli) -> None:
    assert cli.ok("images", "--format", "{{.Repository}}:{{.Tag}}", "busybox") == "busybox:latest"
    assert re.fullmatch("[0-9a-f]{12}", cli.ok("images", "-q", "busybox"))
    assert re.fullmatch("sha256:[0-9a-f]{64}", cli.ok("images", "-q", "--no-trunc", "busybox"))
    row = json.loads(cli.ok("images", "--format", "{{json .}}", "busybox"))
    assert {"Repository", "Tag", "ID", "Digest", "CreatedAt", "CreatedSince", "Size", "Containers"} <= row.keys()


@pytest.mark.parametrize(("text", "found"), [
    ("reference=busy*", True), ("reference=nope*", False), ("dangling=true", False), ("dangling=false", True),
])  # fmt: skip
def test_images_filters(cli: Cli, text: str, *, found: bool) -> None:
    assert ("busybox" in cli.ok("images", "--filter", text, "--format", "{{.Repository}}").split()) is found


def test_image_inspect(cli: Cli) -> None:
    (document,) = json.loads(cli.ok("image", "inspect", "busybox"))
    assert document["RepoTags"] == ["busybox:latest"]
    assert {"Id", "Created", "Config", "Architecture", "Os", "Size", "RootFS"} <= document.keys()
    assert document["RootFS"]["Type"] == "layers"


def test_history(cli: Cli) -> None:
    rows = cli.ok("history", "busybox").splitlines()
    assert rows[0].split("  ")[0] == "IMAGE"
    assert re.match("[0-9a-f]{12} ", rows[1])
    assert cli.ok("history", "-q", "busybox") == cli.ok("images", "-q", "busybox")


def test_top(cli: Cli, standing: str) -> None:
    lines = cli.ok("top", standing).splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert lines[1].endswith("sleep 100000")
    chosen = cli.ok("top", standing, "-o", "pid,cmd").splitlines()
    assert chosen[0].split() == ["PID", "CMD"]
    assert "is not running" in cli.fails(1, "top", cli.ended())


def test_stats(cli: Cli, standing: str) -> None:
    said = cli.ok("stats", "--no-stream", standing)
    heading = "CONTAINER ID|NAME|CPU %|MEM USAGE / LIMIT|MEM %|NET I/O|BLOCK I/O|PIDS"
    assert re.split(r" {2,}", said.splitlines()[0].strip()) == heading.split("|")
    template = "{{.Name}} {{.PIDs}} {{.CPUPerc}}"
    assert re.fullmatch(rf"{standing} \d+ \d+\.\d\d%", cli.ok("stats", "--no-stream", "--format", template, standing))


def test_port_of_nothing(cli: Cli, standing: str) -> None:
    assert cli.ok("port", standing) == ""
    assert "No public port '80/tcp' published for" in cli.fails(1, "port", standing, "80")


def test_version_and_info(cli: Cli) -> None:
    assert re.match(r"\d+\.\d+", cli.ok("version", "--format", "{{.Server.Version}}"))
    assert cli.ok("info", "--format", "{{.OSType}}") == "linux"
    assert int(cli.ok("info", "--format", "{{.Containers}}")) >= 0
    assert {"Client", "Server"} <= json.loads(cli.ok("version", "--format", "{{json .}}")).keys()


def test_system_df(cli: Cli) -> None:
    lines = cli.ok("system", "df").splitlines()
    assert lines[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert cli.ok("system", "df", "--format", "{{.Type}}").splitlines()[0] == "Images"
