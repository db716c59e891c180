# The harness for NVIDIA GPUs: TensorRT, CUDA toolkit and Python from NVIDIA's image of the same
# release as the Triton server in docker-compose.gpu.yml, so that engines built here load there.
ARG RELEASE=25.10
FROM nvcr.io/nvidia/tensorrt:${RELEASE}-py3

ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=
RUN apt-get update \
 && apt-get install -y --no-install-recommends curl g++ libpython3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*

# --system-site-packages: the image's own tensorrt
RUN python3 -m venv --system-site-packages /opt/harness
ENV PATH=/opt/harness/bin:$PATH

# pycuda has no wheels; it is built against the image's CUDA toolkit
RUN CUDA_ROOT=/usr/local/cuda PATH=/usr/local/cuda/bin:$PATH pip install 'pycuda>=2024.1'

WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY harness harness
RUN pip install --constraint constraints.txt torch \
 && pip install --constraint constraints.txt --editable '.[torch,onnxruntime-gpu,triton,stress]'
COPY scenarios scenarios
COPY model_repository model_repository

ENTRYPOINT ["harness"]
CMD ["--help"]
