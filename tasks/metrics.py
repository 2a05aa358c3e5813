"""Names of the metrics a spec may ask for; the arithmetic is in `evidence.py`."""

from typing import Literal

Problem = Literal["classification", "regression"]

METRICS: dict[str, Problem] = {
    "accuracy": "classification",
    "balanced_accuracy": "classification",
    "f1": "classification",
    "roc_auc": "classification",
    "average_precision": "classification",
    "neg_log_loss": "classification",
    "neg_brier_score": "classification",
    "r2": "regression",
    "neg_mean_absolute_error": "regression",
    "neg_root_mean_squared_error": "regression",
}
"""Each is "higher is better", named as in scikit-learn's `scoring`. For more than two classes `f1`,
`roc_auc` and `average_precision` are the unweighted mean over one-versus-rest."""

NEEDS_PROBABILITY = frozenset({"roc_auc", "average_precision", "neg_log_loss", "neg_brier_score"})
