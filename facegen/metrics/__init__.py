"""How good pictures are: pure functions on features and pictures, each naming its source, and a figure's protocol."""
