"""What is told of long calls: how far they are, and what they are doing."""

from ._meter import meter as meter, Progress as Progress
from ._telling import telling as telling, told as told
