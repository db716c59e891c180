"""A small PyTorch model that misbehaves on purpose, but only in the timed loop at batch size 2."""

import os
import signal
import threading
import time

import torch


class Faulty(torch.nn.Module):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.fault = fault

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 2 and threading.current_thread().name.startswith("caller-"):
            self.misbehave()
        return self.linear(x)

    def misbehave(self) -> None:
        if self.fault == "raise":
            raise ValueError("the second batch size is cursed")
        if self.fault == "hang":
            time.sleep(3600)
        if self.fault == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.fault == "exit":
            os._exit(3)
        if self.fault == "memory":
            torch.empty(2**60)


def make(fault: str = "none") -> torch.nn.Module:
    return Faulty(fault)
