"""A small PyTorch model that misbehaves on purpose: in the timed loop at batch size 2, or when it
is exported or made.
"""

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
        if self.fault.startswith("export_") and torch.compiler.is_compiling():
            end(self.fault, "export")
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
        if self.fault == "fill":
            self.filled = [bytearray(b"1") * 2**20 for _ in range(2**11)]


def end(fault: str, what: str) -> None:
    print("no way to", what, "this", flush=True)
    if fault.endswith("_exit"):
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def make(fault: str = "none") -> torch.nn.Module:
    if fault == "make_exit":
        end(fault, "make")
    return Faulty(fault)
