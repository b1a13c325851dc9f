"""Pure arithmetic: what is expected of a call, how noisy that is, and the decision rule."""
