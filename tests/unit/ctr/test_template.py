"""Go templates, as far as people use them with Docker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctr.output import Table, aligned, ellipsis
from ctr.template import Template, TemplateError
from ctr.template_fields import UnknownField, look_up

VALUE: dict[str, Any] = {
    "Name": "/web",
    "State": {"Status": "running", "Pid": 5, "Running": True},
    "Mounts": [{"Source": "/a"}, {"Source": "/b"}],
    "Networks": {"b": {"IP": "1"}, "a": {"IP": "2"}},
    "Args": ["x", "y"],
    "Empty": [],
    "Nothing": None,
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain", "plain"),
        ("{{.Name}}: {{.State.Status}}", "/web: running"),
        ("{{json .State}}", '{"Status":"running","Pid":5,"Running":true}'),
        ("{{.State.Running}} {{.State.Pid}} {{.Args}} {{.Nothing}}", "true 5 [x y] <no value>"),
        ("{{range .Mounts}}{{.Source}} {{end}}", "/a /b "),
        ("{{range $i, $m := .Mounts}}{{$i}}={{$m.Source}};{{end}}", "0=/a;1=/b;"),
        ("{{range $k, $v := .Networks}}{{$k}}={{$v.IP}} {{end}}", "a=2 b=1 "),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ('{{if eq .State.Status "running" "paused"}}up{{else}}down{{end}}', "up"),
        ("{{if .Empty}}a{{else if .Name}}b{{else}}c{{end}}", "b"),
        ("{{if and .Name (not .Empty)}}y{{end}}", "y"),
        ("{{with .Nothing}}x{{else}}-{{end}}{{with .State}}{{.Pid}}{{end}}", "-5"),
        ("{{with $x := .State}}{{$x.Pid}}{{$.Name}}{{end}}", "5/web"),
        ("{{$n := .Name}}{{$n | upper}}", "/WEB"),
        ('{{.Args | join ","}}', None),
        ('{{join .Args ","}}', "x,y"),
        ("{{index .Args 1}} {{(index .Mounts 1).Source}} {{len .Args}}", "y /b 2"),
        ('{{index .Networks "a" "IP"}}', "2"),
        ('{{printf "%s-%d-%v" .Name .State.Pid .State.Running}}', "/web-5-true"),
        ("a {{- .Name -}} b", "a/webb"),
        ("{{/* said to nobody */}}x", "x"),
        ('{{"a\\"b"}}{{`c\\d`}}', 'a"bc\\d'),
        ('{{println "x"}}', "x\n"),
        ("{{.Missing}}", "<no value>"),
        ('{{slice .Name 1}} {{truncate .Name 3}} {{title "abc"}}', "web /we Abc"),
        ('{{"}}"}}', "}}"),
    ],
)
def test_templates(source: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(TemplateError):
            Template(source).execute(VALUE)
    else:
        assert Template(source).execute(VALUE) == text


@pytest.mark.parametrize(
    "source",
    ["{{", "{{.Name", "{{end}}", "{{if .Name}}", "{{nope .Name}}", "{{.Name | }}", "{{}}", '{{"a}}', "{{(.Name}}",
     "{{$x}}", "{{template \"x\"}}", "{{.Name.First}}", "{{index .Args 9}}", "{{1.2.3}}", "{{range .Name}}{{end}}"],
)  # fmt: skip
def test_mistakes_are_told(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source).execute(VALUE)
    assert caught.value.message.startswith("template: ")


@given(st.text(alphabet="{}.-|$()\"' abif=:endrangelsw0", max_size=30))
def test_any_text_is_a_template_or_an_error(source: str) -> None:
    try:
        Template(source).execute(VALUE)
    except TemplateError:
        pass


TABLE = Table((("ID", "CONTAINER ID"), ("Names", "NAMES")), (("State", "STATE"),))
ROWS = [{"ID": "1", "Names": "web"}, {"ID": "22", "Names": "b"}]


def test_tables() -> None:
    assert TABLE.text(ROWS) == "CONTAINER ID   NAMES\n1              web\n22             b\n"
    assert TABLE.text([], "table") == "CONTAINER ID   NAMES\n"
    assert TABLE.text(ROWS, "{{.Names}}") == "web\nb\n"
    assert TABLE.text(ROWS, "table {{.Names}}\\t{{.ID}}") == "NAMES     CONTAINER ID\nweb       1\nb         22\n"
    assert TABLE.text(ROWS[:1], "json") == '{"ID":"1","Names":"web","State":""}\n'


def test_cells() -> None:
    assert aligned([["a", "b"], ["ccc", ""]]) == "a         b\nccc       \n"
    assert aligned([["a", "b"], ["ccc", ""]], 0) == "a     b\nccc   \n"
    assert ellipsis("abcdef", 4) == "abc…"
    assert ellipsis("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.Id}} {{.ID}}", "1 1"),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ("{{if .State.Health}}x{{end}}{{.Error}}", ""),
        ("{{range .Mounts}}{{.Nope}}{{end}}", "<no value>"),
        ("{{.Nope}}", None),
        ("{{.State.Nope}}", None),
    ],
)
def test_fields_of_documents(source: str, text: str | None) -> None:
    document = {"Id": "1", "Config": {"Labels": {"a": "b"}}, "State": {"Pid": 1}, "Mounts": [{"Type": "bind"}]}
    template = Template(source, look_up)
    if text is None:
        with pytest.raises(UnknownField):
            template.execute(document)
    else:
        assert template.execute(document) == text
