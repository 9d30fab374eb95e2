"""`facegen studio`: a web page that restores photos, draws faces and makes films of them."""
