#!/bin/bash
# One scenario over the GPUs of a SLURM cluster: an array job, each task a shard of the rounds.
#
#   shards=$(sbatch --parsable docker/slurm/shards.sh scenario.yaml runs)
#   sbatch --dependency=afterany:$shards --wrap "harness merge runs/shard-* --output runs/merged"
#
# The folder must be one that all nodes see. A task that is requeued goes on with what its shard
# lacks; on another GPU the shard begins anew beside it, and `merge` takes the fuller one.
#SBATCH --job-name=harness-shards
#SBATCH --array=0-3
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
set -euo pipefail
scenario=${1:?usage: sbatch shards.sh SCENARIO FOLDER}
folder=${2:?usage: sbatch shards.sh SCENARIO FOLDER}
mkdir -p "$folder"

# SLURM sends TERM to this script two minutes before the end: the harness writes what it has
trap '[ -n "${!:-}" ] || exit 143; kill -TERM "$!" || true' TERM
harness run "$scenario" --shard auto --output "$folder/shard-$SLURM_ARRAY_TASK_ID" --no-report &
code=0
wait "$!" || code=$?
if [ "$code" -eq 143 ]; then # the trap ended the first wait
  code=0
  wait "$!" || code=$?
fi
exit "$code"
