"""Small games that papers made to show where training fails, under the names that they go by."""

from ._almost_bilinear import AlmostBilinear as AlmostBilinear
from ._forsaken import Forsaken as Forsaken
from ._heusel import Heusel as Heusel
from ._mazumdar import Mazumdar as Mazumdar
