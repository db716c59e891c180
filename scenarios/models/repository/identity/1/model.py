"""A Triton Python-backend model that returns its input."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers every request with a copy of INPUT0 as OUTPUT0."""

    def execute(self, requests):
        """One response a request."""
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(
                        "OUTPUT0",
                        pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy(),
                    )
                ]
            )
            for request in requests
        ]
