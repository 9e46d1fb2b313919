"""What a wanted accuracy will take, and what more money would buy: a study's design before it, a forecast during it.
numpy and scipy only."""

from preceptor.planning.crowd import Crowd
from preceptor.planning.forecast import Beliefs, Point, curve, gain
from preceptor.planning.study import Design, Study, design_study

__all__ = ["Beliefs", "Crowd", "Design", "Point", "Study", "curve", "design_study", "gain"]
