from __future__ import annotations

from pycontainerd.rpc.metrics import Registry


def test_the_exposition_format() -> None:
    registry = Registry()
    counter = registry.counter("c_total", "Things.", ("kind",))
    counter.add(1, 'a"b\\c\n')
    counter.add(2.5, "z")
    registry.gauge("g", "Now.", lambda: 3)
    registry.gauge("m", "By name.", lambda: {"x": 1, "y": 2}, "name")
    histogram = registry.histogram("h_seconds", "Times.", ("m",), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value, "M")
    assert registry.text().splitlines() == [
        "# HELP c_total Things.",
        "# TYPE c_total counter",
        'c_total{kind="a\\"b\\\\c\\n"} 1',
        'c_total{kind="z"} 2.5',
        "# HELP g Now.",
        "# TYPE g gauge",
        "g 3",
        "# HELP m By name.",
        "# TYPE m gauge",
        'm{name="x"} 1',
        'm{name="y"} 2',
        "# HELP h_seconds Times.",
        "# TYPE h_seconds histogram",
        'h_seconds_bucket{m="M",le="0.1"} 2',
        'h_seconds_bucket{m="M",le="1.0"} 3',
        'h_seconds_bucket{m="M",le="+Inf"} 4',
        'h_seconds_sum{m="M"} 7.65',
        'h_seconds_count{m="M"} 4',
    ]


def test_a_counter_without_labels_starts_at_zero() -> None:
    registry = Registry()
    registry.counter("c_total", "Things.")
    assert "c_total 0" in registry.text()
