import numpy as np
import pytest
from sklearn import metrics

from depth_model.evaluation import mean_iou
from depth_model.evaluation.segmentation_figures import confusion_figure, overlay
from depth_model.metrics.segmentation import class_iou, confusion_matrix, of_constant, pixel_accuracy
from depth_model.semantic.classes import ClassList


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_figures_are_those_of_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 7, (3, 20, 30)).astype(np.uint8)
    predicted = np.where(generator.random(labels.shape) < 0.6, labels, generator.integers(0, 7, labels.shape))
    labels[generator.random(labels.shape) < 0.2] = 255
    confusion = sum(confusion_matrix(p.astype(np.uint8), t, 8) for p, t in zip(predicted, labels))
    known = labels != 255
    truth, found = labels[known], predicted[known]
    assert np.array_equal(confusion, metrics.confusion_matrix(truth, found, labels=range(8)))
    iou = metrics.jaccard_score(truth, found, labels=range(7), average=None)
    assert class_iou(confusion)[:7] == pytest.approx(iou)
    assert np.isnan(class_iou(confusion)[7])  # neither labeled nor predicted: not in the mean
    assert mean_iou(confusion) == pytest.approx(iou.mean())
    assert pixel_accuracy(confusion) == pytest.approx(metrics.accuracy_score(truth, found))
    most = np.bincount(truth).argmax()
    assert np.array_equal(of_constant(confusion), confusion_matrix(np.full_like(labels, most), labels, 8))


def test_what_cannot_be_counted_is_refused():
    nothing = np.full((2, 2), 255, np.uint8)
    with pytest.raises(ValueError, match="nothing to measure"):
        mean_iou(confusion_matrix(np.zeros_like(nothing), nothing, 3))
    with pytest.raises(ValueError, match="class 3 of 3"):
        confusion_matrix(np.full((2, 2), 3), np.zeros((2, 2), np.uint8), 3)
    with pytest.raises(ValueError, match="one shape"):
        confusion_matrix(nothing, nothing[:1], 3)


def test_pictures_have_the_palette_and_one_content():
    classes = ClassList("two", ("a", "b"), ((10, 20, 30), (200, 100, 0)))
    labels = np.array([[0, 1], [1, 255]], np.uint8)
    assert classes.colored(labels).tolist() == [[[10, 20, 30], [200, 100, 0]], [[200, 100, 0], [0, 0, 0]]]
    shown = overlay(np.full((2, 2, 3), 100, np.uint8), labels, classes)
    assert shown[0, 1].tolist() == [160, 100, 40]
    confusion = np.array([[3, 1], [0, 2]])
    assert confusion_figure(confusion, classes) == confusion_figure(confusion, classes)
