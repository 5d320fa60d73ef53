"""Terms added to the players' losses."""
