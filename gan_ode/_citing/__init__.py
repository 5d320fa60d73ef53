"""The papers behind what is used: `references.bib`, and what finds an entry of it."""

from ._cite import cite as cite
