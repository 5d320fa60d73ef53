"""What experiments share: how they are run, recorded and judged, and the systems that several of them look at."""
