#!/bin/sh
# Ask the registries for the digests of the images that the Dockerfile and docker-compose.gpu.yml
# name by version, and write them to docker/images.env: `make pin-images`.
#
#   docker compose --env-file docker/images.env -f docker-compose.gpu.yml up --build
#
# Needs Docker with buildx, and access to the registries. Nothing is written if one does not answer.
set -eu
RELEASE=${RELEASE:-25.10}
out=$(dirname "$0")/images.env
lines="# Written by make pin-images, release $RELEASE."
for pair in \
  CPU_BASE=python:3.11-slim-bookworm \
  GPU_BASE=nvcr.io/nvidia/tensorrt:$RELEASE-py3 \
  TRITON_IMAGE=nvcr.io/nvidia/tritonserver:$RELEASE-py3 \
  PROMETHEUS_IMAGE=prom/prometheus:v3.5.0 \
  GRAFANA_IMAGE=grafana/grafana:12.2.0
do
  name=${pair%%=*} image=${pair#*=}
  digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
  case $digest in
    sha256:????????????????????????????????????????????????????????????????) ;;
    *) echo "$image: no digest but '$digest'" >&2; exit 1 ;;
  esac
  lines="$lines
$name=${image%:*}@$digest"
done
printf '%s\n' "$lines" > "$out"
echo "$out written"
