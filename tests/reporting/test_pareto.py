"""The picture of size against loss: every type is on it, none is written over another, and the front is marked."""

import re
import xml.etree.ElementTree as ET

from parity.reporting.pareto import Dot, pareto, pareto_svg

DOTS = [
    Dot("Q8_0", 8.0e9, 0.001, 10, True, True), Dot("Q4_K_M", 4.8e9, 0.03, 20, True, True),
    Dot("Q4_0", 4.7e9, 0.05, 21, True, False), Dot("IQ4_XS", 4.69e9, 0.049, 5, True, False),
    Dot("Q4_1", 5.0e9, 0.06, 18, False, False), Dot("nothing lost", 9e9, 0.0, 1, False, None),
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


def test_every_type_stands_in_the_terminal_with_its_mark():
    text = "\n".join(pareto(DOTS).lines)
    for dot in DOTS:
        assert len(re.findall(rf"{re.escape('*' if dot.front else 'o')} {dot.label}\b", text)) == 1
    lines = text.splitlines()
    height = {dot.label: next(at for at, line in enumerate(lines) if f" {dot.label}" in line) for dot in DOTS}
    assert height["Q4_1"] < height["Q8_0"] < height["nothing lost"]
    assert pareto([]).lines == ("Nothing was measured.",)


def test_labels_are_not_written_over_each_other():
    root = ET.fromstring(pareto_svg("<title> & more", "note", DOTS))
    texts = [one for one in root.iter(SVG + "text") if one.find(SVG + "tspan") is not None]
    assert len(texts) == len(DOTS)
    boxes = [
        (float(one.get("x")), float(one.get("x")) + 7 * len(one.text.strip()) + 52, float(one.get("y")))
        for one in texts
    ]
    for at, (left, right, line) in enumerate(boxes):
        for begin, end, other in boxes[at + 1 :]:
            assert end <= left or right <= begin or abs(line - other) >= 10


def test_a_faster_type_has_a_larger_dot_and_a_claim_its_colour():
    circles = [one for one in ET.fromstring(pareto_svg("t", "n", DOTS)).iter(SVG + "circle") if one.get("fill-opacity")]
    assert len({one.get("fill") for one in circles}) == 3
    sizes = [float(one.get("r")) for one in circles]
    assert sorted(range(6), key=lambda at: sizes[at]) == sorted(range(6), key=lambda at: DOTS[at].speed)
