"""Predictions and evaluations with a trained model."""

from model.predict.predictor import Predictor

__all__ = ["Predictor"]
