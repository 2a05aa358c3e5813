"""A fitted Pipeline's labels and probabilities for the price of one pass where that gives the same answer."""

from typing import Any

from slipway_model_server.estimators import argmax_types


class Predictor:
    """Call it with a frame: it gives what `pipeline.predict` and `pipeline.predict_proba` give.

    The columns are transformed once for both.
    """

    def __init__(self, pipeline: Any) -> None:
        self._transforms = [
            step.transform for _, step in pipeline.steps[:-1] if step is not None and step != "passthrough"
        ]
        final = pipeline.steps[-1][1]
        self._predict = final.predict
        self._probability = getattr(final, "predict_proba", None)
        self._classes = getattr(final, "classes_", None)
        self.labels_follow = self._probability is not None and labels_follow(final)

    def __call__(self, frame: Any) -> tuple[Any, Any | None]:
        """Predicted labels or values, shape (rows,), and probabilities, shape (rows, classes), or None.

        Raises ValueError if the model refuses a value of `frame`.
        """
        for transform in self._transforms:
            frame = transform(frame)
        if self._probability is None:
            return self._predict(frame), None
        probability = self._probability(frame)
        if self.labels_follow:
            best = probability.argmax(axis=1)
            highest = probability.max(axis=1, keepdims=True)
            # Two equal probabilities may hide which score was higher: then, and for NaN, `predict` decides.
            if ((probability == highest).sum(axis=1) == 1).all():
                return self._classes.take(best), probability  # type: ignore[union-attr]
        return self._predict(frame), probability


def labels_follow(classifier: Any) -> bool:
    """Whether a fitted classifier's label is always the class of its one highest probability."""
    name = public_name(classifier)
    if name == "sklearn.ensemble.StackingClassifier":
        return labels_follow(classifier.final_estimator_)
    if name == "sklearn.neighbors.KNeighborsClassifier":
        # By distance the two add the weights up in different ways.
        return bool(classifier.weights == "uniform")
    return name in argmax_types()


def public_name(estimator: Any) -> str:
    """The import path as in the table: scikit-learn's private modules left out."""
    kind = type(estimator)
    public = []
    for part in kind.__module__.split("."):
        if part.startswith("_"):
            break
        public.append(part)
    return ".".join([*public, kind.__qualname__])
