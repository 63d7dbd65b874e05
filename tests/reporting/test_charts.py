"""Charts show what the numbers say."""

from xml.etree import ElementTree

from parity.reporting.charts import AHEAD, BEHIND, UNDECIDED, Bar, forest, forest_svg

BARS = [Bar("a & b", 0.02, -0.03, 0.07), Bar("middle", -0.01, -0.04, 0.02), Bar("worse", -0.08, -0.12, -0.04)]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_dots_stand_where_the_gaps_are():
    root = ElementTree.fromstring(forest_svg("title <1>", "note", BARS, margin=0.03))
    dots = root.findall(f"{SVG}circle")[: len(BARS)]
    at = [float(dot.attrib["cx"]) for dot in dots]
    zero, scale = (at[0] + 2 * at[1]) / 3, at[0] - at[1]
    assert abs(at[2] - (zero - 0.08 / 0.03 * scale)) < 0.5
    assert [dot.attrib["fill"] for dot in dots] == [AHEAD, UNDECIDED, BEHIND]
    words = [text.text for text in root.findall(f"{SVG}text")]
    assert "a & b" in words
    assert "title <1>" in words
    assert "margin -3" in words


def test_a_terminal_line_holds_the_interval_and_the_gap():
    head, first, _, last = forest(BARS).lines
    zero = head.index("0", head.index("15") + 2)
    assert first[zero] == "+"
    assert first.index("o") > zero > last.index("o")
    assert last[zero] == "|"
    assert first.endswith("+2.00")
    assert len({len(line.rstrip()) for line in (first, last)}) == 1


def test_nothing_to_draw_is_drawn():
    assert len(forest([]).lines) == 1
    ElementTree.fromstring(forest_svg("none", "", []))
