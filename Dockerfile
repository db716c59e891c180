# The harness in two images:
#
#   docker build --target cpu -t inference-harness:cpu .     any machine; the embedded Triton is in it
#   docker build -t inference-harness:25.10 .                 NVIDIA GPUs: TensorRT, CUDA toolkit and
#                                                             Python of the same release as the Triton
#                                                             of docker-compose.gpu.yml, so that engines
#                                                             built here load there
#
# Images of Docker Hub are given with their digests; they were read off several public repositories
# that pin the same, which agree. NVIDIA's go by the release's name: no two gave theirs. `make
# pin-images` asks the registries for all of them and writes docker/images.env, from which Compose
# takes them, and which renews the digests here.
ARG CPU_BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG GPU_BASE=nvcr.io/nvidia/tensorrt:25.10-py3

# ------------------------------------------------------------------------------------------ any CPU
FROM ${CPU_BASE} AS cpu
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# git: the manifest has the commit; libgomp1: ONNX Runtime and torch; util-linux: prlimit
RUN apt-get update \
 && apt-get install -y --no-install-recommends git libgomp1 util-linux \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY harness harness
RUN pip install --constraint constraints.txt torch \
 && pip install --constraint constraints.txt --editable \
    '.[torch,onnxruntime,triton,stress,search,mlflow,wandb,ray]'
COPY scenarios scenarios
COPY model_repository model_repository
# not root: UID is the user's who runs it, so that reports in a mounted folder are theirs
ARG UID=1000
RUN useradd --create-home --uid ${UID} harness \
 && install -d -o harness /app/reports /home/harness/.cache/inference-harness \
 && chown -R harness /app/model_repository
USER ${UID}
RUN harness triton install
ENTRYPOINT ["harness"]
CMD ["--help"]

# --------------------------------------------------------------------------------------- NVIDIA GPU
FROM ${GPU_BASE} AS gpu
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=
RUN apt-get update \
 && apt-get install -y --no-install-recommends curl g++ git libpython3-dev python3-venv \
 && rm -rf /var/lib/apt/lists/*
# --system-site-packages: the image's own tensorrt
RUN python3 -m venv --system-site-packages /opt/harness
ENV PATH=/opt/harness/bin:$PATH
WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY harness harness
# pycuda has no wheels; it is built against the image's CUDA toolkit
RUN CUDA_ROOT=/usr/local/cuda PATH=/usr/local/cuda/bin:$PATH \
    pip install --constraint constraints.txt pycuda \
 && pip install --constraint constraints.txt torch \
 && pip install --constraint constraints.txt --editable \
    '.[torch,onnxruntime-gpu,triton,stress,search,mlflow,wandb,ray]'
COPY scenarios scenarios
COPY model_repository model_repository
ARG UID=1000
# Ubuntu's image has a user of that number already
RUN (name=$(id -un ${UID} 2>/dev/null) && userdel "$name"; true) \
 && useradd --create-home --uid ${UID} harness \
 && install -d -o harness /app/reports /home/harness/.cache/inference-harness \
 && chown -R harness /app/model_repository
USER ${UID}
RUN harness triton install
ENTRYPOINT ["harness"]
CMD ["--help"]
