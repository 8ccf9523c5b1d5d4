"""From PDF coordinates to the page model's: origin top-left, y downwards, the page's rotation applied.

Owns the arithmetic of rotation and crop box. Refuses to know what lies on the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sir_convert_a_lot.infrastructure.engines.builtin.page_model import Box


@dataclass(frozen=True, slots=True)
class PageSpace:
    """The visible box in PDF space and by how many quarter turns clockwise it is shown."""

    left: float
    bottom: float
    right: float
    top: float
    quarter_turns: int

    @classmethod
    def of_page(cls, page: Any) -> PageSpace:
        """The space of a `pypdfium2.PdfPage`."""
        left, bottom, right, top = page.get_bbox()
        return cls(left, bottom, right, top, page.get_rotation() // 90 % 4)

    @property
    def width_pt(self) -> float:
        return self.right - self.left if self.quarter_turns % 2 == 0 else self.top - self.bottom

    @property
    def height_pt(self) -> float:
        return self.top - self.bottom if self.quarter_turns % 2 == 0 else self.right - self.left

    def turned(self, quadrant: int) -> PageSpace:
        """The same page shown so that text now running in `quadrant` (clockwise from the right) runs to the right."""
        turns = (self.quarter_turns - quadrant) % 4
        return PageSpace(self.left, self.bottom, self.right, self.top, turns)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Page model coordinates of a point in PDF space."""
        if self.quarter_turns == 0:
            return x - self.left, self.top - y
        if self.quarter_turns == 1:
            return y - self.bottom, x - self.left
        if self.quarter_turns == 2:
            return self.right - x, y - self.bottom
        return self.top - y, self.right - x

    def direction(self, x: float, y: float) -> tuple[float, float]:
        """A vector of PDF space as the page shows it (y downwards)."""
        if self.quarter_turns == 0:
            return x, -y
        if self.quarter_turns == 1:
            return y, x
        if self.quarter_turns == 2:
            return -x, y
        return -y, -x

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        """The box of a rectangle of PDF space."""
        ax, ay = self.point(left, bottom)
        bx, by = self.point(right, top)
        return Box(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))

    def span(self, left: float, bottom: float, right: float, top: float) -> tuple[float, float]:
        """The horizontal extent (x0, x1) of a rectangle of PDF space; of `box`, the half that every character needs."""
        if self.quarter_turns == 0:
            return left - self.left, right - self.left
        x0, _, x1, _ = self.box(left, bottom, right, top)
        return x0, x1
