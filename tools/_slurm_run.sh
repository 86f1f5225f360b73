#!/usr/bin/env bash
# What slurm_train.sh and slurm_test.sh share: PARTITION JOB_NAME SCRIPT [the script's arguments].
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS come from the environment.
set -euo pipefail
partition=$1 job=$2 script=$3
shift 3
gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
[ "$gpus" -ge "$per_node" ] || per_node=$gpus
# shellcheck disable=SC2086  # SRUN_ARGS holds several words
exec srun -p "$partition" --job-name "$job" --gres "gpu:$per_node" \
  --ntasks "$gpus" --ntasks-per-node "$per_node" \
  --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  python -u "$(dirname "$0")/$script" "$@" --launcher slurm
