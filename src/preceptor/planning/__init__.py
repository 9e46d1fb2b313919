"""What a wanted accuracy will take, what more money would buy, when it will be done: a study's design before it, forecasts
during it. numpy and scipy only."""

from preceptor.planning.crowd import Crowd
from preceptor.planning.finish import finish
from preceptor.planning.forecast import Beliefs, Point, curve, gain
from preceptor.planning.study import Design, Study, design_study

__all__ = ["Beliefs", "Crowd", "Design", "Point", "Study", "curve", "design_study", "finish", "gain"]
