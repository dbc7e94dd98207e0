"""A run of seconds through the real loop, as a function and as a program that may be signaled at a step.

python small_run.py SCRATCH OUT [SIGNAL STEP [WORKERS]]: with workers, the signal goes to them as well
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from depth_model.metrics.depth import Metric
from depth_model.training import processes
from depth_model.training.loop import Run, train
from depth_model.training.optimizers import adamw, linear_decay
from depth_model.training.sampling import WHOLE
from depth_model.training.settings import TrainingMachine, TrainingSettings, ValidationSettings
from depth_model.training.terms import Term
from depth_model.training.validation import Validation

STEPS = 23
SETTINGS = TrainingSettings(crop=28)
MACHINE = TrainingMachine(workers=0, checkpoint_every=5)


class SmallModel(nn.Module):
    """Two layers under the names the optimizer knows."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.encoder, self.decoder = nn.Linear(6, 16), nn.Linear(16, 1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3

    def forward(self, x):
        return self.decoder(torch.tanh(self.encoder(x)))


def make_batch(step, share=WHOLE):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(8, 6, generator=generator)[list(share.rows(8))]
    keys = [f"small/{step}-{row}" for row in share.rows(8)]
    return {"x": x, "nested": {"y": x.sum(1, keepdim=True), "keys": keys}}


def squared_error(model, batch):
    return (model(batch["x"]).float() - batch["nested"]["y"]).square().mean()


def count(batch):
    return len(batch["x"])


TERMS = [
    Term("error", lambda error: error, count, 1.0),
    Term("error/root", lambda error: error.detach().sqrt(), count),
]


def small_run(steps=STEPS, loss=squared_error, **changed):
    model = SmallModel()
    brought = {
        "name": "small",
        "model": model,
        "optimizer": adamw(model, 1e-2, 3e-2, 0.01),
        "schedule": partial(linear_decay, 0.0),
        "steps": steps,
        "images_per_step": 8,
        "make_batch": make_batch,
        "forward": partial(loss, model),
        "terms": TERMS,
        "gradient_clip": 1.0,
    }
    return Run(**(brought | changed))


def held_out_error(settings):
    """Measure a small model on 16 inputs with the true labels."""

    def make(number):
        batch = make_batch(1000 + number // 8)
        return {"x": batch["x"][[number % 8]], "nested": {"y": batch["nested"]["y"][[number % 8]]}}

    def score(model, batch):
        return np.array([float(squared_error(model, batch)), 1.0])

    return Validation(
        images=16,
        make=make,
        score=score,
        sums=2,
        figures=lambda sums: {"error": float(sums[0] / sums[1])},
        decides=Metric("error", "error", False),
        settings=settings,
    )


def signaling(number, at_step, send=lambda number: os.kill(os.getpid(), number)):
    """A loss that sends its own process a signal in the middle of a step."""

    def loss(model, batch):
        if batch["nested"]["keys"][0].startswith(f"small/{at_step}-"):
            send(number)
        return squared_error(model, batch)

    return loss


def write_result(run, history, folder):
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(run.model.state_dict(), folder / "weights.pt")
    history.write(folder / "history.csv")


def to_the_group(number):
    os.killpg(os.getpgrp(), number)


if __name__ == "__main__":
    scratch, out = map(Path, sys.argv[1:3])
    machine, loss = MACHINE, squared_error
    if len(sys.argv) > 3 and os.environ.get("RANK", "0") in os.environ.get("SIGNALED", "0"):
        loss = signaling(getattr(signal, sys.argv[3]), int(sys.argv[4]))
    if len(sys.argv) > 5:
        machine = dataclasses.replace(MACHINE, workers=int(sys.argv[5]))
        loss = signaling(getattr(signal, sys.argv[3]), int(sys.argv[4]), to_the_group)
    validation = None
    if "VALIDATED" in os.environ:
        validation = held_out_error(ValidationSettings(every=4, patience=2))
    started = small_run(loss=loss, validation=validation)
    ended = train(started, SETTINGS, scratch, lambda step, metrics: None, machine)
    if processes.is_first():
        write_result(started, ended, out)
