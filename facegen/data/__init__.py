"""The user's own pictures: which are held out, and (later) how they are prepared and cleaned."""
