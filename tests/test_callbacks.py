"""Callbacks: called when they should be, with what they should know; Ctrl-C among them."""

import csv

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import losses, schedules
from tinygrad_edu.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
)
from tinygrad_edu.layers import Linear
from tinygrad_edu.models import MLP, Sequential
from tinygrad_edu.optimizers import SGD, Adam

rng = np.random.default_rng(0)
X = rng.standard_normal((20, 2)).astype("float32")
Y = (X[:, 0] > 0).astype(int)


def compiled(**options):
    model = MLP(2, 4, 2, rng=0)
    model.compile("cross_entropy", Adam(lr=0.01), ["accuracy"], rng=0, **options)
    return model


def fit(model, *callbacks, **options):
    return model.fit(X, Y, **{"batch_size": 8, "verbose": 0, "callbacks": callbacks, **options})


class Told(Sequential):
    """A model whose validation losses are those of a list, and whose weight counts the epochs."""

    def __init__(self, values):
        super().__init__(Linear(1, 1, bias=False, rng=0))
        self.values = tuple(values)
        self.compile(self.loss, SGD(lr=0.0))

    def loss(self, prediction, target):
        if self.training:  # leave a mark in the weight: which epoch it is
            self[0].weight.data[...] = self.epochs
            return prediction.sum() * 0
        return prediction.sum() * 0 + self.values[self.epochs]

    def run(self, *callbacks, epochs=None):
        data = np.ones((1, 1)), np.ones((1, 1))
        n = len(self.values) if epochs is None else epochs
        return self.fit(*data, epochs=n, validation_data=data, callbacks=callbacks, verbose=0)

    @property
    def mark(self):
        return self[0].weight.item()


# ---------------------------------------------------------------- the moments


class Diary(Callback):
    def __init__(self):
        self.pages = []

    def on_train_begin(self, logs):
        self.pages.append("train (")

    def on_train_end(self, logs):
        self.pages.append(f"train ) {','.join(logs)}")

    def on_epoch_begin(self, epoch, logs):
        self.pages.append(f"epoch {epoch} (")

    def on_epoch_end(self, epoch, logs):
        self.pages.append(f"epoch {epoch} ) {','.join(logs)}")

    def on_batch_begin(self, batch, logs):
        self.pages.append(f"batch {batch} (")

    def on_batch_end(self, batch, logs):
        self.pages.append(f"batch {batch} ) {','.join(logs)}")


def test_every_moment_has_its_call():
    diary, model = Diary(), compiled()
    fit(model, diary, epochs=2, batch_size=16, validation_split=0.1)
    batches = ["batch 0 (", "batch 0 ) loss", "batch 1 (", "batch 1 ) loss"]
    numbers = "loss,accuracy,val_loss,val_accuracy"
    epochs = [[f"epoch {i} (", *batches, f"epoch {i} ) {numbers}"] for i in range(2)]
    assert diary.pages == ["train (", *epochs[0], *epochs[1], f"train ) {numbers}"]
    assert diary.model is model
    assert diary.params == {"epochs": 2, "steps": 2, "verbose": 0}


def test_functions_may_be_called_too():
    pages = []
    callback = LambdaCallback(
        on_epoch_end=lambda epoch, logs: pages.append((epoch, sorted(logs))),
        on_batch_begin=lambda batch, logs: pages.append(batch),
    )
    fit(compiled(), callback, epochs=2)
    assert pages == [0, 1, 2, (0, ["accuracy", "loss"]), 0, 1, 2, (1, ["accuracy", "loss"])]
    with pytest.raises(TypeError, match="no on_lunch; there are on_train_begin"):
        LambdaCallback(on_lunch=print)
    with pytest.raises(TypeError, match="no function"):
        LambdaCallback(on_epoch_end=3)


@pytest.mark.parametrize("moment", ["on_batch_end", "on_epoch_end"])
def test_stop_training_is_heard_at_once(moment):
    model, diary = compiled(), Diary()

    def stop(number, logs):
        model.stop_training = number == 1

    history = fit(model, LambdaCallback(**{moment: stop}), diary, epochs=9)
    batches = [page for page in diary.pages if page.startswith("batch") and page.endswith("loss")]
    assert len(batches) == (2 if moment == "on_batch_end" else 6)
    assert history.epoch == ([0] if moment == "on_batch_end" else [0, 1])
    assert diary.pages[-1].startswith("train )")
    assert fit(model, epochs=1).epoch == [0]  # and forgotten afterwards


@pytest.mark.parametrize(
    ("wrong", "words"),
    [([EarlyStopping], "EarlyStopping is a class"), ([print], "give objects"), ([3], "3; give")],
)
def test_what_is_no_callback_is_refused(wrong, words):
    with pytest.raises(TypeError, match=words):
        compiled().fit(X, Y, callbacks=wrong, verbose=0)


def test_a_method_that_is_never_called_is_refused_when_it_is_written():
    with pytest.raises(TypeError, match=r"Mine.on_train_batch_end is never called; there are on_"):

        class Mine(Callback):
            def on_train_batch_end(self, batch, logs):
                pass


def test_one_callback_needs_no_list_and_none_is_none():
    diary = Diary()
    compiled().fit(X, Y, callbacks=diary, verbose=0)
    assert diary.pages
    compiled().fit(X, Y, callbacks=None, verbose=0)


# ---------------------------------------------------------------- Ctrl-C, raised by somebody


class Breaks(Callback):
    def __init__(self, moment, number, error):
        self.calls = 0
        self.wanted = number
        setattr(self, moment, self.breaks)
        self.error = error

    def breaks(self, *arguments):
        self.calls += 1
        if self.calls > self.wanted:
            raise self.error


@pytest.mark.parametrize(
    ("moment", "number", "finished"),
    [
        ("on_train_begin", 0, 0),
        ("on_epoch_begin", 2, 2),
        ("on_batch_begin", 4, 1),
        ("on_batch_end", 7, 2),
        ("on_epoch_end", 1, 2),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_an_interrupt_from_a_callback_ends_the_training(moment, number, finished, training, capsys):
    model, diary = compiled().train(training), Diary()
    breaks = Breaks(moment, number, KeyboardInterrupt())
    history = fit(model, breaks, diary, epochs=9, verbose=2)
    assert history.interrupted
    assert history.epoch == list(range(finished)) == history.epoch
    assert model.epochs == finished
    assert all(len(values) == finished for values in history.history.values())
    assert diary.pages[-1].startswith("train )")
    assert model.training is training
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"Interrupted: {finished} epoch{'' if finished == 1 else 's'} finished."
    assert not fit(model, epochs=2).interrupted


def test_an_interrupt_from_the_data_or_the_model_counts_the_same():
    def data():
        yield X[:8], Y[:8]
        raise KeyboardInterrupt

    model = compiled()
    assert model.fit(data(), verbose=0).interrupted
    model.add(lambda x: (_ for _ in ()).throw(KeyboardInterrupt))
    before = model.state_dict()
    assert fit(model).interrupted
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())


def test_an_interrupt_at_the_end_goes_through():
    model = compiled()
    with pytest.raises(KeyboardInterrupt):
        fit(model.eval(), Breaks("on_train_end", 0, KeyboardInterrupt()))
    assert not model.training


def test_an_error_goes_through_and_the_end_is_not_celebrated():
    model, diary = compiled().eval(), Diary()
    with pytest.raises(OSError, match="the disk"):
        fit(model, diary, Breaks("on_epoch_end", 0, OSError("the disk")))
    assert diary.pages[-1].startswith("epoch 0 )")
    assert not model.training
    fit(model)


# ---------------------------------------------------------------- EarlyStopping


@pytest.mark.parametrize(
    ("options", "values", "stopped", "best"),
    [
        ({}, [3, 2, 2, 1], 2, 1),
        ({"patience": 1}, [3, 2, 2, 1], 2, 1),
        ({"patience": 2}, [3, 2, 2, 1, 1, 1, 0], 5, 3),
        ({"patience": 2}, [3, 2, 1, 0], None, 3),
        ({"min_delta": 0.6, "patience": 2}, [3, 2.5, 2.25, 2.125, 2, 0], 4, 2),
        ({"min_delta": -0.6, "patience": 2}, [3, 2.5, 2.25, 2.125, 2, 0], 4, 2),
        ({"mode": "max"}, [1, 2, 2, 9], 2, 1),
        ({"patience": 2}, [3, np.nan, np.nan, 1], 2, 0),
        ({"baseline": 1.5, "patience": 2}, [3, 2, 1, 0], 1, 1),
        ({"baseline": 1.5, "patience": 3}, [3, 2, 1, 1, 1, 1, 0], 5, 2),
    ],
)
def test_early_stopping_stops_and_takes_the_best_back(options, values, stopped, best):
    model, callback = Told(values), EarlyStopping(**options)
    history = model.run(callback)
    assert len(history.epoch) == (len(values) if stopped is None else stopped + 1)
    assert callback.stopped_epoch == stopped
    assert callback.best_epoch == best
    assert callback.best == values[best]
    assert model.mark == best


def test_without_restoring_the_last_weights_stay():
    model = Told([3, 2, 4, 5])
    model.run(EarlyStopping(patience=2, restore_best_weights=False))
    assert model.mark == 3


def test_the_best_come_back_after_an_interrupt_too():
    model = Told([3, 2, 4, 5])
    model.run(EarlyStopping(patience=9), Breaks("on_epoch_begin", 3, KeyboardInterrupt()))
    assert model.mark == 1


def test_each_training_has_its_own_patience(capsys):
    callback = EarlyStopping(patience=1, verbose=1)
    Told([1, 5]).run(callback)
    second = Told([9, 8, 8, 7])
    second.run(callback)
    assert callback.best_epoch == second.mark == 1
    assert "val_loss has not improved since epoch 2, when it was 8.0000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "mode"),
    [("val_loss", "min"), ("accuracy", "max"), ("val_acc", "max"), ("r2_score", "max"),
     ("val_f1", "max"), ("mean_absolute_error", "min"), ("top_k_accuracy", "max")],
)  # fmt: skip
def test_the_mode_follows_the_name(name, mode):
    assert EarlyStopping(name).mode == mode
    assert EarlyStopping(name, mode="min").mode == "min"


def saving_the_best(monitor):
    return ModelCheckpoint("x", monitor, save_best_only=True)


@pytest.mark.parametrize("callback", [EarlyStopping, saving_the_best])
def test_an_unknown_number_lists_those_there_are(callback):
    model = compiled()
    with pytest.raises(ValueError, match="no 'acc' to monitor; there are loss, accuracy"):
        fit(model, callback("acc"), epochs=9)
    assert model.epochs == 1


@pytest.mark.parametrize("callback", [EarlyStopping, saving_the_best])
def test_validation_data_that_are_missing_are_missed_before_the_first_step(
    callback, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model = compiled()
    before = model.state_dict()
    with pytest.raises(ValueError, match="'val_loss' is of validation data; give fit some"):
        fit(model, callback("val_loss"), epochs=9)
    assert all((before[name] == array).all() for name, array in model.state_dict().items())
    fit(model, callback("val_loss"), epochs=1, validation_data=(X, Y))


@pytest.mark.parametrize(
    "wrong", [{"patience": -1}, {"patience": 1.5}, {"mode": "up"}, {"min_delta": np.nan}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises((ValueError, TypeError), match=f"{next(iter(wrong))}="):
        EarlyStopping(**wrong)


# ---------------------------------------------------------------- ModelCheckpoint


def test_checkpoints_have_the_numbers_in_their_names(tmp_path):
    model = Told([3, 1, 2, 0.5, 4])
    model.run(ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.1f}", every=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["02-1.0", "04-0.5"]
    fresh = Told([0]).load(tmp_path / "02-1.0")
    assert (fresh.mark, fresh.epochs, fresh.history.epoch) == (1, 2, [0, 1])


def test_only_the_best_is_saved(tmp_path, capsys):
    path = tmp_path / "best"
    Told([3, 1, 2, 0.5, 4]).run(ModelCheckpoint(str(path), save_best_only=True, verbose=1))
    assert capsys.readouterr().out.count("ModelCheckpoint: saved") == 3
    assert Told([0]).load(path).mark == 3


def test_a_checkpoint_knows_what_later_callbacks_remember(tmp_path):
    for callbacks in (
        [ModelCheckpoint(tmp_path / "run"), EarlyStopping(patience=9)],
        [EarlyStopping(patience=9), ModelCheckpoint(tmp_path / "run")],
    ):
        Told([3, 1, 2]).run(*callbacks)
        saved = tg.load(tmp_path / "run")["callbacks"]["EarlyStopping.0"]
        assert (saved["best"], saved["best_epoch"], saved["wait"]) == (1, 1, 1)
        assert saved["weights"]["layers.0.weight"].tolist() == [[1]]


def test_a_field_that_nobody_fills_lists_the_fields(tmp_path):
    with pytest.raises(ValueError, match="'val_mood' cannot be filled in; there are epoch, loss"):
        fit(compiled(), ModelCheckpoint(tmp_path / "{val_mood}"))
    assert list(tmp_path.iterdir()) == []


def test_two_of_a_kind_remember_their_own(tmp_path):
    calls = [EarlyStopping("loss", patience=9), EarlyStopping("accuracy", patience=9)]
    model = compiled()
    history = fit(model, *calls, epochs=3)
    again = [EarlyStopping("loss", patience=9), EarlyStopping("accuracy", patience=9)]
    model.fit(X, Y, initial_epoch=3, epochs=3, callbacks=again, verbose=0)
    assert [call.best for call in again] == [call.best for call in calls]
    assert again[0].best == min(history.history["loss"])
    assert again[1].best == max(history.history["accuracy"])


# ---------------------------------------------------------------- rates and files


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch: 0.1 / (1 + epoch), [0.1, 0.05, 0.1 / 3]),
        (lambda epoch, rate: rate / 2, [0.005, 0.0025, 0.00125]),
        (lambda epoch, lr=5.0: lr / 2, [0.005, 0.0025, 0.00125]),
        (lambda epoch, drop=0.5: drop**epoch, [1.0, 0.5, 0.25]),
        (schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5), [0.1, 0.05, 0.025]),
    ],
    ids=["epoch", "lr", "lr by name", "another default", "ours"],
)
def test_the_rate_of_each_epoch(schedule, rates):
    model, seen = compiled(), []
    notes = LambdaCallback(on_batch_end=lambda batch, logs: seen.append(model.optimizer.lr))
    fit(model, LearningRateScheduler(schedule), notes, epochs=3, batch_size=20)
    assert seen == rates


def test_two_schedules_are_one_too_many():
    model = MLP(2, 2, rng=0)
    model.compile("cross_entropy", SGD(lr=schedules.StepDecay(0.1, 10)))
    with pytest.raises(ValueError, match="a schedule of its own"):
        fit(model, LearningRateScheduler(lambda epoch: 0.1))
    with pytest.raises(TypeError, match=r"0\.1 is no function"):
        LearningRateScheduler(0.1)


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_log_is_on_the_disk_after_each_epoch(tmp_path):
    path, model, lines = tmp_path / "log.csv", compiled(), []
    count = LambdaCallback(on_epoch_end=lambda epoch, logs: lines.append(len(read(path))))
    history = fit(model, CSVLogger(path), count, epochs=3, validation_split=0.2)
    assert lines == [1, 2, 3]
    rows = read(path)
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for name, values in history.history.items():
        assert [float(row[name]) for row in rows] == values  # all digits
    more = {"initial_epoch": 3, "epochs": 4, "validation_split": 0.2}
    fit(model, CSVLogger(path, append=True), **more)
    assert [int(row["epoch"]) for row in read(path)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="has columns loss, accuracy, val_loss"):
        fit(model, CSVLogger(path, append=True))
    fit(model, CSVLogger(path, separator=";"))
    assert path.read_text().startswith("epoch;loss;accuracy\n0;")


def test_a_log_that_cannot_be_written_is_known_at_once(tmp_path):
    model = compiled()
    with pytest.raises(FileNotFoundError):
        fit(model, CSVLogger(tmp_path / "no" / "folder.csv"))
    assert model.optimizer.iterations == 0


def test_what_was_remembered_in_another_form_is_refused():
    model = compiled()
    fit(model, EarlyStopping("loss"))
    model._run.remembered.load_state_dict({"EarlyStopping.0": {"best": "good"}})
    with pytest.raises(ValueError, match=r"EarlyStopping\.0 cannot go on"):
        fit(model, EarlyStopping("loss"), initial_epoch=1, epochs=2)


def test_the_logs_are_the_users_to_change():
    model = compiled()
    history = fit(model, LambdaCallback(on_epoch_end=lambda epoch, logs: logs.clear()), epochs=2)
    assert len(history.history["loss"]) == 2
    assert losses.get("cross_entropy") is model._run.scoring.loss


# ---------------------------------------------------------------- a training that is resumed


class Scores(Callback):
    """Gives the epochs their validation losses."""

    def __init__(self, *values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_loss"] = self.values[epoch]


def test_what_early_stopping_had_ended_stays_ended(tmp_path):
    def callbacks():
        scores, path = Scores(3, 1, 2, 2, 0, 0, 0), tmp_path / "last"
        return [scores, EarlyStopping("val_loss", patience=2), ModelCheckpoint(path)]

    model = compiled()
    fit(model, *callbacks(), epochs=7)
    resumed = compiled().load(tmp_path / "last")
    history = fit(resumed, *callbacks(), epochs=7, initial_epoch=resumed.epochs)
    assert history.epoch == model.history.epoch == [0, 1, 2, 3]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], array)


def test_the_best_file_stays_the_best_when_the_last_one_is_resumed_from(tmp_path):
    class Best(ModelCheckpoint):
        def watched(self, logs):
            return (5.0, 4.0, 1.0, 3.0, 2.0)[self.model.epochs - 1]

    def both():
        return [
            ModelCheckpoint(tmp_path / "last"),
            Best(tmp_path / "best", "loss", save_best_only=True),
        ]

    fit(compiled(), *both(), epochs=3)
    resumed = compiled().load(tmp_path / "last")
    fit(resumed, *both(), epochs=5, initial_epoch=3)
    assert compiled().load(tmp_path / "best").epochs == 3


def test_a_stop_before_the_first_step_trains_nothing():
    model = compiled()
    stop = LambdaCallback(on_train_begin=lambda logs: setattr(model, "stop_training", True))
    assert fit(model, stop, epochs=3).epoch == []
