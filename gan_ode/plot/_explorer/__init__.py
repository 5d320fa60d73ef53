"""A page that explores a game in the browser."""

from ._explorer import Explorer as Explorer, explorer as explorer
