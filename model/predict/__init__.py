"""A finished training in; evaluations and predictions out."""

from model.predict.predictor import Predictor

__all__ = ["Predictor"]
