"""The report's colours: those of configurations, and what each becomes on a dark screen.

Any two of the configurations' differ by 10 or more in CIEDE2000 for normal vision, protanopia,
deuteranopia and tritanopia (simulated after Machado et al., IEEE TVCG 15, 2009), on white as on the
dark page, and by 3 in contrast from what is behind them (WCAG 2.2, 1.4.11): a test computes it.
"""

from __future__ import annotations

import re

REFERENCE_COLOR = "#5C6470"
_CONFIGURATIONS = {
    REFERENCE_COLOR: "#9AA4B2",
    "#0072B2": "#4AA3F0", "#D55E00": "#F08A4B", "#009E73": "#66CC88", "#CC79A7": "#CC11AA",
    "#AA0000": "#EE1111", "#4488EE": "#44FFCC", "#660066": "#AA6688", "#0022EE": "#4466EE",
    "#006644": "#448866", "#660000": "#EE4466", "#004444": "#EEFFFF", "#0000AA": "#EECCFF",
    "#440022": "#FFFFAA", "#000044": "#AAFF11",
}  # fmt: skip
COLORS = tuple(_CONFIGURATIONS)[1:]
"""The first four are Okabe and Ito's (jfly.uni-koeln.de/color, 2008)."""
PAPER, SHADE = "#FFFFFF", "rgba(255,255,255,0.75)"
DARK = {
    **_CONFIGURATIONS,
    PAPER: "#161B22", SHADE: "rgba(22,27,34,0.75)",
    # parts of a latency, of a memory
    "#E69F00": "#E69F00", "#56B4E9": "#CFE8FF", "#B58900": "#E0B84B", "#7B3294": "#B57EDC",
    "#C3C9D1": "#5F6B78", "#8DA0B6": "#7F93AA",
    # text
    "#1D2733": "#E6EAF0", "#3C4754": "#C3CAD3", "#6B7480": "#98A2AE", "#005A96": "#6CB6FF",
    "#003F6B": "#9CCBFF", "#00674A": "#5FD3A4", "#A8430A": "#FFA76B", "#B3001B": "#FF8A8F",
    # lines
    "#AAB4C0": "#4E5966", "#B8C0CA": "#4A5562", "#B9C1CB": "#68737F", "#CDD3DA": "#3C4652",
    "#E3E7EC": "#303944", "#E7EAEE": "#2A323C",
    # areas
    "#E0EBF4": "#1F3A53", "#E9EDF1": "#242C36", "#EEF3F7": "#1C242E", "#EEF5FA": "#1A2736",
    "#F5F7F9": "#1C232C", "#F7F8FA": "#12161C", "#F7F9FB": "#1B222B", "#F8FAFB": "#19202A",
    "#FDF3EC": "#33241A",
}  # fmt: skip
"""Colour of the light page → of the dark one; print is always light."""
_HEX = re.compile(r"#[0-9A-Fa-f]{6}\b")


def variable(color: str) -> str:
    """A colour as the page's style sheet has it: `var(--c-0072b2)`."""
    return f"var(--c-{color[1:].lower()})"


def themed(text: str) -> str:
    """A style sheet, or the attributes of an SVG element, with variables in place of colours."""
    return _HEX.sub(lambda found: variable(found.group()), text)


def definitions() -> str:
    """The variables, for the light page and for a dark screen."""
    light, dark = (
        " ".join(f"--c-{a[1:].lower()}: {b};" for a, b in pairs if a.startswith("#"))
        for pairs in ([(a, a) for a in DARK], DARK.items())
    )
    screen = "@media screen and (prefers-color-scheme: dark)"
    return f":root {{ {light} }}\n{screen} {{ :root {{ {dark} }} }}\n"
