"""The Predictor behind HTTP, and its page."""
