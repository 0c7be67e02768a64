"""The page of explanations: what several methods show on each image, and how faithful they are."""

from align_jax.reporting.explanations_page.data import Curves, ExplainedImage, Explanations, Settings
from align_jax.reporting.explanations_page.measure import MOST_CARDS, measured
from align_jax.reporting.explanations_page.page import explanations_page

__all__ = ["MOST_CARDS", "Curves", "ExplainedImage", "Explanations", "Settings", "explanations_page", "measured"]
