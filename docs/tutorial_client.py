"""Ask the tutorial's model for one image's class: python docs/tutorial_client.py HOST:PORT."""

import sys
import time

import numpy as np
import tritonclient.grpc as triton

client = triton.InferenceServerClient(sys.argv[1])
ready: list[str] = []
while not ready:  # it listens before its model is loaded
    time.sleep(0.2)
    if client.is_server_live():
        index = client.get_model_repository_index().models
        ready = [model.name for model in index if model.state == "READY"]
name = ready[0]
image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
tensor = triton.InferInput("image", image.shape, "FP32")
tensor.set_data_from_numpy(image)
answer = client.infer(name, [tensor])
output = answer.get_response().outputs[0].name
print(name, "says class", int(answer.as_numpy(output).argmax()))
