"""Models: fit is the loop that anybody would write, to the last bit; and what it refuses."""

import copy
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import bits
from tinygrad_edu import layers, losses, metrics, models, optimizers, schedules
from tinygrad_edu.callbacks import (
    Callback,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    TerminateOnNaN,
)
from tinygrad_edu.checkpoints import CheckpointError
from tinygrad_edu.layers import Dropout, Linear, ReLU, Sigmoid, Softmax, Tanh
from tinygrad_edu.models import MLP, Model, Sequential
from tinygrad_edu.models.history import History
from tinygrad_edu.optimizers import SGD, Adam
from tinygrad_edu.training import get_batches


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


X = drawn(50, 3)
Y = (X.sum(axis=1) > 0).astype(int)


def with_dropout(of=models):
    return of.Sequential(Linear(3, 8, rng=0), ReLU(), Dropout(0.5, rng=1), Linear(8, 2, rng=2))


def compiled(model=None, loss="cross_entropy", optimizer="adam", **options):
    model = MLP(3, 8, 2, rng=0) if model is None else model
    model.compile(loss, optimizer, **options)
    return model


def line(slope=0.0, **options):
    """A model of one number: x times slope."""
    model = Sequential(Linear(1, 1, bias=False, rng=0))
    model.load_state_dict({"layers.0.weight": [[slope]]})
    model.compile(options.pop("loss", "mse"), SGD(lr=0.0), **options)
    return model


# ---------------------------------------------------------------- the loop


@pytest.mark.parametrize("shuffle", [True, False])
def test_fit_is_the_loop_by_hand_to_the_last_bit(shuffle):
    model = compiled(with_dropout(), metrics=["accuracy"], rng=5)
    history = model.fit(X, Y, batch_size=16, epochs=4, shuffle=shuffle, verbose=0)

    by_hand, rng = with_dropout(layers), np.random.default_rng(5)
    optimizer = Adam(by_hand)
    expected, right = [], []
    for _ in range(4):
        total, hits = 0.0, 0
        for x, y in get_batches((X, Y), 16, shuffle=shuffle, rng=rng):
            prediction = by_hand(x)
            loss = losses.cross_entropy(prediction, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            hits += int((prediction.data.argmax(axis=1) == y).sum())
        expected.append(total / len(X))
        right.append(hits / len(X))
    assert bits(model) == bits(by_hand)
    assert history.history == {"loss": expected, "accuracy": right}
    assert history.epoch == [0, 1, 2, 3]
    assert model.epochs == 4


def test_the_default_generator_draws_the_order_unless_told():
    found = []
    for seed in (3, 3, 4):
        tg.manual_seed(seed)
        model = compiled()
        model.fit(X, Y, epochs=2, verbose=0)
        found.append(bits(model))
    assert found[0] == found[1] != found[2]


def test_models_in_threads_are_the_models_alone():
    alone = compiled(rng=0)
    alone.fit(X, Y, epochs=5, verbose=0)
    models = [compiled(rng=0) for _ in range(3)]
    threads = [
        threading.Thread(target=model.fit, args=(X, Y), kwargs={"epochs": 5, "verbose": 0})
        for model in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(bits(model) == bits(alone) for model in models)


def test_keras_program_learns_xor():
    tg.manual_seed(0)
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])
    model = tg.Sequential()
    model.add(Linear(2, 8))
    model.add(Tanh())
    model.add(Linear(8, 1))
    model.add(Sigmoid())
    sgd = SGD(lr=0.1, momentum=0.9, nesterov=True, decay=1e-6)
    model.compile(loss="binary_crossentropy", optimizer=sgd, metrics=["accuracy"])
    model.fit(x, y, batch_size=1, epochs=300, verbose=0)
    loss, accuracy = model.evaluate(x, y)
    assert accuracy == 1
    assert loss < 0.05
    assert model.predict(x).round().tolist() == y.tolist()


def test_the_last_smaller_batch_counts_as_often_as_it_has_examples():
    model = line(0.0)
    history = model.fit([[0.0], [0.0], [0.0]], [[0.0], [0.0], [3.0]], batch_size=2, verbose=0)
    assert history.history["loss"] == [3.0]  # of 0, 0 and 9


def test_lbfgs_takes_its_looks():
    model = compiled(Sequential(Linear(3, 1, rng=0)), "mse", optimizers.LBFGS())
    y = X @ np.array([[1.0], [2.0], [3.0]], "float32")
    history = model.fit(X, y, batch_size=50, epochs=3, verbose=0)
    assert model.evaluate(X, y) < 1e-8 < history.history["loss"][0]


def test_epochs_before_the_first_are_not_trained_again():
    model = compiled()
    history = model.fit(X, Y, epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4]
    assert model.optimizer.iterations == 4
    assert model.fit(X, Y, epochs=0, verbose=0).epoch == []


# ---------------------------------------------------------------- evaluate and predict


def test_evaluate_gives_a_number_a_list_or_a_dict():
    model = compiled()
    loss = model.evaluate(X, Y)
    assert loss == pytest.approx(losses.cross_entropy(model(X), Y).item(), rel=1e-6)
    model.compile("cross_entropy", "adam", metrics=["accuracy"])
    accuracy = metrics.accuracy(model(X), Y)
    assert model.evaluate(X, Y) == [loss, accuracy]
    assert model.evaluate(X, Y, return_dict=True) == {"loss": loss, "accuracy": accuracy}


def test_predict_is_the_model_in_use_and_leaves_it_as_it_was():
    model = with_dropout()
    model[0].training = False
    modes = [layer.training for layer in model.layers()]
    prediction = model.predict(X, batch_size=7)
    assert [layer.training for layer in model.layers()] == modes
    assert type(prediction) is np.ndarray
    whole = copy.deepcopy(model).eval()(X).data
    np.testing.assert_allclose(prediction, whole, rtol=1e-6)
    assert np.array_equal(model.predict(X), model.predict(X))


def test_predict_and_evaluate_record_nothing():
    class Watching(Sequential):
        def forward(self, x):
            self.recording = tg.is_grad_enabled()
            return super().forward(x)

    model = compiled(Watching(Linear(3, 2, rng=0)))
    for call in (lambda: model.predict(X), lambda: model.evaluate(X, Y)):
        model.recording = None
        call()
        assert model.recording is False
    model.fit(X, Y, verbose=0)
    assert model.recording is True


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("breaks", [False, True])
def test_fit_leaves_the_modes_as_they_were(training, breaks):
    class Breaks(Callback):
        def on_epoch_end(self, epoch, logs):
            assert all(layer.training for layer in self.model.layers())
            if breaks:
                raise OSError

    model = compiled(with_dropout()).train(training)
    try:
        model.fit(X, Y, validation_data=(X, Y), callbacks=[Breaks()], verbose=0)
    except OSError:
        assert breaks
    assert {layer.training for layer in model.layers()} == {training}


def test_validation_is_done_in_use_and_over_the_whole_set():
    model = compiled(with_dropout(), metrics=["precision"])
    history = model.fit(X, Y, validation_data=(X[:20], Y[:20]), batch_size=7, verbose=0)
    loss, precision = model.evaluate(X[:20], Y[:20])
    assert list(history.history) == ["loss", "precision", "val_loss", "val_precision"]
    assert history.history["val_loss"][0] == pytest.approx(loss, rel=1e-6)
    assert history.history["val_precision"] == [precision]
    guesses = model.predict(X[:20]).argmax(axis=1)
    assert precision == (guesses * Y[:20]).sum() / guesses.sum()


def test_validation_split_takes_the_last_rows_before_shuffling():
    x = np.arange(10.0)[:, None]
    model = line(0.0)
    history = model.fit(x, x, validation_split=0.2, batch_size=3, verbose=0)
    assert history.history["loss"][0] == pytest.approx((x[:8] ** 2).mean())
    assert history.history["val_loss"][0] == pytest.approx((x[8:] ** 2).mean())
    both = model.fit(x, x, validation_split=0.2, validation_data=(x[:1], x[:1] + 1), verbose=0)
    assert both.history["val_loss"] == [1.0]  # as in Keras, the data given are taken


@pytest.mark.parametrize("share", [1.0, -0.5, 0.999999, float("nan")])
def test_a_split_that_leaves_nothing_is_refused(share):
    model = line()
    with pytest.raises(ValueError, match="validation_split"):
        model.fit(np.ones((3, 1)), np.ones((3, 1)), validation_split=share, verbose=0)


# ---------------------------------------------------------------- compile


def test_an_optimizer_of_some_of_the_parameters_is_taken_as_it_is():
    model = MLP(3, 8, 2, rng=0)
    optimizer = Adam(model[2])
    compiled(model, optimizer=optimizer)
    before = bits(model)
    model.fit(X, Y, verbose=0)
    changed = [name for name, array in bits(model).items() if array != before[name]]
    assert model.optimizer is optimizer
    assert changed == ["layers.2.weight", "layers.2.bias"]


def test_an_optimizer_of_other_parameters_is_refused():
    with pytest.raises(ValueError, match="2 parameters that are not of this model"):
        compiled(optimizer=Adam(Linear(3, 2)))


def test_compiling_again_replaces():
    first = Adam()
    model = compiled(optimizer=first)
    model.fit(X, Y, verbose=0)
    before = bits(model)
    model.compile("cross_entropy", SGD(lr=0.5))
    assert bits(model) == before
    model.fit(X, Y, verbose=0)
    assert bits(model) != before
    with pytest.raises(RuntimeError, match="no parameters yet"):
        first.step()
    model.compile("cross_entropy", model.optimizer)  # the same one once more
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("loss", "optimizer", "others"),
    [
        ("no such loss", "sgd", {}),
        ("mse", "no such optimizer", {}),
        ("mse", "sgd", {"metrics": ["no such metric"]}),
        ("mse", "sgd", {"metrics": ["accuracy", "accuracy"]}),
        ("mse", "muon", {}),  # wants matrices only
        ("adam", "mse", {}),  # the order of Keras
    ],
)
def test_a_compile_that_is_refused_changes_nothing(loss, optimizer, others):
    model, twin = (compiled(rng=0) for _ in range(2))
    for one in (model, twin):
        one.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match=r"no such|named 'accuracy'|Muon|second"):
        model.compile(loss, optimizer, **others)
    for one in (model, twin):
        one.fit(X, Y, verbose=0)
    assert bits(model) == bits(twin)


def test_what_was_never_compiled_says_how():
    model = MLP(3, 2, rng=0)
    for call in (
        lambda: model.fit(X, Y),
        lambda: model.evaluate(X, Y),
        lambda: model.optimizer,
        lambda: model.history,
    ):
        with pytest.raises(RuntimeError, match=r"compile it first: model\.compile\(loss="):
            call()


def test_a_layer_added_after_compile_is_noticed():
    model = compiled()
    model.add(Linear(2, 2))
    for call in (model.fit, model.evaluate):
        with pytest.raises(RuntimeError, match="compile it again"):
            call(X, Y)
    model.pop()
    model.fit(X, Y, verbose=0)


# ---------------------------------------------------------------- what it is fed with


class Frame:
    """Like a DataFrame: no array, but it can become one."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)

    def __iter__(self):
        return iter(["the", "names", "of", "columns"])


@pytest.mark.parametrize(
    "form",
    [
        lambda array: array.tolist(),
        tg.Tensor,
        Frame,
        lambda array: array.astype("float64") if array.dtype.kind == "f" else array,
        lambda array: np.asfortranarray(array),
        lambda array: array.astype(array.dtype.newbyteorder()),
    ],
    ids=["list", "Tensor", "frame", "float64", "Fortran", "big-endian"],
)
def test_data_in_other_forms_give_the_same(form):
    found = []
    for x, y in ((X, Y), (form(X), form(Y))):
        model = compiled(rng=0, metrics=["accuracy"])
        history = model.fit(x, y, epochs=2, verbose=0)
        found.append((bits(model), history.history, model.predict(x).tobytes()))
    assert found[0] == found[1]


def test_floating_numbers_take_the_dtype_of_the_model_and_whole_ones_stay():
    class Looks(Model):
        def __init__(self):
            self.weight = tg.tensor(np.ones((2, 1), "float32"), requires_grad=True)

        def forward(self, x, rows):
            self.dtypes = x.dtype, rows.dtype
            return tg.matmul(x, self.weight)

    model = compiled(Looks(), "mse", "sgd")
    x, rows, y = drawn(4, 2).astype("float64"), np.arange(4), np.zeros((4, 1))
    model.fit((x, rows), y, verbose=0)
    assert model.dtypes == (np.dtype("float32"), np.dtype("int64"))
    assert model.predict((x, rows)).dtype == np.float32
    assert x.dtype == np.float64


def test_an_embedding_gets_whole_numbers():
    model = Sequential(layers.Embedding(5, 4, rng=0), layers.Flatten(), Linear(12, 2, rng=0))
    compiled(model, optimizer=Adam(lr=0.1), metrics=["accuracy"])
    x = np.random.default_rng(0).integers(0, 5, (40, 3))
    y = (x == 2).any(axis=1).astype(int)
    model.fit(x, y, epochs=30, verbose=0)
    assert model.evaluate(x, y)[1] == 1
    model.summary()


def test_labels_may_stand_in_a_column():
    found = []
    for y in (Y, Y[:, None]):
        model = compiled(rng=0, metrics=["accuracy"])
        found.append((model.fit(X, y, validation_split=0.5, verbose=0).history, bits(model)))
    assert found[0] == found[1]


def test_a_row_of_targets_is_made_a_column_for_a_column_of_predictions():
    found = []
    for y in (Y, Y[:, None]):
        model = compiled(MLP(3, 1, rng=0), "mse", metrics=["mae", "accuracy"], rng=0)
        found.append((model.fit(X, y, validation_split=0.5, verbose=0).history, bits(model)))
    assert found[0] == found[1]


def test_a_row_of_predictions_for_a_column_of_targets_says_what_to_do():
    squeezing = compiled(Sequential(Linear(3, 1, rng=0), lambda x: x.reshape(-1)), "mse")
    with pytest.raises(ValueError, match=r"give y\.reshape\(-1\) to fit"):
        squeezing.evaluate(X, Y[:, None])
    squeezing.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("x", "y", "options", "words"),
    [
        (X, Y[:-1], {}, "rows differ: x 50, y 49"),
        ((X, X[:3]), Y, {}, "rows differ: x 50, x 3, y 50"),
        (X, Y, {"sample_weight": np.ones(3)}, "y 50, sample_weight 3"),
        (X[:0], Y[:0], {}, "no data"),
        (X, Y, {"batch_size": 0}, "batch_size=0 is too small; give a whole number of at least 1"),
        (X, Y, {"batch_size": 2.5}, "batch_size=2.5"),
        (X, Y, {"epochs": -1}, "epochs=-1"),
        (X, Y, {"epochs": 1.5}, "epochs=1.5"),
        (X, Y, {"epochs": 2, "initial_epoch": 3}, "beyond epochs=2"),
        (X, Y, {"verbose": 3}, "verbose=3"),
        (X, Y, {"steps_per_epoch": 0}, "steps=0"),
        (X, Y, {"sample_weight": -np.ones(50)}, "sample_weight: -1.0 at 0"),
        (X, Y, {"sample_weight": np.ones((50, 2))}, r"sample_weight has shape \(50, 2\)"),
        (X, Y, {"class_weight": {1: 2.0}}, r"no weight for the labels \[0\]"),
        (X, Y, {"class_weight": [1.0, 2.0]}, "give a dict"),
        (X, None, {}, "no y for it"),
        (X.tolist(), None, {}, "no y for it"),
        ((X, Y), None, {}, "no y for it"),
        (None, None, {}, "no y for it"),
        (3.0, 4.0, {}, "one number, 3.0"),
        ((), Y, {}, "empty tuple"),
        ([[1.0, 2.0], [3.0]], [0, 1], {}, "rows of one length"),
        (X, Y, {"validation_data": (X, Y, Y, Y)}, "a tuple of 4"),
        ([], None, {}, "no batch in it"),
    ],
)
def test_data_that_cannot_be_meant_are_refused(x, y, options, words):
    model = compiled()
    before = bits(model)
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(x, y, **{"verbose": 0, **options})
    assert bits(model) == before


@pytest.mark.parametrize(
    "x", [np.array(["a", "b"]), np.array([None, 1]), np.ma.masked_array([1.0, 2.0]), {"a": 1}, 1j]
)
def test_what_holds_no_numbers_is_refused(x):
    with pytest.raises(TypeError, match=r"x: a "):
        compiled().fit(x, [0, 1], verbose=0)


def test_several_inputs_come_in_a_tuple():
    class Sum(Model):
        def __init__(self):
            self.left, self.right = Linear(3, 2, rng=0), Linear(2, 2, rng=1)

        def forward(self, x, z):
            return self.left(x) + self.right(z)

    model, z = compiled(Sum(), rng=0), drawn(50, 2, seed=1)
    history = model.fit((X, z), Y, validation_data=((X, z), Y), epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    np.testing.assert_allclose(model.predict((X, z), batch_size=9), model(X, z).data, rtol=1e-5)
    model.summary()


def test_a_model_that_returns_several_things_is_told():
    model = compiled(Sequential(Linear(3, 2), lambda x: (x, x)))
    with pytest.raises(TypeError, match="fit wants one Tensor"):
        model.fit(X, Y, verbose=0)
    with pytest.raises(TypeError, match="returns a tuple"):
        model.predict(X)


# ---------------------------------------------------------------- batches that others make


def batches(size=16, x=X, y=Y):
    return list(get_batches((x, y), size))


def endless():
    while True:
        yield from batches()


def test_batches_of_others_give_the_same_as_arrays():
    arrays, listed, generated = (compiled() for _ in range(3))
    expected = arrays.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0).history
    assert listed.fit(batches(), epochs=3, verbose=0).history == expected
    got = generated.fit(endless(), steps_per_epoch=4, epochs=3, verbose=0).history
    assert got == expected
    assert bits(arrays) == bits(listed) == bits(generated)
    assert listed.evaluate(batches()) == arrays.evaluate(X, Y, batch_size=16)


def test_an_epoch_goes_on_where_the_one_before_ended():
    seen = []

    def noting():
        for i in range(100):
            seen.append(i)
            yield X[:2], Y[:2]

    compiled().fit(noting(), steps_per_epoch=3, epochs=4, verbose=0)
    assert seen == list(range(12))


def test_a_list_of_batches_begins_again():
    model = line()
    given = [([[0.0]], [[float(i)]]) for i in range(4)]  # losses 0, 1, 4, 9
    history = model.fit(given, steps_per_epoch=3, epochs=3, verbose=0)
    assert history.history["loss"] == pytest.approx([5 / 3, 10 / 3, 13 / 3])
    assert model.fit(given, steps_per_epoch=8, verbose=0).history["loss"] == [3.5]


def test_steps_per_epoch_of_arrays():
    model, x = line(), np.arange(6.0)[:, None]
    options = {"shuffle": False, "batch_size": 2, "verbose": 0}
    short = model.fit(x, x, steps_per_epoch=1, epochs=2, **options)
    assert short.history["loss"] == [0.5, 0.5]
    long = model.fit(x, x, steps_per_epoch=4, **options)
    assert long.history["loss"] == [(0 + 1 + 4 + 9 + 16 + 25 + 0 + 1) / 8]
    assert model.evaluate(x, x, batch_size=2, steps=1) == 0.5


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        (lambda: iter(batches()), {"epochs": 2}, "a list_iterator can be gone through only once"),
        (lambda: iter(batches()), {"epochs": 2, "steps_per_epoch": 3}, "ended after 1 of the 3"),
        (list, {"steps_per_epoch": 3}, "ended after 0 of the 3"),
        (lambda: iter([]), {}, "no batch in it"),
        (lambda: iter([X]), {}, r"a batch is \(x, y\) or \(x, y, weight\), not a ndarray of 50"),
        (lambda: iter([(X,)]), {}, "not a tuple of 1"),
        (lambda: iter([(X, Y[:-1])]), {}, "x 50, y 49"),
        (lambda: 5, {}, "int has no batches"),
        (lambda: batches(), {"validation_split": 0.5}, "validation_split is for arrays"),
        (lambda: batches(), {"sample_weight": np.ones(50)}, "sample_weight is for arrays"),
        (
            lambda: batches(),
            {"validation_data": iter(batches()), "epochs": 2},
            "validation_data: a list_iterator can be gone through only once",
        ),
    ],
)
def test_batches_that_do_not_do_are_refused(source, options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        compiled().fit(source(), verbose=0, **options)


def test_a_generator_of_one_epoch_and_validation_batches_with_steps():
    model = compiled()
    history = model.fit(iter(batches()), validation_data=endless(), validation_steps=2, verbose=0)
    expected = model.evaluate(X[:32], Y[:32], batch_size=16)
    assert history.history["val_loss"] == [expected]


# ---------------------------------------------------------------- weights


def test_sample_weights_are_factors_of_the_losses():
    model = line()
    y, weight = np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 0.0, 2.0])
    history = model.fit(np.ones((3, 1)), y, sample_weight=weight, batch_size=2, verbose=0)
    assert history.history["loss"][0] == pytest.approx((1 + 2 * 9) / 3)  # as Keras: / n
    assert model.evaluate(np.ones((3, 1)), y, sample_weight=weight) == pytest.approx(19 / 3)
    checked = model.fit([[0.0]], [[0.0]], validation_data=(y, y, weight[:, None]), verbose=0)
    assert checked.history["val_loss"][0] == pytest.approx(19 / 3)


def test_weights_move_the_parameters_as_repeated_examples_do():
    weighted, repeated = (compiled(MLP(3, 2, rng=0), optimizer=SGD(lr=0.1)) for _ in range(2))
    weight = np.where(Y == 1, 3.0, 1.0)
    rows = np.repeat(np.arange(50), weight.astype(int))
    for _ in range(5):
        weighted.fit(X, Y, sample_weight=weight, batch_size=50, verbose=0)
        repeated.optimizer.lr = 0.1 * len(rows) / 50  # its mean is over more of them
        repeated.fit(X[rows], Y[rows], batch_size=len(rows), verbose=0)
    for mine, theirs in zip(weighted.parameters(), repeated.parameters(), strict=True):
        np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", ["labels", "column", "onehot", "batches"])
def test_class_weights_are_sample_weights(form):
    onehot = np.eye(2, dtype="float32")[Y]
    y = {"labels": Y, "column": Y[:, None], "onehot": onehot, "batches": Y}[form]
    expected, model = compiled(), compiled()
    options = {"shuffle": False, "batch_size": 16, "verbose": 0}
    expected.fit(X, y, sample_weight=np.where(Y == 1, 5.0, 0.5), **options)
    if form == "batches":
        model.fit(batches(), class_weight={0: 0.5, 1: 5.0}, verbose=0)
    else:
        model.fit(X, y, class_weight={0: 0.5, 1: 5.0}, **options)
    assert bits(model) == bits(expected)
    both = compiled()
    both.fit(X, y, class_weight={0: 1, 1: 10}, sample_weight=np.full(50, 0.5), **options)
    assert bits(both) == bits(expected)


def test_weights_do_not_touch_the_metrics():
    model = compiled(metrics=["accuracy"], optimizer=SGD(lr=0.0))
    plain = model.fit(X, Y, verbose=0).history["accuracy"]
    assert model.fit(X, Y, sample_weight=Y, verbose=0).history["accuracy"] == plain


def test_a_loss_without_reductions_cannot_be_weighted():
    def cubed(prediction, target):
        return (abs(prediction - target) ** 3).mean()

    model = line(loss=cubed)
    with pytest.raises(TypeError, match="cubed: with weights.*reduction='none'"):
        model.fit([[1.0]], [[1.0]], sample_weight=[1.0], verbose=0)
    assert model.fit([[1.0]], [[2.0]], verbose=0).history["loss"] == [8.0]


# ---------------------------------------------------------------- accuracy


COLUMN = [[0.2], [0.4], [0.6], [2.0]]
SCORES = [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]]


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "expected"),
    [
        ("mse", COLUMN, [[0], [0], [1], [0]], 0.75),
        ("binary_crossentropy", [[0.2], [0.4], [0.6], [1.0]], [[0], [1], [1], [1]], 0.75),
        ("binary_cross_entropy_with_logits", COLUMN, [[1], [1], [1], [0]], 0.75),
        ("hinge", COLUMN, [[1], [1], [1], [-1]], 0.75),
        ("hinge", COLUMN, [[1], [1], [1], [0]], 0.75),
        ("mse", [[-0.2], [0.4], [0.6], [2.0]], [[-1], [1], [1], [-1]], 0.75),
        ("binary_crossentropy", SCORES, [[1, 0], [1, 1], [0, 1], [0, 0]], 0.75),  # of 8 entries
        ("cross_entropy", SCORES, [0, 1, 1, 1], 0.75),
        ("cross_entropy", SCORES, [[0], [1], [1], [1]], 0.75),
        ("cross_entropy", SCORES, [[1, 0], [0, 1], [0, 1], [0, 1]], 0.75),
        ("cross_entropy", SCORES, [[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]], 0.75),
        ("sparse_categorical_crossentropy", SCORES, [0, 1, 1, 1], 0.75),
    ],
)
def test_accuracy_is_the_one_that_fits(loss, prediction, target, expected):
    model = Sequential(layers.Identity(), Linear(1, 1))
    model.compile(loss, "sgd", metrics=["acc"])
    model.forward = tg.Tensor
    assert model.evaluate(prediction, np.array(target))[1] == expected


def test_a_metric_is_called_what_the_user_calls_it():
    def surprise(prediction, target):
        return 42

    model = compiled(metrics=["acc", surprise, metrics.f1])
    history = model.fit(X, Y, validation_split=0.5, verbose=0).history
    names = ["loss", "acc", "surprise", "f1"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    assert history["surprise"] == [42.0]


def test_metrics_of_an_epoch_are_of_all_its_predictions_made_while_training():
    model = compiled(metrics=["precision"], optimizer=SGD(lr=0.5), rng=0)
    seen = []

    class Notes(Callback):
        def on_batch_end(self, batch, logs):
            seen.append(logs["loss"])

    history = model.fit(X, Y, batch_size=16, callbacks=Notes(), verbose=0)
    twin, guesses = compiled(optimizer=SGD(lr=0.5)), []
    for x, y in get_batches((X, Y), 16, shuffle=True, rng=0):
        guesses += zip(twin(x).data.argmax(axis=1), y, strict=True)
        twin.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    right, wrong = guesses.count((1, 1)), guesses.count((1, 0))
    assert history.history["precision"] == [right / (right + wrong)]
    assert len(seen) == 4


# ---------------------------------------------------------------- what is not finite


def exploding(**options):
    model = Sequential(Linear(1, 1, rng=0))
    model.compile("mse", SGD(lr=1e30, **options), rng=0)
    return model


ROWS = np.arange(1.0, 5.0)[:, None]


def test_a_loss_that_is_not_finite_names_epoch_and_batch():
    model = exploding()
    with (
        pytest.raises(FloatingPointError, match=r"fit: epoch 1, batch 2: .*nothing was updated"),
        np.errstate(all="ignore"),
    ):
        model.fit(ROWS, ROWS, batch_size=1, epochs=3, verbose=0)
    assert np.isfinite(model[0].weight.data).all()
    assert model.optimizer.iterations == 1


def test_gradients_that_are_not_finite_name_epoch_and_batch():
    def steep(prediction, target):
        return tg.sqrt(abs(prediction) * 0).mean()

    model = line(1.0, loss=steep)
    words = r"epoch 1, batch 1: SGD.step: the gradient of"
    with pytest.raises(FloatingPointError, match=words), np.errstate(all="ignore"):
        model.fit(ROWS, ROWS, verbose=0)


def test_terminate_on_nan_ends_the_training_without_an_error(capsys):
    model = exploding()
    options = {"batch_size": 1, "epochs": 3, "callbacks": [TerminateOnNaN()]}
    with np.errstate(all="ignore"):
        history = model.fit(ROWS, ROWS, verbose=0, **options)
    assert capsys.readouterr().out == ""
    assert history.epoch == [0]
    assert np.isnan(history.history["loss"][0])
    assert np.isfinite(model[0].weight.data).all()
    with np.errstate(all="ignore"):
        model.fit(ROWS, ROWS, verbose=2, **options)
    assert "TerminateOnNaN: stopped at batch 1" in capsys.readouterr().out


@pytest.mark.parametrize("nonfinite", ["skip", "ignore"])
def test_an_optimizer_that_lives_with_nan_goes_on(nonfinite):
    model = exploding(nonfinite=nonfinite)
    with np.errstate(all="ignore"):
        history = model.fit(ROWS, ROWS, batch_size=1, epochs=2, verbose=0)
    assert history.epoch == [0, 1]
    assert not np.isfinite(history.history["loss"]).any()
    assert model.optimizer.skipped == (7 if nonfinite == "skip" else 0)


# ---------------------------------------------------------------- schedules


def plateau(**options):
    return schedules.ReduceOnPlateau(1.0, factor=0.5, patience=0, **options)


def test_a_plateau_hears_the_validation_loss_after_each_epoch():
    for name, options in (("val_loss", {"validation_data": (ROWS, ROWS + 1)}), ("loss", {})):
        schedule, x = plateau(), np.zeros((4, 1))
        model = Sequential(Linear(1, 1, bias=False, rng=0))
        model.compile("mse", SGD(lr=schedule))
        history = model.fit(x, x + 2, epochs=3, verbose=0, **options)
        assert schedule.best == history.history[name][0]
        assert model.optimizer.lr == 0.25


def test_a_plateau_of_scores_hears_the_first_metric():
    schedule = schedules.LinearWarmup(1, plateau(mode="max"))
    model = compiled(metrics=["accuracy"], optimizer=SGD(lr=schedule))
    history = model.fit(X, Y, validation_split=0.5, verbose=0).history
    assert schedule.then.best == history["val_accuracy"][0]
    with pytest.raises(ValueError, match="wants a score"):
        compiled(optimizer=SGD(lr=plateau(mode="max"))).fit(X, Y, verbose=0)


def test_a_schedule_of_several_groups_hears_it_once():
    schedule, model = plateau(), MLP(3, 2, 2, rng=0)
    groups = [{"params": layer, "lr": schedule} for layer in (model[0], model[2])]
    compiled(model, optimizer=SGD(groups), metrics=["accuracy"])
    calls = []
    schedule.observe = calls.append
    history = model.fit(X, Y, verbose=0).history
    assert calls == history["loss"]


# ---------------------------------------------------------------- resuming


PROGRAM = """
    import sys
    import numpy as np
    import tinygrad_edu as tg
    from tinygrad_edu import layers, models, optimizers, schedules
    from tinygrad_edu.callbacks import EarlyStopping, ModelCheckpoint

    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)).astype("float32")
    y = (x.sum(axis=1) > 0).astype(int)
    tg.manual_seed(11)
    model = models.Sequential(
        layers.Linear(3, 8, rng=0), layers.BatchNorm(8), layers.ReLU(), layers.Dropout(0.4),
        layers.Linear(8, 8, rng=1), layers.Dropout(0.3, rng=2), layers.Linear(8, 2, rng=3),
    )
    rate = schedules.LinearWarmup(5, schedules.ReduceOnPlateau(0.1, patience=1))
    model.compile("cross_entropy", optimizers.Nadam(lr=rate), ["accuracy"], rng=4)
    first, last, from_file, to_file, by_callback = sys.argv[1:6]
    tg.manual_seed(12 if from_file != "-" else 11)
    if from_file != "-":
        model.load(from_file)
    calls = [EarlyStopping(patience=4)]
    if by_callback == "yes":
        calls = [ModelCheckpoint(to_file + "{epoch}"), *calls]
    start = model.epochs if first == "epochs" else int(first)
    history = model.fit(x, y, batch_size=16, epochs=int(last), initial_epoch=start,
                        validation_split=0.25, callbacks=calls if by_callback != "no" else (),
                        verbose=0)
    if by_callback == "no":
        model.save(to_file)
    for name, array in model.state_dict().items():
        print(name, array.tobytes().hex())
    for name, value in model.optimizer.state_dict().items():
        print(name, np.asarray(value).tobytes().hex())
    print(history.history, history.epoch, model.epochs)
    print(getattr(calls[-1], "wait"), getattr(calls[-1], "stopped_epoch"))
"""


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(tmp_path):
    whole = run(0, 7, "-", tmp_path / "whole", "no")
    run(0, 3, "-", tmp_path / "half", "no")
    assert run("epochs", 7, tmp_path / "half", tmp_path / "rest", "no") == whole
    assert (tmp_path / "rest").read_bytes() == (tmp_path / "whole").read_bytes()


def test_callbacks_remember_over_a_checkpoint(tmp_path):
    whole = run(0, 60, "-", tmp_path / "run-", "yes")
    stopped = len(list(tmp_path.glob("run-*")))
    assert 5 <= stopped < 60  # the early end has come
    half = tmp_path / f"run-{stopped - 2}"  # with the patience half over
    assert run("epochs", 60, half, "", "only") == whole


def test_a_checkpoint_of_the_run_is_all_of_it(tmp_path):
    path = tmp_path / "run"
    model = compiled(with_dropout(), rng=0)
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(path)
    run = tg.load(path)
    assert set(run) >= {"model", "optimizer", "epochs", "history"}
    assert run["epochs"] == 2
    plain = tg.load(path, with_dropout(layers))
    assert bits(plain) == bits(model)
    uncompiled = with_dropout()
    assert bits(uncompiled.load(path)) == bits(model)
    uncompiled.save(path)
    assert bits(with_dropout().load(path)) == bits(model)


def test_a_run_that_does_not_fit_changes_nothing(tmp_path):
    path = tmp_path / "run"
    model = compiled(rng=0)
    model.fit(X, Y, verbose=0)
    model.save(path)
    for other in (compiled(MLP(3, 9, 2, rng=1), rng=0), compiled(optimizer="sgd", rng=0)):
        before = bits(other)
        with pytest.raises(CheckpointError, match="nothing was loaded"):
            other.load(path)
        assert bits(other) == before
        assert other.epochs == 0
        assert other.history.epoch == []


def test_fit_goes_on_with_the_history_of_the_epochs_before():
    model = compiled()
    first = model.fit(X, Y, epochs=3, verbose=0)
    second = model.fit(X, Y, epochs=5, initial_epoch=3, verbose=0)
    assert second.epoch == [0, 1, 2, 3, 4]
    assert second.history["loss"][:3] == first.history["loss"]
    assert len(first.epoch) == 3
    third = model.fit(X, Y, epochs=5, initial_epoch=4, validation_split=0.5, verbose=0)
    assert third.epoch == [0, 1, 2, 3, 4]
    assert np.isnan(third.history["val_loss"]).tolist() == [True] * 4 + [False]
    assert model.fit(X, Y, verbose=0).epoch == [0]
    assert model.epochs == 1


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_goes_on_alone(clone):
    model = compiled(with_dropout(), rng=0, metrics=["accuracy"])
    passing = LambdaCallback(on_epoch_end=lambda epoch, logs: None)  # is not taken along
    model.fit(X, Y, validation_split=0.5, callbacks=[EarlyStopping(), passing], verbose=0)
    other = clone(model)
    assert bits(other) == bits(model)
    for one in (model, other):
        one.fit(X, Y, epochs=2, verbose=0)
    assert bits(other) == bits(model)
    before = bits(model)
    other.fit(X, Y, verbose=0)
    assert bits(model) == before


def test_what_training_keeps_is_no_part_of_the_layers():
    model = compiled(metrics=["accuracy", metrics.f1])
    names, text = list(model.state_dict()), repr(model)
    model.fit(X, Y, validation_split=0.5, callbacks=EarlyStopping(), verbose=0)
    assert list(model.state_dict()) == names
    assert repr(model) == text
    assert len(model.layers()) == 4


# ---------------------------------------------------------------- histories and summaries


def test_history_of_nothing_and_its_plot():
    history = History()
    assert repr(history) == "History of 0 epochs"
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="no epoch to draw"):
        history.plot()


def test_plot_draws_every_number():
    figures = pytest.importorskip("matplotlib.figure")
    history = compiled(metrics=["accuracy"]).fit(X, Y, epochs=3, validation_split=0.5, verbose=0)
    figure = history.plot()
    assert [panel.get_title() for panel in figure.axes] == ["loss", "accuracy"]
    for panel in figure.axes:
        solid, dashed = panel.lines
        assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
        assert solid.get_xdata().tolist() == [1, 2, 3]
        assert solid.get_ydata().tolist() == history.history[panel.get_title()]
        assert dashed.get_ydata().tolist() == history.history["val_" + panel.get_title()]
    ax = figures.Figure().subplots()
    assert history.plot(ax) is ax
    assert [curve.get_label() for curve in ax.lines] == [
        "loss", "val_loss", "accuracy", "val_accuracy",
    ]  # fmt: skip


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "tinygrad_edu.plotting", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    history = History()
    history.record(0, {"loss": 1.0})
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tinygrad_edu\[plot\]"'):
        history.plot()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"epoch": [0], "history": {"loss": []}},
        {"epoch": [0], "history": {"loss": ["1"]}},
        {"epoch": ["0"], "history": {"loss": [1.0]}},
        {"epoch": [0], "history": [1.0]},
        {"epoch": [0], "history": {"loss": [1.0]}, "more": 1},
    ],
)
def test_a_history_takes_only_what_is_one(state):
    history = History()
    history.record(0, {"loss": 1.0})
    with pytest.raises(ValueError, match="nothing was loaded"):
        history.load_state_dict(state)
    assert history.history == {"loss": [1.0]}


def test_summary_knows_the_shape_after_the_first_data():
    model = compiled()
    with pytest.raises(ValueError, match=r"give it, model.summary\(input_shape="):
        model.summary()
    expected = model.summary((3,))
    model.predict(X)
    assert model.summary() == expected
    trained = compiled()
    trained.fit(X, Y, verbose=0)
    assert trained.summary() == expected


def test_models_are_layers_of_their_kind():
    assert tg.Sequential is models.Sequential
    assert isinstance(MLP(2, 1), layers.MLP)
    assert isinstance(MLP(2, 1), Sequential)
    model = Sequential([Linear(2, 3), Tanh(), Softmax()])
    assert isinstance(model.pop(), Softmax)
    assert len(model) == 2
    with pytest.raises(AttributeError, match=r"tg\.models\.Model"):
        layers.Sequential(Linear(1, 1)).fit  # noqa: B018


def test_the_checkpoint_callback_writes_what_save_writes(tmp_path):
    model = compiled(rng=0)
    model.fit(X, Y, epochs=2, callbacks=[ModelCheckpoint(tmp_path / "a")], verbose=0)
    fresh = compiled(rng=0).load(tmp_path / "a")
    assert bits(fresh) == bits(model)
    assert fresh.epochs == 2


# ---------------------------------------------------------------- habits from elsewhere


class KerasSequence:
    """What Keras calls a Sequence: a length, and batches by number that never raise IndexError."""

    def __len__(self):
        return 2

    def __getitem__(self, number):
        rows = slice(8 * number, 8 * number + 8)
        return X[rows], Y[rows]


def test_a_sequence_of_keras_is_gone_through_by_number():
    model = compiled(rng=0)
    assert model.fit(KerasSequence(), epochs=3, verbose=0).epoch == [0, 1, 2]
    twin = compiled(rng=0)
    twin.fit([KerasSequence()[0], KerasSequence()[1]], epochs=3, verbose=0)
    assert bits(model) == bits(twin)
    model.fit(KerasSequence(), steps_per_epoch=5, epochs=1, verbose=0)


def test_named_metrics_split_where_the_loss_does():
    model = compiled(
        MLP(3, 1, rng=0), "binary_cross_entropy_with_logits", metrics=["precision", "f1"]
    )
    model.fit(X, Y, epochs=3, verbose=0)
    prediction = model.predict(X)[:, 0]
    _, precision, f1 = model.evaluate(X, Y)
    assert precision == metrics.precision(prediction, Y, threshold=0.0)
    assert f1 == metrics.f1(prediction, Y, threshold=0.0)
    assert precision != metrics.precision(prediction, Y, threshold=0.5)


def test_the_summary_knows_the_kinds_of_several_inputs():
    class Both(Model):
        def __init__(self):
            self.rows, self.last = layers.Embedding(5, 3, rng=0), Linear(4, 1, rng=0)

        def forward(self, rows, numbers):
            return self.last(tg.concatenate([self.rows(rows), numbers], axis=1))

    model = compiled(Both(), "mse")
    model.fit((np.arange(4), drawn(4, 1)), np.zeros(4), verbose=0)
    assert "Embedding" in model.summary()


def test_layers_may_be_an_attribute_of_ones_own():
    class Own(Model):
        def __init__(self):
            self.layers = [Linear(3, 4, rng=0), Linear(4, 2, rng=0)]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    model = compiled(Own())
    model.fit(X, Y, verbose=0)
    assert model.predict(X).shape == (len(X), 2)


def test_a_frozen_part_may_be_used_in_another_model():
    base = Sequential(Linear(3, 4, rng=0), ReLU())
    whole = compiled(Sequential(base, Linear(4, 2, rng=0)))
    whole.fit(X, Y, verbose=0)
    base.freeze()
    learned = bits(base)
    other = compiled(Sequential(base, Linear(4, 2, rng=1)))
    other.fit(X, Y, verbose=0)
    assert bits(base) == learned
    base.unfreeze()
    with pytest.raises(ValueError, match="already belongs to an optimizer"):
        compiled(Sequential(base, Linear(4, 2, rng=1)))


def test_switches_of_keras_are_refused_where_they_would_do_nothing():
    model = compiled()
    with pytest.raises(AttributeError, match=r"trainable is said by freeze\(\)"):
        model.trainable = False
    assert not hasattr(model, "trainable")
    with pytest.raises(AttributeError, match=r"`lr` here: optimizer.lr = 0.5"):
        model.optimizer.learning_rate = 0.5
    assert not hasattr(model.optimizer, "learning_rate")


def test_numbers_too_large_for_the_dtype_are_an_error_of_the_loss_and_no_warning():
    model = compiled(MLP(3, 1, rng=0), "mse")
    with pytest.raises(FloatingPointError, match="the loss is"), np.errstate(invalid="ignore"):
        model.fit(np.full((4, 3), 1e300), np.zeros(4), verbose=0)


def test_a_long_history_can_be_saved(tmp_path):
    model = compiled()
    model.fit(X, Y, verbose=0)
    for epoch in range(1, 100_000):
        model.history.epoch.append(epoch)
        model.history.history["loss"].append(epoch / 7)
    model.save(tmp_path / "run")
    other = compiled().load(tmp_path / "run")
    assert other.history.history == model.history.history
    assert other.epochs == 100_000


def test_a_run_goes_into_a_model_that_other_callbacks_have_watched(tmp_path):
    model, other = compiled(), compiled()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "run")
    other.fit(X, Y, verbose=0, callbacks=[EarlyStopping("loss")])
    assert bits(other.load(tmp_path / "run")) == bits(model)
    other.save(tmp_path / "run")
    assert bits(model.load(tmp_path / "run")) == bits(other)


@pytest.mark.parametrize("state", [
    {"epoch": [0], "history": {"loss": [1.0]}},
    {"epoch": np.array([0]), "history": {"loss": np.array([1.0, 2.0])}},
    {"epoch": np.array([0]), "history": {"loss": np.array([1])}},
    {"epoch": np.array([0.5]), "history": {}},
    {"epoch": np.array([0])},
])  # fmt: skip
def test_a_history_refuses_what_is_none_and_stays_as_it_is(state):
    history = History()
    history.record(0, {"loss": 3.0})
    with pytest.raises(ValueError, match="nothing was loaded"):
        history.load_state_dict(state)
    assert history.epoch == [0] and history.history == {"loss": [3.0]}


@pytest.mark.parametrize("loss", ["cross_entropy", "cosine_similarity", "kld"])
def test_a_loss_of_rows_refuses_a_batch_that_looks_like_one(loss):
    model = compiled(Sequential(Linear(3, 1, rng=0), layers.Reshape()), loss)
    with pytest.raises(ValueError, match=r"predicts \(32,\), but .* wants a row for each"):
        model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("use", ["evaluate", "predict"])
def test_ctrl_c_leaves_the_modes_as_they_were(use):
    class Pressed(Model):
        def __init__(self):
            self.inner, self.calls = Linear(3, 2, rng=0), 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 2:
                signal.raise_signal(signal.SIGINT)
            return self.inner(x)

    model = compiled(Pressed())
    with pytest.raises(KeyboardInterrupt):
        getattr(model, use)(*((X,) if use == "predict" else (X, Y)), batch_size=8)
    assert model.calls == 2, "the batch was finished, and no other begun"
    assert model.training and model.inner.training and tg.is_grad_enabled()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_validation_data_may_be_a_list_of_two():
    models = [compiled(rng=0), compiled(rng=0)]
    losses_of = [
        model.fit(X, Y, validation_data=data, verbose=0).history["val_loss"]
        for model, data in zip(models, ([X, Y], (X, Y)), strict=True)
    ]
    assert losses_of[0] == losses_of[1]
    models[0].fit(X, Y, validation_data=[(X, Y), (X, Y)], verbose=0)  # batches
