"""The user's own pictures: prepared from photos, cleaned, judged, described; and which of them are held out."""
