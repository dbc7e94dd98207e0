"""Class numbers of the rendered world: those of the ADE20K scene parsing benchmark, 0-based (0 to 149).

The benchmark's annotation files store these plus one, 0 standing for "other". Only the classes that occur in
the rendered world are listed.
"""

from __future__ import annotations

WALL = 0
BUILDING = 1
SKY = 2
FLOOR = 3
TREE = 4
CEILING = 5
ROAD = 6
BED = 7
WINDOW_PANE = 8
GRASS = 9
CABINET = 10
SIDEWALK = 11
PERSON = 12
EARTH = 13
DOOR = 14
TABLE = 15
MOUNTAIN = 16
PLANT = 17
CURTAIN = 18
CHAIR = 19
CAR = 20
WATER = 21
PAINTING = 22
SOFA = 23
HOUSE = 25
RUG = 28
FENCE = 32
ROCK = 34
LAMP = 36
CUSHION = 39
PEDESTAL = 40
BOX = 41
COLUMN = 42
SIGNBOARD = 43
PILLOW = 57
BOOKCASE = 62
BOOK = 67
BENCH = 69
BOAT = 76
STREETLIGHT = 87
POLE = 93
BOTTLE = 98
BARREL = 111
BALL = 119
FOOD = 120
POT = 125
LAKE = 128
SCULPTURE = 132
VASE = 135
PIER = 140
PLATE = 142
